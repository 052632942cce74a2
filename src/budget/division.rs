//! The division of the total among accounts.

/// The parts of a total, in bytes. See the [module](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Division {
    /// Counted bytes up to which nobody is refused.
    pub(crate) first_come: usize,
    /// Bytes divided among the queues that hold something.
    pub(crate) shares: usize,
    /// Bytes divided among all queues, for those that were empty so far.
    pub(crate) late: usize,
    /// Bytes of incomplete frames up to which any may grow.
    pub(crate) input: usize,
}

/// The bytes that one account may have at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Bytes of an account in all.
    pub(crate) each: usize,
    /// Bytes that are left for all together.
    pub(crate) left: usize,
    /// The largest message that an empty queue takes all the same.
    pub(crate) any_one: usize,
}

impl Allowance {
    /// Nothing is short.
    pub(crate) const ALL: Self = Self {
        each: usize::MAX,
        left: usize::MAX,
        any_one: usize::MAX,
    };

    /// Bytes that a queue may hold, with `own` already and `others` of its account.
    pub(crate) fn of_queue(self, own: usize, others: usize) -> usize {
        let of_account = self.each.saturating_sub(others);
        of_account.min(own.saturating_add(self.left))
    }

    /// Returns whether a queue with `own` bytes takes a message of `size` bytes.
    pub(crate) fn takes(self, size: usize, own: usize, others: usize, is_empty: bool) -> bool {
        own.saturating_add(size) <= self.of_queue(own, others) || is_empty && size <= self.any_one
    }
}

impl Division {
    pub(crate) fn of(total: usize) -> Self {
        Self {
            first_come: total / 8,
            shares: total / 2,
            late: total / 8,
            input: total / 8,
        }
    }

    /// The bytes that an account may have while `used` bytes are counted and `holding`
    /// of `queues` hold something.
    pub(crate) fn allowance(&self, used: usize, holding: usize, queues: usize) -> Allowance {
        if used <= self.first_come {
            return Allowance::ALL;
        }
        let shares_end = self.first_come + self.shares;
        let left = (shares_end + self.late).saturating_sub(used);
        if used < shares_end {
            return Allowance {
                each: self.shares / holding.max(1),
                left,
                any_one: shares_end - used,
            };
        }
        Allowance {
            each: self.late / queues.max(holding).max(1),
            left,
            any_one: 0,
        }
    }

    /// All bytes but those for incomplete frames.
    #[cfg(test)]
    pub(crate) fn queued_max(&self) -> usize {
        self.first_come + self.shares + self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queues that take all they can get, one chunk at a time.
    struct Queues {
        division: Division,
        held: Vec<usize>,
        wanted: usize,
    }

    const CHUNK: usize = 512;

    impl Queues {
        fn new(total: usize, queues: usize, wanted: usize) -> Self {
            Self {
                division: Division::of(total),
                held: vec![0; queues],
                wanted,
            }
        }

        fn used(&self) -> usize {
            self.held.iter().sum()
        }

        /// Returns whether the queue got another chunk.
        fn take(&mut self, queue: usize) -> bool {
            let held = self.held.iter().enumerate();
            let holding = held.filter(|&(at, &held)| at == queue || held > 0).count();
            let own = self.held[queue];
            let allowance = (self.division).allowance(self.used(), holding, self.held.len());
            let takes = own + CHUNK <= self.wanted && allowance.takes(CHUNK, own, 0, own == 0);
            if takes {
                self.held[queue] += CHUNK;
            }
            takes
        }
    }

    #[test]
    fn queues_that_fill_side_by_side_have_their_shares_and_leave_room_for_one_more() {
        let mut queues = Queues::new(1 << 20, 33, 1 << 18);
        while (0..32)
            .map(|queue| queues.take(queue))
            .filter(|&took| took)
            .count()
            > 0
        {}
        let share = (1 << 19) / 33;
        for held in &queues.held[..32] {
            assert!(*held + 2 * CHUNK > share, "{held} of {share}");
        }
        while queues.take(32) {}
        assert!(
            queues.held[32] + CHUNK > share,
            "{} of {share}",
            queues.held[32]
        );
        assert!(queues.used() <= queues.division.queued_max());
    }

    #[test]
    fn queues_that_fill_one_after_the_other_leave_something_for_the_last() {
        let mut queues = Queues::new(1 << 20, 33, 1 << 18);
        for queue in 0..33 {
            while queues.take(queue) {}
        }
        let least = (1 << 17) / 33;
        for held in &queues.held {
            assert!(*held + CHUNK > least, "{held} of {least}");
        }
        assert!(queues.used() <= queues.division.queued_max());
    }

    #[test]
    fn nobody_is_refused_while_little_is_used() {
        let division = Division::of(1 << 20);
        assert_eq!(division.allowance(1 << 17, 1_000, 1_000), Allowance::ALL);
        let scarce = division.allowance((1 << 17) + 1, 1_000, 1_000);
        assert_eq!(scarce.each, (1 << 19) / 1_000);
    }

    #[test]
    fn many_queues_of_one_account_share_one_share() {
        let allowance = Division::of(1 << 20).allowance(1 << 18, 4, 4);
        let share = 1 << 17;
        assert!(allowance.takes(1_000, share - 1_000, 0, false));
        assert!(!allowance.takes(1_000, share - 1_000, 1, false));
        assert!(!allowance.takes(1_000, 10, share, false));
    }

    #[test]
    fn an_empty_queue_takes_any_one_message_but_for_what_is_kept_for_late_ones() {
        let division = Division::of(1 << 20);
        let shares_end = division.first_come + division.shares;
        let before = division.allowance(shares_end - 1_000, 1_000, 1_000);
        assert!(before.takes(1_000, 0, 0, true));
        assert!(!before.takes(1_001, 0, 0, true));
        assert!(!before.takes(1_000, 0, 0, false));
        let late = division.allowance(shares_end, 1_000, 1_000);
        assert!(late.takes(100, 0, 0, true));
        assert!(!late.takes(1_000, 0, 0, true));
        let none = division.allowance(division.queued_max(), 1, 1);
        assert!(!none.takes(1, 0, 0, true));
    }
}
