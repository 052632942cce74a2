//! The rate of arrivals, or of answers, within a part of a run.

use std::time::{Duration, Instant};

/// The measured part of a run.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The time before it.
    pub warm_up: Duration,
    /// Its length.
    pub measured: Duration,
}

/// Takes the rate of the units that arrive within a window: bytes, or answers.
#[derive(Debug)]
pub struct Gauge {
    window: Window,
    begin: Instant,
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Gauge {
    /// The run begins at `start`.
    pub fn new(window: Window, start: Instant) -> Self {
        Self {
            window,
            begin: start + window.warm_up,
            first: None,
            last: None,
        }
    }

    /// Notes that so many units have arrived by `now`.
    pub fn note(&mut self, now: Instant, units: u64) {
        if now >= self.begin && now <= self.begin + self.window.measured {
            self.first.get_or_insert((now, units));
            self.last = Some((now, units));
        }
    }

    /// Units a second, if they came over most of the window.
    pub fn per_second(&self) -> Result<f64, String> {
        let (Some((first_at, first)), Some((last_at, last))) = (self.first, self.last) else {
            return Err("receiving: nothing came in time".to_owned());
        };
        let time = last_at - first_at;
        if time < self.window.measured / 2 {
            return Err("receiving: it came in fits".to_owned());
        }
        Ok((last - first) as f64 / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_counts() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let window = Window {
            warm_up: ms(100),
            measured: ms(1_000),
        };
        let mut gauge = Gauge::new(window, start);
        assert!(gauge.per_second().is_err());
        for (at, bytes) in [(50, 7), (200, 1_000), (500, 2_000)] {
            gauge.note(start + ms(at), bytes);
        }
        assert!(gauge.per_second().unwrap_err().contains("in fits"));
        for (at, bytes) in [(1_000, 5_000), (1_101, 1_000_000)] {
            gauge.note(start + ms(at), bytes);
        }
        assert_eq!(gauge.per_second(), Ok(5_000.0));
    }
}
