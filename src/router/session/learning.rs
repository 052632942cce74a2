//! A limit on the shapes that one session teaches the server. Shapes are shared: no
//! connection may push out those of others, nor make every frame pay for learning.

use std::time::Duration;

use crate::limits::{SHAPE_CREDIT_INTERVAL, SHAPES_PER_CONNECTION_MAX};
use crate::router::now::Now;
use crate::wire::LearnOutcome;

/// Attempts without a shape before learning rests.
const FRUITLESS_MAX: u8 = 32;
/// The frames of a rest. Learning costs a few times as much as parsing, so a
/// connection without repeating frames pays a hundredth for it.
const REST_FRAMES: u16 = 1_024;

#[derive(Debug)]
pub(crate) struct Learning {
    /// Shapes that may still be learned.
    credit: u8,
    /// Attempts in a row that led to no shape.
    fruitless: u8,
    /// A shape was learned since [`Learning::has_news`] was last called.
    news: bool,
    /// Frames to pass before the next attempt.
    rest: u16,
    /// The time at which the credit was last raised, in whole intervals.
    raised: u32,
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            credit: SHAPES_PER_CONNECTION_MAX,
            fruitless: 0,
            news: false,
            rest: 0,
            raised: 0,
        }
    }
}

impl Learning {
    /// Returns whether to learn from this frame, which no shape recognised.
    pub(crate) fn may_learn(&mut self, now: Now) -> bool {
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        let interval = intervals(now.mono);
        if interval > self.raised {
            self.raised = interval;
            self.credit = self.credit.saturating_add(1).min(SHAPES_PER_CONNECTION_MAX);
        }
        self.credit > 0
    }

    /// Returns whether a shape was learned since the last call: then the table that
    /// the read has loaded is out of date.
    #[inline]
    pub(super) fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    pub(crate) fn note(&mut self, learned: LearnOutcome) {
        match learned {
            LearnOutcome::Shape(_) => {
                self.credit = self.credit.saturating_sub(1);
                self.news = true;
                self.fruitless = 0;
            }
            LearnOutcome::Known(_) => self.fruitless = 0,
            LearnOutcome::Nothing | LearnOutcome::FirstSighting => {
                self.fruitless += 1;
                if self.fruitless == FRUITLESS_MAX {
                    self.fruitless = 0;
                    self.rest = REST_FRAMES;
                }
            }
        }
    }
}

fn intervals(mono: Duration) -> u32 {
    u32::try_from(mono.as_secs() / SHAPE_CREDIT_INTERVAL.as_secs()).unwrap_or(u32::MAX)
}
