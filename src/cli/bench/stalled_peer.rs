//! Whether receivers that don't read slow others down: the same measurements
//! with and without them, in turns.

use std::time::Duration;

use serde_json::Value;
use tickwire_load::drive::Extent;
use tickwire_load::messages::Selection;
use tickwire_load::one_at_a_time::Waiting;
use tickwire_load::progress::Progress;
use tickwire_load::protocol::Acks;
use tickwire_load::stall::{Stall, StalledPair, Tally};
use tickwire_load::statistics::{Estimate, Limit, Verdict};

use super::arguments::StalledPeer;
use super::report::{Report, some};
use super::setup::{Setup, name, party};
use super::streams::{self, Plan};
use super::{one_at_a_time, selection};
use crate::cli::Failure;

const CONNECTIONS_BESIDE: u64 = 8;

/// The ratios that are judged: their names, labels and bounds.
const JUDGED: [(&str, &str, Limit); 3] = [
    ("throughput", "throughput", Limit::AtLeast(0.95)),
    ("paced_p99", "p99 paced", Limit::AtMost(1.2)),
    ("one_at_a_time_p99", "p99 single", Limit::AtMost(1.2)),
];

/// The figures of one half of a pair, in the order of [`JUDGED`].
type Figures = [Option<f64>; JUDGED.len()];

pub fn run(arguments: &StalledPeer) -> Result<Report, Failure> {
    let message = &arguments.messages.message;
    let selection = selection::of(message, false).map_err(Failure::usage)?;
    let connections = arguments.senders + arguments.receivers + CONNECTIONS_BESIDE;
    let setup = Setup::new(arguments.common.to.as_deref(), connections)?;
    let mut runs = Runs {
        arguments,
        selection,
        setup,
        stalled: Tally::default(),
        faults: Vec::new(),
    };
    let bar = Progress::of_repeats(String::new(), arguments.pairs, "pairs");
    let mut pairs = Vec::new();
    for pair in 0..arguments.pairs {
        // A machine that gets slower by and by does so for both.
        let is_with_first = pair % 2 == 1;
        let first = runs.half(is_with_first, &bar)?;
        let second = runs.half(!is_with_first, &bar)?;
        pairs.push(match is_with_first {
            true => (first, second),
            false => (second, first),
        });
        bar.advance();
    }
    drop(bar);
    Ok(runs.report(&pairs))
}

struct Runs<'a> {
    arguments: &'a StalledPeer,
    selection: Selection,
    setup: Setup,
    stalled: Tally,
    faults: Vec<String>,
}

impl Runs<'_> {
    /// Measures with receivers that don't read, or without.
    fn half(&mut self, is_with: bool, bar: &Progress) -> Result<Figures, Failure> {
        bar.say(if is_with { "with" } else { "without" }.to_owned());
        let stall = is_with.then(|| self.stall()).transpose()?;
        let figures = self.measure()?;
        if let Some(stall) = stall {
            let tally = stall.end().map_err(Failure::failed)?;
            self.stalled.add(&tally);
        }
        Ok(figures)
    }

    fn stall(&self) -> Result<Stall, Failure> {
        let connect = |text: &str| {
            let name = name(text);
            let peer = self.setup.connect(&name, Acks::Each);
            Ok(party(peer.map_err(Failure::failed)?, &name))
        };
        let pairs = [StalledPair::open(connect)?, StalledPair::open(connect)?];
        Stall::begin(pairs).map_err(Failure::failed)
    }

    fn measure(&mut self) -> Result<Figures, Failure> {
        let arguments = self.arguments;
        let extent = Extent::Time(Duration::from_secs(arguments.seconds));
        let plan = |mode| Plan::new(mode, &arguments.messages, extent);
        let stream = |mode, rate| Plan {
            senders: arguments.senders,
            receivers: arguments.receivers,
            rate,
            ..plan(mode)
        };
        let single = plan("one-at-a-time");
        let (selection, setup, hidden) = (&self.selection, &self.setup, Progress::hidden);
        let throughput = streams::measure(&stream("throughput", None), selection, setup, hidden)?;
        let paced = streams::measure(
            &stream("paced", Some(arguments.rate)),
            selection,
            setup,
            hidden,
        )?;
        let single = one_at_a_time::measure(&single, selection, setup, Waiting::Asleep, hidden)?;
        let figures = [
            throughput.figures.get("messages_per_second"),
            p99(&paced, "from_due"),
            p99(&single, "arrival"),
        ];
        let figures = figures.map(|figure| figure.and_then(Value::as_f64));
        for run in [throughput, paced, single] {
            let faults = run
                .faults
                .iter()
                .map(|fault| format!("{}: {fault}", run.mode));
            self.faults.extend(faults);
        }
        Ok(figures)
    }

    fn report(self, pairs: &[(Figures, Figures)]) -> Report {
        let arguments = self.arguments;
        let title = format!(
            "stalled-peer: {} of runs with and without two receivers that don't read, through {}",
            some(arguments.pairs, "pair"),
            self.setup.shown()
        );
        let mut report = Report::new("stalled-peer", title);
        report.option("server", self.setup.option());
        report.option("message", arguments.messages.message.as_str());
        report.option("acks", arguments.messages.acks.as_str());
        report.option("senders", arguments.senders);
        report.option("receivers", arguments.receivers);
        report.option("rate", arguments.rate);
        report.option("seconds", arguments.seconds);
        report.option("pairs", arguments.pairs);
        report.count("stalled_acknowledged", self.stalled.acknowledged);
        report.count("stalled_refused", self.stalled.refused);
        report.faults = self.faults;
        for (index, (name, label, limit)) in JUDGED.into_iter().enumerate() {
            let ratios = pairs
                .iter()
                .map(|(with, without)| (with[index], without[index]));
            judge(&mut report, name, label, limit, Estimate::of_ratios(ratios));
        }
        report
    }
}

fn p99<'a>(report: &'a Report, latency: &str) -> Option<&'a Value> {
    report.latency_us.get(latency)?.get("p99")
}

fn judge(report: &mut Report, name: &str, label: &str, limit: Limit, ratio: Option<Estimate>) {
    let interval = ratio.filter(Estimate::is_interval);
    for (figure, value) in [
        ("ratio", ratio.map(|ratio| ratio.median)),
        ("ratio_low", interval.map(|ratio| ratio.low)),
        ("ratio_high", interval.map(|ratio| ratio.high)),
    ] {
        report.figure(&format!("{name}_{figure}"), value);
    }
    let Some(ratio) = ratio else {
        let fault = format!("{label}: no pair of runs gave a ratio");
        return report.faults.push(fault);
    };
    let bound = match limit {
        Limit::AtLeast(bound) => format!("{bound} at least"),
        Limit::AtMost(bound) => format!("{bound} at most"),
    };
    let verdict = limit.judge(&ratio);
    let words = match verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsWithinNoise => "holds within the noise",
        Verdict::Missed => "missed",
        Verdict::TooFew => "too few pairs to tell",
    };
    let interval = interval.map_or(String::new(), |ratio| {
        format!(" ({:.3} to {:.3})", ratio.low, ratio.high)
    });
    let median = ratio.median;
    let text = format!("{median:.3}{interval} times that without; {bound}: {words}");
    report.line(label, &text);
    if verdict == Verdict::Missed {
        report.faults.push(format!("{label}: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(limit: Limit, ratios: &[f64]) -> Report {
        let mut report = Report::new("stalled-peer", String::new());
        let pairs = ratios.iter().map(|ratio| (Some(*ratio), Some(1.0)));
        judge(&mut report, "x", "x", limit, Estimate::of_ratios(pairs));
        report
    }

    #[test]
    fn is_missed_only_if_the_whole_interval_is_beyond_the_bound() {
        let at_least = Limit::AtLeast(0.95);
        let below = judged(at_least, &[0.9; 20]);
        assert_eq!(below.faults.len(), 1);
        assert_eq!(below.figures["x_ratio_high"], 0.9);
        let mut on_both_sides = vec![0.9; 10];
        on_both_sides.extend([1.0; 10]);
        assert!(judged(at_least, &on_both_sides).faults.is_empty());
        assert!(judged(Limit::AtMost(1.2), &[1.1; 20]).faults.is_empty());
        assert_eq!(judged(Limit::AtMost(1.2), &[1.3; 20]).faults.len(), 1);
    }

    #[test]
    fn few_pairs_miss_nothing_and_none_is_a_fault() {
        let few = judged(Limit::AtLeast(0.95), &[0.5; 5]);
        assert!(few.faults.is_empty());
        assert!(few.figures["x_ratio_low"].is_null());
        assert!(few.text().contains("too few pairs"), "{}", few.text());
        assert_eq!(judged(Limit::AtLeast(0.95), &[]).faults.len(), 1);
    }
}
