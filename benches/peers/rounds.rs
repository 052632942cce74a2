//! Interleaved rounds: everybody in turn, and once more in the opposite order.

use std::collections::HashMap;

use indicatif::{ProgressBar, ProgressStyle};

use crate::arena::Arena;
use crate::drive::{Figures, Metric};
use crate::machine::Cores;
use crate::options::Pace;
use crate::rows::{Contestant, Experiment, Row};
use crate::server::Found;

/// Whom no bound is about runs in every third round: enough for an interval.
const SHOWN_EVERY: u32 = 3;
/// Who has failed so often is left out of an experiment's other rounds.
const FAILURES_MAX: usize = 2;

/// What came of an experiment's rounds.
#[derive(Debug, Default)]
pub struct Outcome {
    runs: HashMap<Contestant, Vec<Option<Figures>>>,
    /// Why runs failed.
    pub failures: HashMap<Contestant, Vec<String>>,
}

impl Outcome {
    /// A contestant's figures, round by round; `None` where it had no run.
    pub fn samples(&self, contestant: Contestant, metric: Metric) -> Vec<Option<f64>> {
        let rounds = self.runs.get(&contestant).map_or(&[][..], Vec::as_slice);
        let figure = |figures: &Figures| {
            let found = figures.iter().find(|(candidate, _)| *candidate == metric);
            found.map(|(_, value)| *value)
        };
        rounds
            .iter()
            .map(|round| round.as_ref().and_then(figure))
            .collect()
    }
}

/// Who runs in an experiment, and how often.
#[derive(Debug)]
struct Entrant {
    contestant: Contestant,
    every_round: bool,
}

/// Runs all rounds of an experiment for the rows that show it.
pub fn run(
    experiment: Experiment,
    rows: &[&Row],
    found: &[Found],
    cores: Cores,
    pace: Pace,
) -> Outcome {
    let entrants = entrants(rows, found);
    let mut arena = Arena::new(experiment, found, cores, pace);
    let mut outcome = Outcome::default();
    let bar = progress_bar(rows, u64::from(pace.rounds));
    for round in 0..pace.rounds {
        let mut turn: Vec<&Entrant> = entrants.iter().collect();
        if round % 2 == 1 {
            turn.reverse();
        }
        for entrant in turn {
            let contestant = entrant.contestant;
            let failed = outcome.failures.get(&contestant).map_or(0, Vec::len);
            let idle = !entrant.every_round && !round.is_multiple_of(SHOWN_EVERY);
            let run = if idle || failed >= FAILURES_MAX {
                None
            } else {
                bar.set_message(contestant.label());
                arena
                    .run(contestant)
                    .map_err(|reason| outcome.failures.entry(contestant).or_default().push(reason))
                    .ok()
            };
            outcome.runs.entry(contestant).or_default().push(run);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcome
}

fn entrants(rows: &[&Row], found: &[Found]) -> Vec<Entrant> {
    let mut entrants: Vec<Entrant> = Vec::new();
    for row in rows {
        let judged = row.judged();
        for contestant in row.contestants() {
            let every_round = judged.contains(&contestant);
            match entrants.iter_mut().find(|e| e.contestant == contestant) {
                Some(entrant) => entrant.every_round |= every_round,
                None if found.iter().any(|found| found.kind == contestant.kind) => {
                    entrants.push(Entrant {
                        contestant,
                        every_round,
                    });
                }
                None => {}
            }
        }
    }
    entrants
}

/// Draws to standard error, and only if that is a terminal.
fn progress_bar(rows: &[&Row], rounds: u64) -> ProgressBar {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let style = ProgressStyle::with_template("{prefix}  {bar:24} {pos}/{len}  {msg}")
        .expect("a template of indicatif's own words");
    ProgressBar::new(rounds)
        .with_style(style)
        .with_prefix(ids.join(" "))
}
