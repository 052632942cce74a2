//! Two builds of tickwire, compared by the cost of a message.
//!
//! Rates depend on whatever else the machine does; the processor time of the
//! server for a message much less so, and pairs taken in turns show a difference
//! of a few hundredths. Changes are judged with this.

use serde_json::{Value, json};
use tickwire_load::protocol::Acks;
use tickwire_load::statistics::Estimate;

use crate::arena::Arena;
use crate::figures::{Metric, estimate_json, figure_text};
use crate::machine::Cores;
use crate::options::Pace;
use crate::rounds;
use crate::rows::{Contestant, Experiment, Reference, Row};
use crate::server::{Found, Kind};

/// The other build.
const OTHER: Contestant = Contestant::of(Kind::OtherTickwire);

/// The rows that are compared.
fn rows(paced_acks: Acks) -> [Row; 4] {
    let row = |id, work, experiment, acks| {
        let mut row = Row::new(id, work, experiment, Metric::CpuMicros);
        row.subject.acks = acks;
        row.at_most(1.0, Reference::One(Contestant { acks, ..OTHER }))
    };
    let of_ten = "order events at a fixed rate, 10 connections";
    let of_many = "order events at a fixed rate, 1000 connections";
    let mix = "the eleven kinds of messages, an ack each";
    let (each, throughput) = (Acks::Each, Experiment::Throughput);
    [
        row(
            "throughput/each",
            "order events, an ack each",
            throughput,
            each,
        ),
        row("mix", mix, Experiment::Mix, each),
        row("paced/10", of_ten, Experiment::Paced(10), paced_acks),
        row("paced/1000", of_many, Experiment::Paced(1_000), paced_acks),
    ]
}

/// Compares row by row and hands out each row's lines of text. Returns the
/// results for the file, and whether every run succeeded.
pub fn compare(
    found: &[Found],
    only: impl Fn(&Row) -> bool,
    cores: Cores,
    pace: Pace,
    say: impl Fn(&str),
) -> Result<(Value, bool), String> {
    let mut all_done = true;
    let mut results = Vec::new();
    let paced_acks = paced_acks(found, cores)?;
    for row in rows(paced_acks).into_iter().filter(|row| only(row)) {
        let other = Contestant {
            kind: Kind::OtherTickwire,
            ..row.subject
        };
        let outcome = rounds::run(row.experiment, &[&row], found, cores, pace);
        let samples = |contestant| outcome.samples(contestant, row.metric);
        let known = |contestant| {
            let known: Vec<f64> = samples(contestant).into_iter().flatten().collect();
            Estimate::of(&known)
        };
        let pairs = samples(row.subject).into_iter().zip(samples(other));
        let ratio = Estimate::of_ratios(pairs);
        let mut text = format!("{}  {}\n", row.id, row.work);
        for (label, contestant) in [("this", row.subject), ("the other", other)] {
            if let Some(figure) = known(contestant) {
                text += &format!("  {label:<10} {}\n", figure_text(row.metric, &figure));
            }
        }
        if let Some(ratio) = &ratio {
            text += &format!(
                "  this by the other: {:.3} [{:.3}, {:.3}] of {} pairs: {}\n",
                ratio.median,
                ratio.low,
                ratio.high,
                ratio.samples,
                verdict(ratio)
            );
        }
        for (contestant, reasons) in &outcome.failures {
            text += &format!(
                "  failed runs of {}: {}\n",
                contestant.label(),
                reasons.join("; ")
            );
            all_done = false;
        }
        say(&text);
        results.push(json!({
            "id": row.id, "work": row.work,
            "this_us": known(row.subject).as_ref().map(estimate_json),
            "other_us": known(other).as_ref().map(estimate_json),
            "ratio": ratio.as_ref().map(estimate_json),
            "verdict": ratio.as_ref().map(verdict),
        }));
    }
    Ok((Value::Array(results), all_done))
}

fn verdict(ratio: &Estimate) -> &'static str {
    if !ratio.is_interval() {
        "too few pairs to tell"
    } else if ratio.high < 1.0 {
        "costs less"
    } else if ratio.low > 1.0 {
        "costs more"
    } else {
        "no difference to be seen"
    }
}

/// Returns no acks, if both builds know that option, and each otherwise.
fn paced_acks(found: &[Found], cores: Cores) -> Result<Acks, String> {
    for kind in [Kind::Tickwire, Kind::OtherTickwire] {
        let server = Arena::start_one(found, kind, cores)?;
        if server
            .protocol()
            .sender(server.address(), Acks::None)
            .is_err()
        {
            return Ok(Acks::Each);
        }
    }
    Ok(Acks::None)
}
