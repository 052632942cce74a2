//! The summary of the demo.

use std::collections::BTreeMap;
use std::time::Duration;

use tickwire::wire::Message;

use super::line::{kind, milliseconds};

#[derive(Debug, Default)]
pub struct Tally {
    by_kind: BTreeMap<String, u64>,
    round_trips: Vec<Duration>,
    confirmed: u64,
    refused: u64,
}

impl Tally {
    pub fn messages(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Counts a message that the server acknowledged after `round_trip`.
    pub fn acknowledged(&mut self, message: &Message, round_trip: Duration) {
        self.count(message);
        self.round_trips.push(round_trip);
    }

    /// Counts an `ack` that reached the sender of an order.
    pub fn confirmed(&mut self, message: &Message) {
        self.count(message);
        self.confirmed += 1;
    }

    pub fn refused(&mut self, message: &Message) {
        self.count(message);
        self.refused += 1;
    }

    pub fn summary(&mut self, deliveries: u64, elapsed: Duration) -> String {
        let mut text = format!(
            "{} messages in {:.1} s\n",
            self.messages(),
            elapsed.as_secs_f64()
        );
        for (kind, count) in &self.by_kind {
            text += &format!("{count:>6}  {kind}\n");
        }
        text += &format!(
            "{} acknowledged by the server, {} orders confirmed by their receiver, \
             {} refused, {deliveries} deliveries",
            self.round_trips.len(),
            self.confirmed,
            self.refused
        );
        if !self.round_trips.is_empty() {
            self.round_trips.sort_unstable();
            text += &format!(
                "\nround trip of a message and its ack: p50 {}, p99 {}",
                milliseconds(percentile(&self.round_trips, 50)),
                milliseconds(percentile(&self.round_trips, 99))
            );
        }
        text
    }

    fn count(&mut self, message: &Message) {
        *self.by_kind.entry(kind(message)).or_default() += 1;
    }
}

/// Returns the value below which `percent` of the sorted, non-empty `values` lie.
fn percentile(values: &[Duration], percent: usize) -> Duration {
    let rank = (values.len() * percent).div_ceil(100);
    values[rank.saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(1));
    }
}
