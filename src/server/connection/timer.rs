//! The deadlines of a connection: a time for each reason to act although
//! nothing arrives, and one sleep for all of them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A reason to act at a certain time, in the order in which those that are due
/// together are handled.
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
}

impl Timer {
    pub(super) const ALL: [Self; 7] = [
        Self::Frame,
        Self::FirstMessage,
        Self::Memory,
        Self::Answers,
        Self::Liveness,
        Self::Shrink,
        Self::Pause,
    ];
}

/// The times of all timers that run.
#[derive(Debug, Default)]
pub(super) struct TimerTable {
    expiry: [Option<Instant>; Timer::ALL.len()],
    /// Exists while some timer runs; may wake before the first of them.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TimerTable {
    /// Has `timer` expire at `at`, or stops it.
    pub(super) fn set(&mut self, timer: Timer, at: impl Into<Option<Instant>>) {
        self.expiry[timer as usize] = at.into();
    }

    /// Has `timer` expire after `delay`, unless it runs already.
    pub(super) fn set_unless_running(&mut self, timer: Timer, delay: Duration) {
        let expiry = &mut self.expiry[timer as usize];
        expiry.get_or_insert_with(|| Instant::now() + delay);
    }

    /// Stops `timer`.
    pub(super) fn stop(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.expiry[timer as usize].is_some()
    }

    /// Stops `timer` if it has expired at `now`, and returns whether it had.
    pub(super) fn take_expired(&mut self, timer: Timer, now: Instant) -> bool {
        let expiry = &mut self.expiry[timer as usize];
        expiry.take_if(|at| *at <= now).is_some()
    }

    /// Waits until the first timer expires.
    pub(super) fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(first) = self.expiry.iter().flatten().min().copied() else {
            // A sleep may wake for nothing; that is cheaper than to drop it and
            // to make another at every read.
            if let Some(sleep) = &mut self.sleep
                && sleep.as_mut().poll(cx).is_ready()
            {
                self.sleep = None;
            }
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            Some(sleep) if sleep.deadline() <= first => sleep,
            _ => self.sleep.insert(Box::pin(sleep_until(first))),
        };
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn each_timer_has_a_place_of_its_own() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, index);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_timer_wakes_and_expires_once() {
        let start = Instant::now();
        let mut timers = TimerTable::default();
        timers.set(Timer::Pause, start + Duration::from_secs(2));
        timers.set(Timer::Frame, start + Duration::from_secs(1));
        timers.set(Timer::Memory, start);
        timers.stop(Timer::Memory);
        poll_fn(|cx| timers.poll_expiry(cx)).await;
        let now = Instant::now();
        assert_eq!(now, start + Duration::from_secs(1));
        let expired = Timer::ALL.map(|timer| timers.take_expired(timer, now));
        assert_eq!(expired.iter().filter(|expired| **expired).count(), 1);
        assert!(!timers.take_expired(Timer::Frame, now));
        assert!(timers.is_running(Timer::Pause));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_stopped_wakes_nobody() {
        let mut timers = TimerTable::default();
        let hour = Duration::from_secs(3_600);
        timers.set(Timer::Frame, Instant::now() + Duration::from_secs(1));
        assert!(futures_util::poll!(poll_fn(|cx| timers.poll_expiry(cx))).is_pending());
        timers.stop(Timer::Frame);
        let waiting = poll_fn(|cx| timers.poll_expiry(cx));
        assert!(tokio::time::timeout(hour, waiting).await.is_err());
    }
}
