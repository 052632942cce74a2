//! How long to wait before the next attempt to connect.
//!
//! Exponential with full jitter: each delay is drawn evenly from zero up to a
//! bound that doubles, so clients that lost one server together come back spread
//! over it.

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::quality::FixedState;

#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// Delays drawn since the last reset.
    attempts: u32,
    /// Whether the next delay is one of the longest.
    foreign: bool,
    /// Hashes the number of a draw to a random number.
    random: FixedState,
    draws: u64,
}

impl Backoff {
    /// Delays of up to `first`, then twice that, and never above `longest`.
    pub(super) fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self {
            first: first.min(longest),
            longest,
            attempts: 0,
            foreign: false,
            random: FixedState::with_seed(seed),
            draws: 0,
        }
    }

    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound();
        self.attempts = self.attempts.saturating_add(1);
        self.draws += 1;
        // 53 bits fit an f64: a share from 0 to just below 1.
        let share = (self.random.hash_one(self.draws) >> 11) as f64 / (1_u64 << 53) as f64;
        match std::mem::take(&mut self.foreign) {
            false => bound.mul_f64(share),
            true => self.longest.mul_f64(0.5 + share / 2.0),
        }
    }

    /// Notes that somebody else answered: the next delay is at least half of the longest.
    pub(super) fn foreign_answer(&mut self) {
        self.foreign = true;
    }

    /// Makes the next delay a first one again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    fn bound(&self) -> Duration {
        let doubled = 2_u32.checked_pow(self.attempts);
        doubled
            .and_then(|times| self.first.checked_mul(times))
            .map_or(self.longest, |bound| bound.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn each_delay_stays_below_a_bound_that_doubles_up_to_the_longest() {
        let bounds_ms = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
        let mut largest = [Duration::ZERO; 10];
        let mut smallest = [LONGEST; 10];
        for seed in 0..1000 {
            let mut backoff = Backoff::new(FIRST, LONGEST, seed);
            for (attempt, bound) in bounds_ms.into_iter().enumerate() {
                let delay = backoff.next();
                assert!(delay < Duration::from_millis(bound), "seed {seed}");
                largest[attempt] = largest[attempt].max(delay);
                smallest[attempt] = smallest[attempt].min(delay);
            }
        }
        // Full jitter: the whole range is used.
        for (attempt, bound) in bounds_ms.into_iter().enumerate() {
            let bound = Duration::from_millis(bound);
            assert!(largest[attempt] > bound.mul_f64(0.95));
            assert!(smallest[attempt] < bound.mul_f64(0.05));
        }
    }

    #[test]
    fn after_a_foreign_answer_one_delay_is_among_the_longest() {
        for seed in 0..1000 {
            let mut backoff = Backoff::new(FIRST, LONGEST, seed);
            backoff.foreign_answer();
            let delay = backoff.next();
            assert!(delay >= LONGEST / 2 && delay <= LONGEST);
            assert!(backoff.next() < 2 * FIRST);
        }
    }

    #[test]
    fn a_reset_begins_anew_with_other_delays() {
        let mut backoff = Backoff::new(FIRST, LONGEST, 7);
        let before: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        backoff.reset();
        let after: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(after[0] < FIRST);
        assert_ne!(before, after);
    }

    #[test]
    fn no_number_of_attempts_and_no_limits_overflow() {
        for (first, longest) in [
            (FIRST, LONGEST),
            (Duration::MAX, Duration::MAX),
            (LONGEST, FIRST),
            (Duration::ZERO, Duration::ZERO),
        ] {
            let mut backoff = Backoff::new(first, longest, 1);
            for _ in 0..200 {
                assert!(backoff.next() <= longest);
            }
            backoff.attempts = u32::MAX;
            assert!(backoff.next() <= longest);
        }
    }
}
