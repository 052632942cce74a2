//! Medians, their intervals, and when a bound is missed.
//!
//! The runs that are compared alternate, so that each round gives a pair measured
//! within the same seconds; the median of the pairs' ratios is judged.
//! Its interval is taken from the ordered samples, which assumes nothing about
//! how they are spread: with 20 samples it reaches from the 6th to the 15th and
//! holds the true median with 95.9 %.

/// The share of intervals that must hold the true median.
const CONFIDENCE: f64 = 0.95;

/// The median of some samples, and the interval of the true one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The samples' median.
    pub median: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The share of intervals taken like this one that hold the true median.
    /// Fewer than six samples don't reach 95 %.
    pub coverage: f64,
    /// The number of samples.
    pub samples: usize,
}

impl Estimate {
    /// Estimates the median of `samples`; of none there is no estimate.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let last = n.checked_sub(1)?;
        let median = f64::midpoint(sorted[last / 2], sorted[n / 2]);
        // The outermost samples, then inwards as far as the confidence allows.
        let mut left_out = 0;
        while coverage(n, left_out + 1) >= CONFIDENCE {
            left_out += 1;
        }
        Some(Self {
            median,
            low: sorted[left_out],
            high: sorted[last - left_out],
            coverage: coverage(n, left_out),
            samples: n,
        })
    }

    /// Returns whether there were samples enough for an interval.
    pub fn is_interval(&self) -> bool {
        self.coverage >= CONFIDENCE
    }

    /// Estimates the ratio within pairs; a pair with a missing half doesn't
    /// count.
    pub fn of_ratios(pairs: impl IntoIterator<Item = (Option<f64>, Option<f64>)>) -> Option<Self> {
        let ratios: Vec<f64> = pairs
            .into_iter()
            .filter_map(|(subject, reference)| Some(subject? / reference?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        Self::of(&ratios)
    }
}

/// The probability that the true median of `n` samples lies within them when
/// `left_out` are taken off at either end: each sample is below it as a coin
/// falls, so this is 1 - 2 P(Binomial(n, 1/2) <= left_out).
fn coverage(n: usize, left_out: usize) -> f64 {
    if 2 * left_out >= n {
        return 0.0;
    }
    let mut term = 0.5_f64.powi(n as i32);
    let mut tail = term;
    for k in 1..=left_out {
        term *= (n - k + 1) as f64 / k as f64;
        tail += term;
    }
    1.0 - 2.0 * tail
}

/// The bound of a figure or ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It may not be less.
    AtLeast(f64),
    /// It may not be more.
    AtMost(f64),
}

/// The fate of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval keeps it.
    Holds,
    /// The interval lies on both sides of it: nothing shows that it is missed.
    HoldsWithinNoise,
    /// The whole interval is beyond it.
    Missed,
    /// The samples are too few for an interval.
    TooFew,
}

impl Limit {
    /// Holds an estimate to it.
    pub fn judge(self, estimate: &Estimate) -> Verdict {
        let (kept, missed) = match self {
            Self::AtLeast(bound) => (estimate.low >= bound, estimate.high < bound),
            Self::AtMost(bound) => (estimate.high <= bound, estimate.low > bound),
        };
        if !estimate.is_interval() {
            Verdict::TooFew
        } else if missed {
            Verdict::Missed
        } else if kept {
            Verdict::Holds
        } else {
            Verdict::HoldsWithinNoise
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
