//! When a server counts as silent.
//!
//! One clock counts while answers are owed and none comes, another while bytes wait
//! to be written and none is taken. Messages that arrive stop neither: a proxy may
//! go on delivering and forward nothing. Both count only time in which the client ran
//! and read, from sample to sample.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Silence;
use crate::limits::{SILENCE_MIN, SILENCE_UNTOLD_MIN};
use crate::sync::lock;

/// Samples that are taken within the limit.
const SAMPLES: u32 = 8;

/// The longest silence of a server that pauses connections for `stall_timeout`.
pub(super) fn limit(answer_timeout: Duration, stall_timeout: Option<Duration>) -> Duration {
    let least = match stall_timeout {
        Some(stall_timeout) => stall_timeout.saturating_mul(2).max(SILENCE_MIN),
        None => SILENCE_UNTOLD_MIN,
    };
    answer_timeout.max(least)
}

/// The signs of a server at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sample {
    /// Whether it was handed messages that it has not answered.
    pub owes: bool,
    /// Answers that have come.
    pub answers: u64,
    /// Whether bytes wait to be written.
    pub waits: bool,
    /// Bytes that were taken.
    pub taken: u64,
}

/// Judges from samples whether a server is silent.
#[derive(Debug)]
pub(super) struct SilenceCheck {
    limit: Duration,
    last: Sample,
    last_at: Instant,
    /// For how long answers have been owed.
    owed: Duration,
    /// For how long nothing has been taken.
    untaken: Duration,
}

impl SilenceCheck {
    /// Begins with a server that owes nothing.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            last: Sample::default(),
            last_at: now,
            owed: Duration::ZERO,
            untaken: Duration::ZERO,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        let next = self.last_at.checked_add(self.interval());
        // A limit that long is never reached.
        next.unwrap_or(self.last_at + Duration::from_secs(3600))
    }

    /// Takes a sample, and returns the silence that has lasted as long as the limit.
    /// `unread` is the time since the last sample in which the client didn't read.
    pub(super) fn sample(
        &mut self,
        sample: Sample,
        now: Instant,
        unread: Duration,
    ) -> Option<Silence> {
        let elapsed = now.saturating_duration_since(self.last_at);
        // A sample that comes late was held up with the whole client.
        let ran = elapsed.min(self.interval().saturating_mul(2));
        let counts = ran.saturating_sub(unread);
        let last = std::mem::replace(&mut self.last, sample);
        self.last_at = now;
        let longer = |clock: Duration, goes_on: bool| match goes_on {
            true => clock.saturating_add(counts),
            false => Duration::ZERO,
        };
        // Owed all the while: at both ends, and none came in between.
        let owes = last.owes && sample.owes && last.answers == sample.answers;
        let waits = last.waits && sample.waits && last.taken == sample.taken;
        self.owed = longer(self.owed, owes);
        self.untaken = longer(self.untaken, waits);
        if self.owed >= self.limit {
            Some(Silence::NoAnswers)
        } else if self.untaken >= self.limit {
            Some(Silence::NothingTaken)
        } else {
            None
        }
    }

    fn interval(&self) -> Duration {
        self.limit / SAMPLES
    }
}

/// The signs of life of a client's connections. Only the session's task uses them;
/// the atomics make its future `Send`.
#[derive(Debug, Default)]
pub(super) struct Signs {
    answers: AtomicU64,
    taken: AtomicU64,
    /// Frames that were read.
    read: AtomicU64,
    waits: AtomicBool,
    unread: Mutex<Unread>,
}

#[derive(Debug, Default)]
struct Unread {
    since: Option<Instant>,
    total: Duration,
}

impl Signs {
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Notes that frames were read, and how many of them were answers.
    pub(super) fn read(&self, frames: usize, answers: usize) {
        count(&self.read, frames as u64);
        count(&self.answers, answers as u64);
    }

    /// The number of frames.
    pub(super) fn frames(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn took(&self, bytes: usize) {
        count(&self.taken, bytes as u64);
    }

    pub(super) fn set_waiting(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    pub(super) fn stop_reading(&self, now: Instant) {
        lock(&self.unread).since = Some(now);
    }

    pub(super) fn go_on_reading(&self, now: Instant) {
        let mut unread = lock(&self.unread);
        if let Some(since) = unread.since.take() {
            let more = now.saturating_duration_since(since);
            unread.total = unread.total.saturating_add(more);
        }
    }

    pub(super) fn is_reading(&self) -> bool {
        lock(&self.unread).since.is_none()
    }

    /// Takes the time in which the client has not read since the last call.
    pub(super) fn take_unread(&self, now: Instant) -> Duration {
        if !self.is_reading() {
            self.go_on_reading(now);
            self.stop_reading(now);
        }
        std::mem::take(&mut lock(&self.unread).total)
    }

    /// A sample of a server that `owes` answers or doesn't. While it is `parting` it
    /// takes nothing more but still delivers, so every frame is a sign of life.
    pub(super) fn sample(&self, owes: bool, parting: bool) -> Sample {
        Sample {
            owes,
            answers: match parting {
                false => self.answers(),
                true => self.answers().wrapping_add(self.frames()),
            },
            waits: !parting && self.waits.load(Ordering::Relaxed),
            taken: self.taken.load(Ordering::Relaxed),
        }
    }

    /// Forgets the state that belongs to the last connection alone.
    pub(super) fn connected(&self) {
        self.set_waiting(false);
        *lock(&self.unread) = Unread::default();
    }
}

/// Adds without a locked instruction: nobody else writes.
fn count(counter: &AtomicU64, more: u64) {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);
    const OWES: Sample = Sample {
        owes: true,
        answers: 0,
        waits: false,
        taken: 0,
    };
    const WAITS: Sample = Sample {
        owes: false,
        answers: 0,
        waits: true,
        taken: 0,
    };

    /// A check that gets each sample when it is due.
    struct Timeline {
        check: SilenceCheck,
        now: Instant,
    }

    impl Timeline {
        fn new() -> Self {
            let now = Instant::now();
            let check = SilenceCheck::new(LIMIT, now);
            Self { check, now }
        }

        fn next(&mut self, sample: Sample) -> Option<Silence> {
            self.now = self.check.next_at();
            self.check.sample(sample, self.now, Duration::ZERO)
        }

        fn late(&mut self, sample: Sample, late: Duration, unread: Duration) -> Option<Silence> {
            self.now = self.check.next_at() + late;
            self.check.sample(sample, self.now, unread)
        }
    }

    #[test]
    fn the_limit_is_never_shorter_than_the_pauses_of_the_server() {
        let seconds = Duration::from_secs;
        for (answer_timeout, stall_timeout, expected) in [
            (seconds(30), Some(seconds(2)), seconds(30)),
            (seconds(3), Some(seconds(2)), seconds(4)),
            (Duration::ZERO, Some(seconds(2)), seconds(4)),
            (Duration::ZERO, Some(Duration::ZERO), SILENCE_MIN),
            (Duration::ZERO, None, seconds(30)),
            (seconds(3), None, seconds(30)),
            (seconds(60), None, seconds(60)),
            (seconds(60), Some(Duration::MAX), Duration::MAX),
            (Duration::MAX, None, Duration::MAX),
        ] {
            assert_eq!(limit(answer_timeout, stall_timeout), expected);
        }
    }

    #[test]
    fn who_owes_an_answer_for_as_long_as_the_limit_is_silent() {
        for (sample, silence) in [(OWES, Silence::NoAnswers), (WAITS, Silence::NothingTaken)] {
            let mut timeline = Timeline::new();
            for _ in 0..SAMPLES {
                assert_eq!(timeline.next(sample), None);
            }
            assert_eq!(timeline.next(sample), Some(silence));
        }
    }

    #[test]
    fn an_answer_or_a_byte_that_is_taken_begins_it_anew() {
        let mut timeline = Timeline::new();
        for turn in 0..5 * u64::from(SAMPLES) {
            let sample = Sample {
                owes: true,
                answers: turn / 8,
                waits: true,
                taken: turn / 7,
            };
            assert_eq!(timeline.next(sample), None, "{turn}");
        }
    }

    #[test]
    fn who_owes_now_and_then_is_not_silent() {
        let mut timeline = Timeline::new();
        for turn in 0..5 * SAMPLES {
            let sample = match turn % 2 {
                0 => OWES,
                _ => Sample::default(),
            };
            assert_eq!(timeline.next(sample), None);
        }
    }

    #[test]
    fn time_in_which_the_client_did_not_run_counts_hardly() {
        let mut timeline = Timeline::new();
        assert_eq!(timeline.next(OWES), None);
        assert_eq!(timeline.late(OWES, LIMIT * 100, Duration::ZERO), None);
        assert_eq!(timeline.next(Sample { answers: 1, ..OWES }), None);
        // Stopped again and again, but it ran in between.
        let silent = (0..100).find_map(|_| timeline.late(OWES, LIMIT, Duration::ZERO));
        assert_eq!(silent, Some(Silence::NoAnswers));
    }

    #[test]
    fn time_in_which_the_client_did_not_read_does_not_count() {
        let mut timeline = Timeline::new();
        let both = Sample {
            waits: true,
            ..OWES
        };
        for _ in 0..10 * SAMPLES {
            let interval = timeline.check.interval();
            assert_eq!(timeline.late(both, Duration::ZERO, interval), None);
        }
        for _ in 1..SAMPLES {
            assert_eq!(timeline.next(both), None);
        }
        assert_eq!(timeline.next(both), Some(Silence::NoAnswers));
    }

    #[test]
    fn the_longest_limit_is_never_reached() {
        let now = Instant::now();
        let mut check = SilenceCheck::new(Duration::MAX, now);
        assert!(check.next_at() > now);
        for hours in 1..100 {
            let later = now + Duration::from_secs(3600 * hours);
            assert_eq!(check.sample(OWES, later, Duration::ZERO), None);
        }
    }

    #[test]
    fn unread_time_is_told_once_and_up_to_now() {
        let signs = Signs::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(signs.take_unread(at(1)), Duration::ZERO);
        signs.stop_reading(at(2));
        assert!(!signs.is_reading());
        assert_eq!(signs.take_unread(at(5)), Duration::from_secs(3));
        signs.go_on_reading(at(6));
        signs.stop_reading(at(8));
        signs.go_on_reading(at(9));
        assert!(signs.is_reading());
        assert_eq!(signs.take_unread(at(20)), Duration::from_secs(2));
        assert_eq!(signs.take_unread(at(30)), Duration::ZERO);
    }

    #[test]
    fn every_frame_of_a_server_that_parts_is_a_sign_of_life() {
        let signs = Signs::default();
        let [before, parting] = [false, true].map(|parting| signs.sample(true, parting));
        signs.read(1, 0);
        assert_eq!(signs.sample(true, false), before);
        assert_ne!(signs.sample(true, true), parting);
        signs.read(1, 1);
        assert_ne!(signs.sample(true, false), before);
    }
}
