//! The due times of a paced load.

use std::time::Duration;

/// Shorter waits are spun through: the system's timers are coarser.
const SPIN_BELOW: Duration = Duration::from_millis(2);
const NANOS: u64 = 1_000_000_000;

/// Messages at even intervals, from one sender after the other.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Messages a second.
    rate: u64,
    /// Messages in all.
    total: u64,
    senders: u64,
    /// The next message.
    next: u64,
}

impl Schedule {
    /// `total` messages, `rate` a second, over `senders` senders.
    pub fn new(rate: u64, total: u64, senders: usize) -> Self {
        Self {
            rate,
            total,
            senders: senders as u64,
            next: 0,
        }
    }

    /// The time from one message to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(NANOS / self.rate)
    }

    /// The due time of a message of a sender, in nanoseconds from the start.
    pub fn due_ns(&self, sender: usize, number: u64) -> u64 {
        self.due(number * self.senders + sender as u64)
    }

    /// Takes the next message if it is due: its sender, and its due time.
    pub fn take_due(&mut self, now_ns: u64) -> Option<(usize, u64)> {
        let due = self.due(self.next);
        if self.is_over() || due > now_ns {
            return None;
        }
        let sender = (self.next % self.senders) as usize;
        self.next += 1;
        Some((sender, due))
    }

    /// Returns whether all messages have been due.
    pub fn is_over(&self) -> bool {
        self.next == self.total
    }

    /// The time to sleep until the next message: none if it is near, for sleeping
    /// is coarse, unless `may_spin` is false.
    pub fn sleep(&self, now_ns: u64, may_spin: bool) -> Duration {
        let wait = Duration::from_nanos(self.due(self.next).saturating_sub(now_ns));
        if wait < SPIN_BELOW && may_spin {
            return Duration::ZERO;
        }
        // The poll rounds up to milliseconds.
        let millis = (wait.as_millis() as u64).saturating_sub(u64::from(may_spin));
        Duration::from_millis(millis.min(super::TICK.as_millis() as u64))
    }

    fn due(&self, message: u64) -> u64 {
        message / self.rate * NANOS + message % self.rate * NANOS / self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_intervals_from_the_start() {
        let mut schedule = Schedule::new(3, 7, 2);
        assert_eq!(schedule.take_due(0), Some((0, 0)));
        assert_eq!(schedule.take_due(333_333_332), None);
        // Late: due since long, one after the other.
        let late: Vec<_> = std::iter::from_fn(|| schedule.take_due(9 * NANOS)).collect();
        let senders: Vec<_> = late.iter().map(|(sender, _)| *sender).collect();
        assert_eq!(senders, [1, 0, 1, 0, 1, 0]);
        let due: Vec<_> = late.iter().map(|(_, due)| *due).collect();
        assert_eq!(due[..3], [333_333_333, 666_666_666, NANOS]);
        assert!(schedule.is_over());
        assert_eq!(schedule.due_ns(0, 0), 0);
        assert_eq!(schedule.due_ns(1, 1), NANOS);
    }

    #[test]
    fn sleeps_only_where_there_is_time_to() {
        let mut schedule = Schedule::new(10, 7, 1);
        assert_eq!(schedule.sleep(0, true), Duration::ZERO);
        schedule.take_due(0);
        assert_eq!(schedule.sleep(60_000_000, true), Duration::from_millis(39));
        assert_eq!(schedule.sleep(0, true), super::super::TICK);
        assert_eq!(schedule.sleep(98_500_000, true), Duration::ZERO);
        assert_eq!(schedule.sleep(98_500_000, false), Duration::from_millis(1));
    }
}
