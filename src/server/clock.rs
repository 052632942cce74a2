//! The one place that reads the clock for the router.

use std::time::Duration;

use tokio::time::Instant;

use crate::router::Now;

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

    /// The instant of a monotonic time that the router named.
    pub(super) fn instant(self, mono: Duration) -> Instant {
        self.start + mono
    }
}
