//! Lines that a callsite repeats: the first are written, the others summed up.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use tickwire::limits::{LOG_REPEAT_INTERVAL, LOG_REPEATS_MAX};

/// Lines that repeat, by callsite `P`. There is a bounded number of callsites.
#[derive(Debug, Default)]
pub struct Repeats<P> {
    callsites: HashMap<P, Interval>,
}

#[derive(Debug)]
struct Interval {
    until: Instant,
    written: u32,
    held_back: u64,
    last: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Sum<P> {
    pub callsite: P,
    pub count: u64,
    pub last: String,
}

impl<P: Copy + Eq + Hash> Repeats<P> {
    pub fn admit(&mut self, callsite: P, now: Instant) -> bool {
        let interval = self.interval(callsite, now);
        let admitted = interval.written < LOG_REPEATS_MAX;
        interval.written += u32::from(admitted);
        admitted
    }

    pub fn hold_back(&mut self, callsite: P, text: String, now: Instant) {
        let interval = self.interval(callsite, now);
        interval.held_back += 1;
        interval.last = text;
    }

    fn interval(&mut self, callsite: P, now: Instant) -> &mut Interval {
        let anew = || Interval {
            until: now + LOG_REPEAT_INTERVAL,
            written: 0,
            held_back: 0,
            last: String::new(),
        };
        let interval = self.callsites.entry(callsite).or_insert_with(anew);
        // The lines held back must be told before their count begins anew.
        if interval.until <= now && interval.held_back == 0 {
            *interval = anew();
        }
        interval
    }

    pub fn due(&self) -> Option<Instant> {
        let intervals = self.callsites.values();
        let held_back = intervals.filter(|interval| interval.held_back > 0);
        held_back.map(|interval| interval.until).min()
    }

    /// Takes a sum whose interval is over at `now`, or any if `now` is `None`.
    pub fn take(&mut self, now: Option<Instant>) -> Option<Sum<P>> {
        let is_due = |_: &P, interval: &mut Interval| {
            interval.held_back > 0 && now.is_none_or(|now| interval.until <= now)
        };
        let (callsite, interval) = self.callsites.extract_if(is_due).next()?;
        Some(Sum {
            callsite,
            count: interval.held_back,
            last: interval.last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers `count` lines, and returns how many were admitted.
    fn offer(repeats: &mut Repeats<u8>, callsite: u8, count: u32, now: Instant) -> u32 {
        let mut admitted = 0;
        for number in 0..count {
            match repeats.admit(callsite, now) {
                true => admitted += 1,
                false => repeats.hold_back(callsite, format!("line {number}"), now),
            }
        }
        admitted
    }

    #[test]
    fn a_flood_from_one_place_is_summed_up_once_an_interval() {
        let now = Instant::now();
        let mut repeats = Repeats::default();
        assert_eq!(offer(&mut repeats, 1, 500, now), LOG_REPEATS_MAX);
        assert_eq!(offer(&mut repeats, 2, 3, now), 3);
        let later = now + LOG_REPEAT_INTERVAL;
        assert_eq!(repeats.due(), Some(later));
        assert_eq!(repeats.take(Some(now)), None);
        // It goes on after its interval, and nobody has asked in between.
        assert_eq!(offer(&mut repeats, 1, 1, later), 0);
        let sum = repeats.take(Some(later)).unwrap();
        assert_eq!(sum.callsite, 1);
        assert_eq!(sum.count, u64::from(500 - LOG_REPEATS_MAX) + 1);
        assert_eq!(sum.last, "line 0");
        assert_eq!(repeats.take(Some(later)), None);
        assert_eq!(offer(&mut repeats, 1, 500, later), LOG_REPEATS_MAX);
        assert!(repeats.take(None).is_some());
        assert_eq!(repeats.due(), None);
    }

    #[test]
    fn a_place_that_writes_seldom_is_never_held_back() {
        let mut now = Instant::now();
        let mut repeats = Repeats::default();
        for _ in 0..1_000 {
            assert_eq!(offer(&mut repeats, 1, 1, now), 1);
            now += LOG_REPEAT_INTERVAL / LOG_REPEATS_MAX;
        }
    }
}
