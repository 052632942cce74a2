//! Log lines that outsiders can cause as often as they like.

use std::sync::Mutex;
use std::time::Duration;

use crate::limits::REPEATED_LOG_INTERVAL;
use crate::sync::lock;

/// Counts repetitions: the first is logged at once, the others by sums.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    /// The time of the last line, if that was lately.
    said: Option<Duration>,
    /// The repetitions since.
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: u64,
    /// The time since the last line.
    pub(super) over: Duration,
}

impl Repeated {
    /// Counts one more, and returns whether it is to be said at once.
    pub(super) fn note(&mut self, now: Duration) -> bool {
        if self.said.is_some() {
            self.count += 1;
            return false;
        }
        self.said = Some(now);
        true
    }

    /// The sum that is due. To be called now and then.
    pub(super) fn due(&mut self, now: Duration) -> Option<Sum> {
        let is_due = now.saturating_sub(self.said?) >= REPEATED_LOG_INTERVAL;
        is_due.then(|| self.sum(now)).flatten()
    }

    /// The sum so far, due or not.
    pub(super) fn sum(&mut self, now: Duration) -> Option<Sum> {
        let over = now.saturating_sub(self.said?);
        let count = std::mem::take(&mut self.count);
        // Whatever follows a sum is summed up as well.
        self.said = (count > 0).then_some(now);
        (count > 0).then_some(Sum { count, over })
    }
}

impl Sum {
    /// The time in seconds, rounded up.
    fn seconds(self) -> u128 {
        self.over.as_millis().div_ceil(1_000).max(1)
    }
}

#[derive(Debug, Default)]
pub(super) struct AcceptLog {
    refused: Mutex<Repeated>,
    failed: Mutex<Repeated>,
}

impl AcceptLog {
    /// Notes that a connection was refused, because `max` are served.
    pub(super) fn refused(&self, now: Duration, max: usize) {
        if lock(&self.refused).note(now) {
            tracing::warn!(max, "too many connections: one was refused");
        }
    }

    /// Notes that a connection could not be accepted.
    pub(super) fn failed(&self, now: Duration, error: &std::io::Error) {
        if lock(&self.failed).note(now) {
            tracing::warn!(%error, "can't accept a connection");
        }
    }

    /// Writes the sums that `of` gives: [`Repeated::due`], or [`Repeated::sum`] at the end.
    pub(super) fn write(&self, now: Duration, of: fn(&mut Repeated, Duration) -> Option<Sum>) {
        let sum = |repeated| of(&mut lock(repeated), now);
        // The locks are not held while a line is written.
        let (refused, failed) = (sum(&self.refused), sum(&self.failed));
        if let Some(sum) = refused {
            tracing::warn!("refused {} connections in {} s", sum.count, sum.seconds());
        }
        if let Some(sum) = failed {
            let Sum { count, .. } = sum;
            tracing::warn!(
                "could not accept a connection {count} times in {} s",
                sum.seconds()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sum(count: u64, seconds: u64) -> Option<Sum> {
        Some(Sum {
            count,
            over: at(seconds),
        })
    }

    #[test]
    fn the_first_is_said_at_once_and_the_rest_once_in_10_s() {
        let mut repeated = Repeated::default();
        let mut lines = 0;
        for second in 0..60 {
            for _ in 0..50 {
                lines += u32::from(repeated.note(at(second)));
            }
            if let Some(sum) = repeated.due(at(second)) {
                lines += 1;
                let expected = if second == 10 { 549 } else { 500 };
                assert_eq!(sum.count, expected, "{second}");
                assert_eq!(sum.over, at(10));
            }
        }
        assert_eq!(lines, 6);
    }

    #[test]
    fn a_flood_that_ends_is_summed_up_and_forgotten() {
        let mut repeated = Repeated::default();
        assert!(repeated.note(at(5)));
        assert!(!repeated.note(at(6)));
        assert_eq!(repeated.due(at(14)), None);
        assert_eq!(repeated.due(at(15)), sum(1, 10));
        assert_eq!(repeated.due(at(24)), None);
        assert_eq!(repeated.due(at(25)), None, "nothing has happened");
        assert!(repeated.note(at(26)), "this is news again");
    }

    #[test]
    fn what_is_not_yet_due_is_said_at_the_end() {
        let mut repeated = Repeated::default();
        assert_eq!(repeated.sum(at(1)), None);
        assert!(repeated.note(at(1)));
        assert!(!repeated.note(at(2)));
        assert_eq!(repeated.sum(at(3)), sum(1, 2));
        assert_eq!(repeated.sum(at(4)), None);
    }
}
