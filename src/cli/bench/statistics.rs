//! Medians, their intervals, and when a bound is missed.
//!
//! What is compared alternates, so that each round gives a pair measured
//! within the same seconds; what is judged is the median of the pairs' ratios.
//! Its interval is taken from the ordered samples, which assumes nothing about
//! how they are spread: with 20 samples it reaches from the 6th to the 15th and
//! holds the true median with 95.9 %.
//!
//! Tested within `cargo test`, by `tests/it/peers.rs`.

/// How often an interval must hold the true median.
const CONFIDENCE: f64 = 0.95;

/// The median of some samples, and where the true one lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The samples' median.
    pub median: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How often an interval taken like this one holds the true median. Fewer
    /// than six samples don't reach 95 %.
    pub coverage: f64,
    /// How many samples there were.
    pub samples: usize,
}

impl Estimate {
    /// Of no sample there is none.
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

    /// Whether it holds the true median as often as it must.
    pub fn is_interval(&self) -> bool {
        self.coverage >= CONFIDENCE
    }

    /// Of the ratios of what was measured in pairs; a pair of which one half is
    /// missing doesn't count.
    pub fn of_ratios(pairs: impl IntoIterator<Item = (Option<f64>, Option<f64>)>) -> Option<Self> {
        let ratios: Vec<f64> = pairs
            .into_iter()
            .filter_map(|(subject, reference)| Some(subject? / reference?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        Self::of(&ratios)
    }
}

/// How probably the true median of `n` samples lies within them when
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

/// What a figure or ratio is held to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// It may not be less.
    AtLeast(f64),
    /// It may not be more.
    AtMost(f64),
}

/// What became of a bound.
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

/// The value below which a share of ordered samples lies; 0 of none.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(0)
}
