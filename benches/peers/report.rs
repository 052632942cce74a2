//! The rows' figures, their ratios, and what became of their bounds.

use std::fmt::Write;

use serde_json::{Value, json};
use tickwire_load::statistics::{Estimate, Limit, Verdict};

use crate::figures::{Metric, estimate_json, figure_text, unit};
use crate::rounds::Outcome;
use crate::rows::{Bound, COPY_LOOP_BY_NATS_MIN, Contestant, Experiment, Reference, Row};
use crate::server::Kind;

/// A row with everything that was measured for it.
#[derive(Debug)]
pub struct RowReport {
    /// What was to be measured.
    pub row: Row,
    /// Who has figures.
    pub lines: Vec<Line>,
    /// What became of each bound.
    pub judged: Vec<Judged>,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// A contestant's figures in a row.
#[derive(Debug)]
pub struct Line {
    /// Who.
    pub contestant: Contestant,
    /// The figure.
    pub figure: Estimate,
    /// It by the copy loop's of the same rounds.
    pub by_copy_loop: Option<Estimate>,
    /// It by NATS's.
    pub by_nats: Option<Estimate>,
    /// Processor time of the server for a message, where it was taken.
    pub cpu_micros: Option<Estimate>,
    /// The same of the load.
    pub load_micros: Option<Estimate>,
}

/// A bound and what became of it.
#[derive(Debug)]
pub struct Judged {
    /// What was asked.
    pub bound: Bound,
    /// The figure, or its ratio to the reference.
    pub estimate: Option<Estimate>,
    /// What became of it.
    pub judgement: Judgement,
}

/// What became of a bound.
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

    /// Whether the whole comparison is to end with 1.
    pub fn is_bad(self) -> bool {
        matches!(
            self,
            Self::Measured(Verdict::Missed) | Self::DoesNotCount | Self::Failed
        )
    }
}

impl RowReport {
    /// What an experiment's rounds say about one of its rows.
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
            if let (Some(cpu), Metric::PerSecond) = (line.cpu_micros, self.row.metric) {
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
    /// The bound, what it came to, and the verdict.
    pub fn text(&self) -> String {
        let value = self.value_text().map(|value| format!(": {value}"));
        let value = value.unwrap_or_default();
        format!("{}{value}: {}", self.bound.text(), self.judgement.text())
    }

    /// What was measured.
    pub fn value_text(&self) -> Option<String> {
        if self.bound.reference == Reference::Itself {
            return self
                .estimate
                .map(|estimate| figure_text(Metric::BytesPerConnection, &estimate));
        }
        let digits = 2;
        self.estimate.map(
            |Estimate {
                 median,
                 low,
                 high,
                 samples,
                 ..
             }| {
                format!("{median:.digits$} [{low:.digits$}, {high:.digits$}] of {samples}")
            },
        )
    }
}

fn judge(row: &Row, bound: Bound, outcome: &Outcome, counts: bool) -> Judged {
    let samples = |contestant| outcome.samples(contestant, row.metric);
    let subject = samples(row.subject);
    let failed = |contestant| outcome.failures.contains_key(&contestant);
    let (estimate, missing) = match bound.reference {
        Reference::Itself => {
            let known: Vec<f64> = subject.into_iter().flatten().collect();
            (Estimate::of(&known), false)
        }
        Reference::One(one) => {
            let reference = samples(one);
            let missing = reference.is_empty() || failed(one);
            (
                Estimate::of_ratios(subject.into_iter().zip(reference)),
                missing,
            )
        }
        Reference::FasterOf(one, other) => {
            let (one, other) = (samples(one), samples(other));
            let faster = (0..subject.len()).map(|round| {
                let of = |samples: &[Option<f64>]| samples.get(round).copied().flatten();
                match (of(&one), of(&other)) {
                    (Some(one), Some(other)) => Some(one.max(other)),
                    (one, other) => one.or(other),
                }
            });
            let missing = one.is_empty() && other.is_empty();
            (
                Estimate::of_ratios(subject.iter().copied().zip(faster)),
                missing,
            )
        }
    };
    let judgement = match &estimate {
        _ if failed(row.subject) => Judgement::Failed,
        None if missing => Judgement::NothingToCompareWith,
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

/// How the copy loop's ratio to NATS is judged, and the ratio; `None` if one of
/// them has no figures.
pub fn outrun(outcome: &Outcome) -> Option<(Verdict, Estimate)> {
    let samples = |kind| outcome.samples(Contestant::of(kind), Metric::PerSecond);
    let pairs = samples(Kind::CopyLoop).into_iter().zip(samples(Kind::Nats));
    let ratio = Estimate::of_ratios(pairs)?;
    Some((Limit::AtLeast(COPY_LOOP_BY_NATS_MIN).judge(&ratio), ratio))
}
