//! The one place that reads the clock for the router.

use std::time::Duration;

use tokio::time::Instant;

use crate::router::Now;

const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Times counted from when the server started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(self) -> Now {
        Now {
            mono: self.start.elapsed(),
            unix_ms: chrono::Utc::now().timestamp_millis(),
        }
    }

    pub(super) fn mono(self) -> Duration {
        self.start.elapsed()
    }

    /// The instant of a monotonic time, or never if the system can't express it.
    pub(super) fn instant(self, mono: Duration) -> Instant {
        (self.start.checked_add(mono)).unwrap_or_else(|| self.start + NEVER)
    }
}
