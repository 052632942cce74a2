//! Interleaved rounds: all contestants in turn, then in the opposite order.

use std::collections::HashMap;

use tickwire_load::progress::Progress;

use crate::arena::Arena;
use crate::figures::{Figures, Metric};
use crate::machine::Cores;
use crate::options::Pace;
use crate::rows::{Contestant, Experiment, Row};
use crate::server::Found;

/// A contestant without a bound runs in every third round: enough for an interval.
const SHOWN_EVERY: u32 = 3;
/// A contestant that has failed so often is left out of the other rounds.
const FAILURES_MAX: usize = 2;

/// The results of an experiment's rounds.
#[derive(Debug, Default)]
pub struct Outcome {
    runs: HashMap<Contestant, Vec<Option<Figures>>>,
    /// The reasons why runs failed.
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

/// A contestant of an experiment.
#[derive(Debug)]
struct Entrant {
    contestant: Contestant,
    /// Whether it runs in every round.
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
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let prefix = format!("{}  ", ids.join(" "));
    let bar = Progress::of_repeats(prefix, u64::from(pace.rounds), "rounds");
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
                bar.say(contestant.label());
                arena
                    .run(contestant)
                    .map_err(|reason| outcome.failures.entry(contestant).or_default().push(reason))
                    .ok()
            };
            outcome.runs.entry(contestant).or_default().push(run);
        }
        bar.advance();
    }
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
