//! How the comparison with other brokers judges. The comparison itself is minutes
//! of load, and isn't run by the tests.

#[path = "../../src/cli/bench/statistics.rs"]
mod statistics;

use statistics::{Estimate, Limit, Verdict, percentile};

fn numbers(count: u32) -> Vec<f64> {
    // Out of order: sorting is the estimate's own business.
    (1..=count).rev().map(f64::from).collect()
}

#[test]
fn twenty_samples_give_the_sixth_and_the_fifteenth() {
    let estimate = Estimate::of(&numbers(20)).unwrap();
    assert_eq!(
        (estimate.low, estimate.median, estimate.high),
        (6.0, 10.5, 15.0)
    );
    // 1 - 2 * 21,700 / 2^20, as the tables have it.
    assert!((estimate.coverage - 0.958_61).abs() < 1e-5);
    assert_eq!(estimate.samples, 20);
}

#[test]
fn intervals_agree_with_the_tables() {
    // (n, rank of the lower end) of two-sided 95 % intervals of a median.
    for (n, rank) in [(6, 1), (9, 2), (12, 3), (25, 8), (30, 10), (50, 18)] {
        let estimate = Estimate::of(&numbers(n)).unwrap();
        assert_eq!(estimate.low, f64::from(rank), "of {n}");
        assert_eq!(estimate.high, f64::from(n + 1 - rank), "of {n}");
        assert!(estimate.coverage >= 0.95, "of {n}");
    }
}

#[test]
fn few_samples_are_said_to_cover_little() {
    assert_eq!(Estimate::of(&[]), None);
    let one = Estimate::of(&[3.0]).unwrap();
    assert_eq!((one.low, one.median, one.high), (3.0, 3.0, 3.0));
    assert_eq!(one.coverage, 0.0);
    let five = Estimate::of(&numbers(5)).unwrap();
    assert_eq!((five.low, five.high), (1.0, 5.0));
    assert!(five.coverage < 0.95);
}

#[test]
fn a_bound_is_missed_only_when_the_interval_excludes_it() {
    let estimate = Estimate::of(&numbers(20)).unwrap();
    for (limit, verdict) in [
        (Limit::AtLeast(6.0), Verdict::Holds),
        (Limit::AtLeast(10.0), Verdict::HoldsWithinNoise),
        (Limit::AtLeast(14.9), Verdict::HoldsWithinNoise),
        (Limit::AtLeast(15.1), Verdict::Missed),
        (Limit::AtMost(15.0), Verdict::Holds),
        (Limit::AtMost(6.1), Verdict::HoldsWithinNoise),
        (Limit::AtMost(5.9), Verdict::Missed),
    ] {
        assert_eq!(limit.judge(&estimate), verdict, "{limit:?}");
    }
}

#[test]
fn too_few_samples_miss_nothing() {
    let estimate = Estimate::of(&numbers(5)).unwrap();
    let verdict = Limit::AtLeast(100.0).judge(&estimate);
    assert_eq!(verdict, Verdict::TooFew);
}

#[test]
fn a_pair_with_a_missing_half_does_not_count() {
    let pairs = [
        (Some(6.0), Some(2.0)),
        (None, Some(2.0)),
        (Some(6.0), None),
        (Some(6.0), Some(0.0)),
        (Some(8.0), Some(2.0)),
    ];
    let estimate = Estimate::of_ratios(pairs).unwrap();
    assert_eq!((estimate.median, estimate.samples), (3.5, 2));
}

#[test]
fn percentiles_are_samples() {
    let sorted: Vec<u64> = (1..=100).collect();
    assert_eq!(percentile(&sorted, 0.5), 50);
    assert_eq!(percentile(&sorted, 0.99), 99);
    assert_eq!(percentile(&sorted, 1.0), 100);
    assert_eq!(percentile(&[7], 0.5), 7);
    assert_eq!(percentile(&[], 0.5), 0);
}
