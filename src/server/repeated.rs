//! Log lines that outsiders can cause as often as they like.

use std::sync::Mutex;
use std::time::Duration;

use crate::limits::REPEATED_LOG_INTERVAL;
use crate::sync::lock;

/// How often the same thing happened: the first time is logged at once, the
/// others are summed up, once an interval.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    /// When a line about it was written last, if that was lately.
    said: Option<Duration>,
    /// How often it happened since.
    count: u64,
}

/// A sum of repetitions, to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    /// How often it happened since the last line.
    pub(super) count: u64,
    /// How long ago that line was.
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
        let over = now.saturating_sub(self.said?);
        if over < REPEATED_LOG_INTERVAL {
            return None;
        }
        self.sum(now)
    }

    /// The sum so far, due or not: nothing follows.
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

/// The repeated lines about accepting connections.
#[derive(Debug, Default)]
pub(super) struct AcceptLog {
    refused: Mutex<Repeated>,
    failed: Mutex<Repeated>,
}

impl AcceptLog {
    /// A connection was refused, because `max` are served.
    pub(super) fn refused(&self, now: Duration, max: usize) {
        if lock(&self.refused).note(now) {
            tracing::warn!(max, "too many connections: one was refused");
        }
    }

    /// A connection could not be accepted.
    pub(super) fn failed(&self, now: Duration, error: &std::io::Error) {
        if lock(&self.failed).note(now) {
            tracing::warn!(%error, "can't accept a connection");
        }
    }

    /// Writes the sums that are due.
    pub(super) fn tend(&self, now: Duration) {
        self.write(|repeated| repeated.due(now));
    }

    /// Writes all sums: nothing is accepted any more.
    pub(super) fn end(&self, now: Duration) {
        self.write(|repeated| repeated.sum(now));
    }

    fn write(&self, sum: impl Fn(&mut Repeated) -> Option<Sum>) {
        // The locks are not held while a line is written.
        let (refused, failed) = (sum(&mut lock(&self.refused)), sum(&mut lock(&self.failed)));
        if let Some(sum) = refused {
            let (count, seconds) = (sum.count, sum.seconds());
            tracing::warn!("refused {count} connections in {seconds} s");
        }
        if let Some(sum) = failed {
            let (count, seconds) = (sum.count, sum.seconds());
            tracing::warn!("could not accept a connection {count} times in {seconds} s");
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
