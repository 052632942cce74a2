//! The rows' figures, their ratios, and the fates of their bounds.

use std::fmt::Write;

use serde_json::{Value, json};
use tickwire_load::statistics::{Estimate, Limit, Verdict};

use crate::figures::{Metric, estimate_json, figure_text, unit};
use crate::rounds::Outcome;
use crate::rows::{Bound, COPY_LOOP_BY_NATS_MIN, Contestant, Experiment, Reference, Row};
use crate::server::Kind;

/// A row and its results.
#[derive(Debug)]
pub struct RowReport {
    /// The row.
    pub row: Row,
    /// The contestants that have figures.
    pub lines: Vec<Line>,
    /// The fate of each bound.
    pub judged: Vec<Judged>,
    /// Runs that failed.
    pub failures: Vec<String>,
}

/// A contestant's figures in a row.
#[derive(Debug)]
pub struct Line {
    /// The contestant.
    pub contestant: Contestant,
    /// The figure.
    pub figure: Estimate,
    /// Its ratio to the copy loop's of the same rounds.
    pub by_copy_loop: Option<Estimate>,
    /// Its ratio to NATS's.
    pub by_nats: Option<Estimate>,
    /// Processor time of the server for a message, if it was taken.
    pub cpu_micros: Option<Estimate>,
    /// Processor time of the load for a message, if it was taken.
    pub load_micros: Option<Estimate>,
}

/// A bound and its fate.
#[derive(Debug)]
pub struct Judged {
    /// The bound.
    pub bound: Bound,
    /// The figure, or its ratio to the reference.
    pub estimate: Option<Estimate>,
    /// Its fate.
    pub judgement: Judgement,
}

/// The fate of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It was measured.
    Measured(Verdict),
    /// The load didn't outrun the servers: the load was measured.
    DoesNotCount,
    /// The reference isn't on this machine.
    NothingToCompareWith,
    /// Runs failed.
    Failed,
}

impl Judgement {
    /// In the table's words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Measured(Verdict::Holds) => "holds",
            Self::Measured(Verdict::HoldsWithinNoise) => "holds, within noise",
            Self::Measured(Verdict::Missed) => "MISSED",
            Self::Measured(Verdict::TooFew) => "too few pairs to judge",
            Self::DoesNotCount => "does not count",
            Self::NothingToCompareWith => "nothing to compare with",
            Self::Failed => "FAILED",
        }
    }

    /// Returns whether the whole comparison is to end with 1.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Measured(Verdict::Missed) | Self::DoesNotCount | Self::Failed
        )
    }
}

impl RowReport {
    /// Judges a row by the rounds of its experiment.
    pub fn new(row: &Row, outcome: &Outcome, outrun: Option<Verdict>) -> Self {
        let samples = |contestant| outcome.samples(contestant, row.metric);
        let ratio = |one: Contestant, other: Kind| {
            let other = Contestant::of(other);
            (one != other)
                .then(|| Estimate::of_ratios(samples(one).into_iter().zip(samples(other))))?
        };
        let lines = (row.contestants().into_iter())
            .filter_map(|contestant| {
                let known = |metric| -> Vec<f64> {
                    let samples = outcome.samples(contestant, metric);
                    samples.into_iter().flatten().collect()
                };
                Some(Line {
                    contestant,
                    figure: Estimate::of(&known(row.metric))?,
                    by_copy_loop: ratio(contestant, Kind::CopyLoop),
                    by_nats: ratio(contestant, Kind::Nats),
                    cpu_micros: Estimate::of(&known(Metric::CpuMicros)),
                    load_micros: Estimate::of(&known(Metric::LoadMicros)),
                })
            })
            .collect();
        let failures = (row.contestants().into_iter())
            .filter_map(|contestant| {
                let reasons = outcome.failures.get(&contestant)?;
                Some(format!("{}: {}", contestant.label(), reasons.join("; ")))
            })
            .collect();
        let counts = row.experiment != Experiment::Throughput || outrun != Some(Verdict::Missed);
        let judged = (row.bounds.iter())
            .map(|&bound| judge(row, bound, outcome, counts))
            .collect();
        Self {
            row: row.clone(),
            lines,
            judged,
            failures,
        }
    }

    /// The row as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!("{}  {}\n", self.row.id, self.row.work);
        for line in &self.lines {
            let _ = write!(
                text,
                "  {:<26} {:>24}",
                line.contestant.label(),
                figure_text(self.row.metric, &line.figure),
            );
            for (ratio, of) in [(line.by_copy_loop, "copy loop"), (line.by_nats, "NATS")] {
                let ratio = ratio.map(|ratio| format!("{:.2} × {of}", ratio.median));
                let _ = write!(text, "  {:>16}", ratio.unwrap_or_default());
            }
            if let Some(cpu) = line
                .cpu_micros
                .filter(|_| self.row.metric != Metric::CpuMicros)
            {
                let _ = write!(text, "  {:>6.3} µs CPU", cpu.median);
            }
            if let Some(load) = line.load_micros {
                let _ = write!(text, ", load {:.3}", load.median);
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for judged in &self.judged {
            let _ = writeln!(text, "  {}", judged.text());
        }
        for failure in &self.failures {
            let _ = writeln!(text, "  failed runs of {failure}");
        }
        text
    }

    /// The row for a program.
    pub fn json(&self) -> Value {
        let lines: Vec<Value> = (self.lines.iter())
            .map(|line| {
                json!({
                    "server": line.contestant.label(),
                    "figure": estimate_json(&line.figure),
                    "by_copy_loop": line.by_copy_loop.as_ref().map(estimate_json),
                    "by_nats": line.by_nats.as_ref().map(estimate_json),
                    "server_cpu_us_per_message": line.cpu_micros.as_ref().map(estimate_json),
                    "load_cpu_us_per_message": line.load_micros.as_ref().map(estimate_json),
                })
            })
            .collect();
        let bounds: Vec<Value> = (self.judged.iter())
            .map(|judged| {
                json!({
                    "bound": judged.bound.text(),
                    "value": judged.estimate.as_ref().map(estimate_json),
                    "verdict": judged.judgement.text(),
                })
            })
            .collect();
        json!({
            "id": self.row.id, "work": self.row.work, "unit": unit(self.row.metric),
            "servers": lines, "bounds": bounds, "failures": self.failures,
        })
    }
}

impl Judged {
    /// The bound, the figure, and the verdict.
    pub fn text(&self) -> String {
        let value = self.value_text().map(|value| format!(": {value}"));
        let value = value.unwrap_or_default();
        format!("{}{value}: {}", self.bound.text(), self.judgement.text())
    }

    /// The figure, or its ratio.
    pub fn value_text(&self) -> Option<String> {
        if self.bound.reference == Reference::Itself {
            return self
                .estimate
                .map(|estimate| figure_text(Metric::BytesPerConnection, &estimate));
        }
        let ratio = self.estimate?;
        let Estimate {
            median,
            low,
            high,
            samples,
            ..
        } = ratio;
        Some(format!("{median:.2} [{low:.2}, {high:.2}] of {samples}"))
    }
}

fn judge(row: &Row, bound: Bound, outcome: &Outcome, counts: bool) -> Judged {
    let samples = |contestant| outcome.samples(contestant, row.metric);
    let failed = |contestant| outcome.failures.contains_key(&contestant);
    let subject = samples(row.subject);
    // The samples of the reference, and whether there is none on this machine.
    let (reference, is_missing) = match bound.reference {
        Reference::Itself => (vec![Some(1.0); subject.len()], false),
        Reference::One(one) => {
            let reference = samples(one);
            let is_missing = reference.is_empty() || failed(one);
            (reference, is_missing)
        }
        Reference::FasterOf(one, other) => {
            let (one, other) = (samples(one), samples(other));
            let faster = (0..subject.len()).map(|round| {
                let of = |samples: &[Option<f64>]| samples.get(round).copied().flatten();
                let both = [of(&one), of(&other)].into_iter().flatten();
                both.reduce(f64::max)
            });
            (faster.collect(), one.is_empty() && other.is_empty())
        }
    };
    let estimate = Estimate::of_ratios(subject.into_iter().zip(reference));
    let judgement = match &estimate {
        _ if failed(row.subject) => Judgement::Failed,
        None if is_missing => Judgement::NothingToCompareWith,
        None => Judgement::Failed,
        Some(_) if !counts => Judgement::DoesNotCount,
        Some(estimate) => Judgement::Measured(bound.limit.judge(estimate)),
    };
    Judged {
        bound,
        estimate,
        judgement,
    }
}

/// Judges the copy loop's ratio to NATS; `None` if one of them has no figures.
pub fn outrun(outcome: &Outcome) -> Option<(Verdict, Estimate)> {
    let samples = |kind| outcome.samples(Contestant::of(kind), Metric::PerSecond);
    let pairs = samples(Kind::CopyLoop).into_iter().zip(samples(Kind::Nats));
    let ratio = Estimate::of_ratios(pairs)?;
    Some((Limit::AtLeast(COPY_LOOP_BY_NATS_MIN).judge(&ratio), ratio))
}
