//! Losses whose lines could not be written, summed up by kind and name.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use tickwire::limits::LOG_LOSS_NAMES_MAX;

/// The subject of a line about a loss.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    pub what: String,
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    lines: u64,
    count: u64,
}

/// Losses in at most [`LOG_LOSS_NAMES_MAX`] sums, and one of the rest.
#[derive(Debug, Default)]
pub struct Losses {
    sums: BTreeMap<Loss, Sum>,
    others: Sum,
    /// The time from which the sums are to be written, if there are any.
    pub due: Option<Instant>,
}

impl Loss {
    pub fn unnamed(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            name: None,
        }
    }
}

impl Losses {
    /// Adds a line about `count` lost messages, to be told of from `due` on.
    pub fn add(&mut self, loss: Loss, count: u64, due: Instant) {
        let has_room = self.sums.len() < LOG_LOSS_NAMES_MAX || self.sums.contains_key(&loss);
        let sum = match has_room {
            true => self.sums.entry(loss).or_default(),
            false => &mut self.others,
        };
        sum.lines += 1;
        sum.count = sum.count.saturating_add(count);
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    pub fn take(&mut self) -> Option<String> {
        if let Some((loss, sum)) = self.sums.pop_first() {
            return Some(format!("{loss} {sum}"));
        }
        self.due = None;
        let others = std::mem::take(&mut self.others);
        (others.lines > 0).then(|| format!("lost for further names {others}"))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} target={name}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={} summed_lines={}", self.count, self.lines)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(name: &str) -> Loss {
        Loss {
            what: "undelivered".to_owned(),
            name: Some(name.to_owned()),
        }
    }

    #[test]
    fn losses_are_summed_by_name() {
        let now = Instant::now();
        let mut losses = Losses::default();
        for (name, count) in [("b", 3), ("a", 1), ("b", 4)] {
            losses.add(of(name), count, now);
        }
        let sums: Vec<_> = std::iter::from_fn(|| losses.take()).collect();
        assert_eq!(
            sums,
            [
                "undelivered target=a count=1 summed_lines=1",
                "undelivered target=b count=7 summed_lines=2",
            ]
        );
        assert_eq!(losses.due, None);
    }

    #[test]
    fn beyond_so_many_names_the_sum_of_the_rest_still_counts_all() {
        let now = Instant::now();
        let mut losses = Losses::default();
        for number in 0..LOG_LOSS_NAMES_MAX + 10 {
            losses.add(of(&number.to_string()), 2, now);
        }
        losses.add(of("0"), 2, now);
        let sums: Vec<_> = std::iter::from_fn(|| losses.take()).collect();
        assert_eq!(sums.len(), LOG_LOSS_NAMES_MAX + 1);
        assert_eq!(sums[0], "undelivered target=0 count=4 summed_lines=2");
        let last = "lost for further names count=20 summed_lines=10";
        assert_eq!(sums.last().unwrap(), last);
    }

    #[test]
    fn sums_are_due_when_the_first_of_them_is() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut losses = Losses::default();
        losses.add(of("a"), 1, later);
        losses.add(of("a"), 1, now);
        losses.add(of("a"), 1, later);
        assert_eq!(losses.due, Some(now));
    }
}
