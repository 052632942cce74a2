//! Latencies, in a histogram.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones.
const NS_MAX: u64 = 60 * 60 * 1_000_000_000;
/// The percentiles that are reported, by name.
const PERCENTILES: [(&str, f64); 6] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
    ("max", 100.0),
];

/// Latencies of many messages, to three digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// No latency yet.
    pub fn new() -> Self {
        Self(Histogram::new_with_max(NS_MAX, 3).expect("these bounds are valid"))
    }

    /// Adds a latency in nanoseconds.
    #[inline]
    pub fn record_ns(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds a latency.
    pub fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The number of latencies.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// A percentile in microseconds.
    pub fn percentile_us(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1_000.0
    }

    /// Percentiles in microseconds, by name, and last the maximum.
    pub fn percentiles_us(&self) -> Vec<(&'static str, f64)> {
        PERCENTILES
            .map(|(name, percentile)| (name, self.percentile_us(percentile)))
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut latency = Latency::new();
        for us in 1..=10_000 {
            latency.record(Duration::from_micros(us));
        }
        let percentiles = latency.percentiles_us();
        let close = |name: &str, expected: f64| {
            let (_, is) = *percentiles.iter().find(|(is, _)| *is == name).unwrap();
            assert!((is / expected - 1.0).abs() < 0.002, "{name}: {is}");
        };
        close("p50", 5_000.0);
        close("p99", 9_900.0);
        close("p99.99", 9_999.0);
        close("max", 10_000.0);
        latency.record(Duration::from_secs(1_000_000));
        assert!(latency.percentiles_us()[5].1 > 3.5e9);
    }
}
