//! The patience of `send` with a server that does nothing.
//!
//! One clock waits for answers: it runs while some are owed to messages that the
//! kernel has taken, and each sets it back. Another waits for the kernel to take
//! bytes: it runs while some wait, and each taken sets it back. Other messages set
//! back neither: a server that writes and reads nothing is as good as gone.

use std::time::{Duration, Instant};

use tickwire::limits::{FRAME_BYTES_MAX_MAX, SILENCE_UNTOLD_MIN, STALL_TIMEOUT_MAX};

/// The longest time until an answer, or until the kernel takes a byte.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that are still read when the limit is up: a receive buffer holds no more.
const LAST_LOOK_BYTES: usize = FRAME_BYTES_MAX_MAX;

/// The limit of both clocks: not below a pause that the server may make.
pub fn limit(answer_timeout: Duration, stall_timeout: Option<Duration>) -> Duration {
    let pauses = stall_timeout.map_or(SILENCE_UNTOLD_MIN, |stall| {
        stall.min(STALL_TIMEOUT_MAX).saturating_mul(2)
    });
    answer_timeout.max(pauses)
}

/// The events of a connection since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observation {
    /// Answers are owed to messages that the kernel has taken.
    pub owed: bool,
    pub answered: bool,
    /// Bytes wait to be taken by the kernel.
    pub unwritten: bool,
    pub taken: u64,
    pub read: usize,
    /// All was read that had come by then.
    pub read_all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Answers,
    Reading,
}

#[derive(Debug)]
pub struct Patience {
    pub limit: Duration,
    answers: Clock,
    writing: Clock,
    taken: u64,
    /// The shortest time of a last look.
    tick: Duration,
    last_look: Option<LastLook>,
}

/// The look after the limit is up: answers that are read in it count.
#[derive(Debug)]
struct LastLook {
    since: Instant,
    left: usize,
}

impl Patience {
    /// Clocks that are up after `limit`, and looked at every `tick` or more often.
    pub fn new(limit: Duration, tick: Duration) -> Self {
        Self {
            limit,
            answers: Clock::default(),
            writing: Clock::default(),
            taken: 0,
            tick,
            last_look: None,
        }
    }

    /// Takes note of the events up to `now`. Returns the lack for which to give up,
    /// but not before a last look, for a tick and until all is read: while this
    /// program was stopped the clocks ran on, and answers may have come.
    pub fn observe(&mut self, now: Instant, seen: &Observation) -> Option<Lack> {
        let moved = seen.taken != self.taken;
        self.taken = seen.taken;
        self.answers.observe(now, seen.owed, seen.answered);
        self.writing.observe(now, seen.unwritten, moved);
        // A server that doesn't read can't answer either.
        let lack = if self.writing.is_up(now, self.limit) {
            Lack::Reading
        } else if self.answers.is_up(now, self.limit) {
            Lack::Answers
        } else {
            self.last_look = None;
            return None;
        };
        let look = self.last_look.get_or_insert(LastLook {
            since: now,
            left: LAST_LOOK_BYTES,
        });
        look.left = look.left.saturating_sub(seen.read);
        let was_long_enough = now.saturating_duration_since(look.since) >= self.tick;
        (was_long_enough && seen.read_all || look.left == 0).then_some(lack)
    }
}

/// The time from which something should have happened.
#[derive(Debug, Default)]
struct Clock(Option<Instant>);

impl Clock {
    fn observe(&mut self, now: Instant, runs: bool, set_back: bool) {
        match self.0 {
            _ if !runs => self.0 = None,
            Some(_) if !set_back => {}
            _ => self.0 = Some(now),
        }
    }

    fn is_up(&self, now: Instant, limit: Duration) -> bool {
        (self.0).is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const TICK: Duration = Duration::from_millis(500);

    const OWED: Observation = Observation {
        owed: true,
        answered: false,
        unwritten: false,
        taken: 1_000,
        read: 0,
        read_all: true,
    };
    const STUCK: Observation = Observation {
        owed: false,
        unwritten: true,
        ..OWED
    };

    /// Clocks, and the time at which they are looked at.
    struct Watch {
        patience: Patience,
        now: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Self {
                patience: Patience::new(LIMIT, TICK),
                now: Instant::now(),
            }
        }

        fn after(&mut self, time: Duration, seen: Observation) -> Option<Lack> {
            self.now += time;
            self.patience.observe(self.now, &seen)
        }

        /// Returns the outcome of a `time` of ticks at which `seen` holds.
        fn throughout(&mut self, time: Duration, seen: Observation) -> Option<Lack> {
            let ticks = time.as_millis() / TICK.as_millis();
            (0..ticks).find_map(|_| self.after(TICK, seen))
        }
    }

    #[test]
    fn a_server_that_owes_answers_and_gives_none_is_given_up() {
        let mut watch = Watch::new();
        assert_eq!(watch.throughout(LIMIT, OWED), None);
        assert_eq!(watch.throughout(2 * TICK, OWED), Some(Lack::Answers));
    }

    #[test]
    fn a_server_that_takes_no_bytes_is_given_up() {
        let mut watch = Watch::new();
        assert_eq!(watch.throughout(LIMIT, STUCK), None);
        assert_eq!(watch.throughout(2 * TICK, STUCK), Some(Lack::Reading));
    }

    /// As from a proxy that delivers and forwards nothing.
    #[test]
    fn messages_that_are_no_answers_set_back_neither_clock() {
        for (seen, lack) in [(OWED, Lack::Answers), (STUCK, Lack::Reading)] {
            let mut watch = Watch::new();
            let trickle = Observation { read: 300, ..seen };
            assert_eq!(watch.throughout(LIMIT, trickle), None);
            assert_eq!(watch.throughout(2 * TICK, trickle), Some(lack));
            // Where there is always more to read, the last look ends, too.
            let mut watch = Watch::new();
            let flood = Observation {
                read: 64 * 1024,
                read_all: false,
                ..seen
            };
            assert_eq!(watch.throughout(LIMIT + 2 * TICK, flood), None);
            assert_eq!(watch.throughout(20 * LIMIT, flood), Some(lack));
        }
    }

    #[test]
    fn answers_set_back_the_one_clock_and_bytes_taken_the_other() {
        let mut watch = Watch::new();
        let answered = Observation {
            answered: true,
            read: 100,
            ..OWED
        };
        for _ in 0..10 {
            assert_eq!(watch.throughout(LIMIT - TICK, OWED), None);
            assert_eq!(watch.after(TICK, answered), None);
        }
        for taken in 1_001..1_010 {
            let slow = Observation { taken, ..STUCK };
            assert_eq!(watch.throughout(LIMIT, slow), None);
        }
        // Bytes that are taken are no answer.
        let mut watch = Watch::new();
        let lack = (0..).find_map(|taken| watch.after(TICK, Observation { taken, ..OWED }));
        assert_eq!(lack, Some(Lack::Answers));
    }

    #[test]
    fn nothing_owed_and_nothing_to_write_can_last_for_ever() {
        let mut watch = Watch::new();
        let idle = Observation {
            owed: false,
            ..OWED
        };
        assert_eq!(watch.throughout(10 * LIMIT, idle), None);
        // Nor does that time count for answers that are owed later.
        assert_eq!(watch.throughout(LIMIT, OWED), None);
    }

    #[test]
    fn time_in_which_nothing_was_read_is_followed_by_a_last_look() {
        let answered = Observation {
            answered: true,
            read: 100,
            ..OWED
        };
        let mut watch = Watch::new();
        assert_eq!(watch.after(TICK, OWED), None);
        // Stopped, and going on: first something else is read, then the answer.
        let other = Observation {
            read: 64 * 1024,
            read_all: false,
            ..OWED
        };
        assert_eq!(watch.after(100 * LIMIT, other), None);
        assert_eq!(watch.after(TICK, other), None);
        assert_eq!(watch.after(TICK, answered), None);
        // Or it comes a moment later, as behind a machine that was suspended.
        assert_eq!(watch.after(100 * LIMIT, OWED), None);
        assert_eq!(watch.after(TICK / 2, answered), None);
        // And the limit is whole again.
        assert_eq!(watch.throughout(LIMIT - TICK, OWED), None);
    }

    #[test]
    fn the_limit_outlasts_the_servers_pauses() {
        let seconds = Duration::from_secs;
        assert_eq!(limit(seconds(60), Some(seconds(2))), seconds(60));
        assert_eq!(limit(seconds(60), Some(seconds(45))), seconds(90));
        assert_eq!(limit(seconds(1), Some(seconds(2))), seconds(4));
        assert_eq!(limit(seconds(1), None), seconds(30));
        assert_eq!(limit(seconds(60), None), seconds(60));
        // Even if a server says more.
        let most = limit(seconds(60), Some(Duration::MAX));
        assert_eq!(most, 2 * STALL_TIMEOUT_MAX);
        let mut patience = Patience::new(Duration::MAX, TICK);
        assert_eq!(patience.observe(Instant::now(), &OWED), None);
    }
}
