//! The deadlines of a connection, and one sleep for all of them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};

use super::super::clock::Clock;

/// A reason to act at a certain time, in the order in which they are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// More of the frame that has begun must have come.
    Frame,
    /// A message must have been accepted.
    FirstMessage,
    /// There must be memory for the rest of a frame.
    Memory,
    /// The peer must have taken a byte of the answers that wait.
    Answers,
    /// The peer is to be looked at for a sign of life.
    Liveness,
    /// Buffers that are not in use are to be given back.
    Shrink,
    /// An event has waited for room as long as it may.
    Pause,
    /// The store must have answered a peer that sends no more.
    Store,
}

impl Timer {
    pub(super) const ALL: [Self; 8] = [
        Self::Frame,
        Self::FirstMessage,
        Self::Memory,
        Self::Answers,
        Self::Liveness,
        Self::Shrink,
        Self::Pause,
        Self::Store,
    ];
}

const NEVER: u64 = u64::MAX;

/// The times of all timers that run, counted from the start of the server.
#[derive(Debug)]
pub(super) struct TimerTable {
    /// In nanoseconds: every connection has a table.
    expiry_ns: [u64; Timer::ALL.len()],
    /// Exists while some timer runs; may wake before the first of them.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TimerTable {
    pub(super) fn new() -> Self {
        Self {
            expiry_ns: [NEVER; Timer::ALL.len()],
            sleep: None,
        }
    }

    /// Has `timer` expire at `at`, or stops it.
    pub(super) fn set(&mut self, timer: Timer, at: impl Into<Option<Duration>>) {
        self.expiry_ns[timer as usize] = at.into().map_or(NEVER, nanos);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.expiry_ns[timer as usize] != NEVER
    }

    /// Stops `timer` if it has expired at `now`, and returns whether it had.
    pub(super) fn take_expired(&mut self, timer: Timer, now: Duration) -> bool {
        let has_expired = self.expiry_ns[timer as usize] <= nanos(now);
        if has_expired {
            self.stop(timer);
        }
        has_expired
    }

    /// Waits until the first timer expires.
    pub(super) fn poll_expiry(&mut self, cx: &mut Context<'_>, clock: &Clock) -> Poll<()> {
        let first = self.expiry_ns.into_iter().min().filter(|ns| *ns != NEVER);
        let Some(first) = first.map(Duration::from_nanos) else {
            // To wake for nothing is cheaper than another sleep at every read.
            if let Some(sleep) = &mut self.sleep
                && sleep.as_mut().poll(cx).is_ready()
            {
                self.sleep = None;
            }
            return Poll::Pending;
        };
        let first = clock.instant(first);
        let sleep = match &mut self.sleep {
            Some(sleep) if sleep.deadline() <= first => sleep,
            _ => self.sleep.insert(Box::pin(sleep_until(first))),
        };
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(())
    }
}

/// Returns `time` in nanoseconds. A time that they can't express is never.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_first_timer_wakes_and_expires_once() {
        let clock = Clock::start();
        let mut timers = TimerTable::new();
        timers.set(Timer::Pause, 2 * SECOND);
        timers.set(Timer::Frame, SECOND);
        timers.set(Timer::Memory, Duration::ZERO);
        timers.stop(Timer::Memory);
        timers.set(Timer::FirstMessage, Duration::MAX);
        poll_fn(|cx| timers.poll_expiry(cx, &clock)).await;
        assert_eq!(clock.mono(), SECOND);
        let expired = Timer::ALL.map(|timer| timers.take_expired(timer, SECOND));
        assert_eq!(expired.iter().filter(|expired| **expired).count(), 1);
        assert!(!timers.take_expired(Timer::Frame, SECOND));
        assert!(timers.is_running(Timer::Pause));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_stopped_wakes_nobody() {
        let clock = Clock::start();
        let mut timers = TimerTable::new();
        timers.set(Timer::Frame, SECOND);
        assert!(futures_util::poll!(poll_fn(|cx| timers.poll_expiry(cx, &clock))).is_pending());
        timers.stop(Timer::Frame);
        let waiting = poll_fn(|cx| timers.poll_expiry(cx, &clock));
        assert!(tokio::time::timeout(3_600 * SECOND, waiting).await.is_err());
    }
}
