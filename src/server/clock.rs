//! The one place that reads the clock for the router.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::unix_time;
use crate::router::Now;

const NANOS_PER_MILLI: i64 = 1_000_000;

const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The wall clock is read so often at most. In between it goes as the monotonic one does,
/// which saves a read of a clock for each read of a socket and each send of an endpoint.
const WALL_CLOCK_INTERVAL: Duration = Duration::from_millis(1);

/// Times counted from when the server started.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// The time from 1970 to `start`, in nanoseconds, when the wall clock was last read.
    /// Other threads may see this and the next in any order: either is right.
    start_unix_ns: AtomicI64,
    /// When it is to be read again, in nanoseconds from `start`.
    read_again_at: AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            start_unix_ns: AtomicI64::new(0),
            read_again_at: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> Now {
        let mono = self.mono();
        let ns = nanos(mono);
        let start_unix_ns = match ns < self.read_again_at.load(Ordering::Relaxed) {
            true => self.start_unix_ns.load(Ordering::Relaxed),
            false => self.read_wall_clock(mono),
        };
        let unix_ms = (start_unix_ns + ns as i64).div_euclid(NANOS_PER_MILLI);
        Now { mono, unix_ms }
    }

    #[cold]
    fn read_wall_clock(&self, mono: Duration) -> i64 {
        let start_unix_ns = nanos(unix_time()) as i64 - nanos(mono) as i64;
        self.start_unix_ns.store(start_unix_ns, Ordering::Relaxed);
        let read_again_at = nanos(mono + WALL_CLOCK_INTERVAL);
        self.read_again_at.store(read_again_at, Ordering::Relaxed);
        start_unix_ns
    }

    pub(super) fn mono(&self) -> Duration {
        self.start.elapsed()
    }

    /// The instant of a monotonic time, or never if the system can't express it.
    pub(super) fn instant(&self, mono: Duration) -> Instant {
        (self.start.checked_add(mono)).unwrap_or_else(|| self.start + NEVER)
    }
}

/// Nanoseconds of a time below 292 years.
fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between two reads of the wall clock, one of the answers may be a millisecond off.
    #[test]
    fn the_wall_clock_is_followed() {
        let clock = Clock::start();
        for _ in 0..100_000 {
            let before = unix_time().as_millis() as i64;
            let now = clock.now();
            let after = unix_time().as_millis() as i64;
            assert!(before - 1 <= now.unix_ms && now.unix_ms <= after + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_was_set_is_read_again() {
        let clock = Clock::start();
        clock.now();
        clock.start_unix_ns.store(7, Ordering::Relaxed);
        assert_eq!(clock.now().unix_ms, 0);
        tokio::time::advance(WALL_CLOCK_INTERVAL).await;
        let before = unix_time().as_millis() as i64;
        let read = clock.now().unix_ms;
        let after = unix_time().as_millis() as i64;
        assert!((before..=after).contains(&read));
    }
}
