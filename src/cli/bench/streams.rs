//! The modes in which messages stream: throughput, paced and fan-out.

use std::time::Duration;

use indicatif::ProgressBar;

use super::arguments::{Common, FanOut, Paced, Throughput};
use super::count::Acks;
use super::drive::{self, Extent, Outcome, Parties, Schedule};
use super::load::{Load, names};
use super::messages::Selection;
use super::progress;
use super::report::{Report, number, per_second};
use super::selection;
use super::setup::{Cpu, CpuClock, Setup, name};
use crate::cli::Failure;

/// Who sends what to whom.
pub struct Plan<'a> {
    /// The mode's name.
    pub mode: &'static str,
    /// Connections that send.
    pub senders: usize,
    /// Connections that receive.
    pub receivers: usize,
    /// Whether messages are for everyone.
    pub broadcast: bool,
    /// What is sent, as it was asked for.
    pub message: &'a str,
    /// What acks the senders ask for.
    pub acks: Acks,
    /// When it ends.
    pub extent: Extent,
    /// Messages a second, if not flat out.
    pub rate: Option<u64>,
}

/// Runs `throughput`.
pub fn throughput(arguments: &Throughput) -> Result<Report, Failure> {
    let plan = Plan {
        mode: "throughput",
        senders: arguments.senders as usize,
        receivers: arguments.receivers as usize,
        broadcast: false,
        message: &arguments.messages.message,
        acks: arguments.messages.acks,
        extent: arguments.extent.extent(),
        rate: None,
    };
    run(&plan, &arguments.common)
}

/// Runs `paced`.
pub fn paced(arguments: &Paced) -> Result<Report, Failure> {
    let plan = Plan {
        mode: "paced",
        senders: arguments.connections as usize,
        receivers: arguments.receivers as usize,
        broadcast: false,
        message: &arguments.messages.message,
        acks: arguments.messages.acks,
        extent: arguments.extent.extent(),
        rate: Some(arguments.rate),
    };
    run(&plan, &arguments.common)
}

/// Runs `fan-out`.
pub fn fan_out(arguments: &FanOut) -> Result<Report, Failure> {
    let plan = Plan {
        mode: "fan-out",
        senders: 1,
        receivers: arguments.receivers as usize,
        broadcast: true,
        message: &arguments.message,
        acks: arguments.acks,
        extent: arguments.extent.extent(),
        rate: None,
    };
    run(&plan, &arguments.common)
}

fn run(plan: &Plan<'_>, common: &Common) -> Result<Report, Failure> {
    let selection = selection::of(plan.message, plan.broadcast).map_err(Failure::usage)?;
    let connections = plan.senders + plan.receivers;
    let setup = Setup::new(common.to.as_deref(), connections as u64)?;
    measure(plan, &selection, &setup, || progress::bar(plan.extent))
}

/// Connects, and does what is planned. The bar begins when the load does.
pub fn measure(
    plan: &Plan<'_>,
    selection: &Selection,
    setup: &Setup,
    bar: impl FnOnce() -> ProgressBar,
) -> Result<Report, Failure> {
    let (load, parties) = prepare(plan, selection, setup)?;
    let bar = bar();
    let copies = load.copies();
    let watch = |delivered, elapsed| progress::show(&bar, plan.extent, delivered / copies, elapsed);
    let clock = CpuClock::start(setup);
    let outcome = match plan.rate {
        None => drive::flat_out(&load, parties, plan.extent, watch),
        Some(rate) => {
            let total = match plan.extent {
                Extent::Messages(messages) => messages,
                Extent::Time(time) => rate * time.as_secs(),
            };
            let schedule = Schedule::new(rate, total, plan.senders);
            drive::paced(&load, parties, schedule, watch)
        }
    };
    let cpu = clock.stop();
    bar.finish_and_clear();
    let outcome = outcome.map_err(Failure::failed)?;
    Ok(Sums::of(&outcome, &load, plan).report(plan, setup, &load, &outcome, cpu))
}

/// Makes the messages, and connects who sends and receives them.
fn prepare(
    plan: &Plan<'_>,
    selection: &Selection,
    setup: &Setup,
) -> Result<(Load, Parties), Failure> {
    let (senders, receivers) = (names("tx", plan.senders), names("rx", plan.receivers));
    let load = Load::new(selection, &senders, &receivers, plan.broadcast);
    let mut parties = Parties {
        senders: Vec::new(),
        receivers: Vec::new(),
        acks: plan.acks,
    };
    for receiver in &receivers {
        let peer = setup.connect(&name(receiver), Acks::Each);
        parties.receivers.push(peer.map_err(Failure::failed)?);
    }
    for sender in &senders {
        let name = name(sender);
        let peer = setup.connect(&name, plan.acks).map_err(Failure::failed)?;
        parties.senders.push((name, peer));
    }
    let limit = parties.senders[0].1.frame_bytes_max;
    if load.frame_bytes_max() > limit {
        return Err(Failure::usage(format!(
            "--message {}: its messages have up to {} bytes, and the server takes {limit}: start \
             it with a larger TICKWIRE_FRAME_BYTES_MAX",
            plan.message,
            load.frame_bytes_max(),
        )));
    }
    Ok((load, parties))
}

/// What a run comes to, over all connections.
struct Sums {
    sent: u64,
    /// Deliveries that should have come of it.
    due: u64,
    delivered: u64,
    bytes: u64,
    foreign: u64,
    acknowledged: u64,
    ack_frames: u64,
    dropped: u64,
    refused: u64,
    /// Messages that were neither acknowledged nor refused, and should be.
    unanswered: u64,
}

impl Sums {
    fn of(outcome: &Outcome<'_>, load: &Load, plan: &Plan<'_>) -> Self {
        let deliveries = outcome.deliveries.iter();
        let delivered = deliveries.clone().map(|d| d.delivered).sum();
        let answers = outcome.answers.iter();
        let acknowledged = answers.clone().map(|a| a.acknowledged).sum();
        let refused = answers.clone().map(|a| a.refused_in_all()).sum();
        let answered = match plan.acks {
            Acks::None => outcome.answerable,
            _ => acknowledged + refused,
        };
        Self {
            sent: outcome.sent,
            due: outcome.sent * load.copies(),
            delivered,
            bytes: deliveries.clone().map(|d| d.bytes).sum(),
            foreign: deliveries.map(|d| d.foreign).sum(),
            acknowledged,
            ack_frames: answers.clone().map(|a| a.ack_frames).sum(),
            dropped: answers.map(|a| a.dropped).sum(),
            refused,
            unanswered: outcome.answerable.saturating_sub(answered),
        }
    }

    fn report(
        &self,
        plan: &Plan<'_>,
        setup: &Setup,
        load: &Load,
        outcome: &Outcome<'_>,
        cpu: Cpu,
    ) -> Report {
        let mut report = Report::new(plan.mode, self.title(plan, setup, load));
        report.option("server", setup.option());
        report.option("message", plan.message);
        report.option("acks", plan.acks.as_str());
        report.option("senders", plan.senders);
        report.option("receivers", plan.receivers);
        report.option("rate", plan.rate);
        progress::options(&mut report, plan.extent);

        report.count("sent", self.sent);
        report.count("delivered", self.delivered);
        report.count("undelivered", self.due.saturating_sub(self.delivered));
        report.count("acknowledged", self.acknowledged);
        report.count("ack_frames", self.ack_frames);
        report.count("dropped", self.dropped);
        report.count("refused", self.refused);
        report.count("unanswered", self.unanswered);

        let seconds = outcome.delivering.as_secs_f64();
        let rate = |count: u64, time: Duration| count as f64 / time.as_secs_f64().max(1e-9);
        let delivered_rate = rate(self.delivered, outcome.delivering);
        let acked_rate = rate(self.acknowledged, outcome.answering);
        let megabytes = self.bytes as f64 / seconds.max(1e-9) / 1e6;
        report.figure("seconds", Some(seconds));
        report.figure(
            if plan.broadcast {
                "deliveries_per_second"
            } else {
                "messages_per_second"
            },
            Some(delivered_rate),
        );
        report.figure(
            "acks_per_second",
            (plan.acks != Acks::None).then_some(acked_rate),
        );
        report.figure("megabytes_per_second", Some(megabytes));
        report.figure("frame_bytes_mean", Some(load.frame_bytes_mean()));
        report.line(
            "delivered",
            &format!(
                "{:>14} {:>16} {megabytes:>9.0} MB/s",
                number(self.delivered),
                per_second(delivered_rate)
            ),
        );
        if plan.acks != Acks::None {
            let frames = match plan.acks {
                Acks::Batch => format!("   in {} frames", number(self.ack_frames)),
                _ => String::new(),
            };
            report.line(
                "acked",
                &format!(
                    "{:>14} {:>16}{frames}",
                    number(self.acknowledged),
                    per_second(acked_rate)
                ),
            );
        }
        for (name, label, latency) in [
            ("from_due", "latency", &outcome.latency),
            ("written_late", "written late", &outcome.late),
        ] {
            if let Some(latency) = latency {
                report.latency(name, label, latency);
            }
        }
        // At a rate it waits by spinning, which says nothing.
        let load = cpu.load.filter(|_| plan.rate.is_none());
        report.cpu(Cpu { load, ..cpu }, self.sent, "message");
        report.faults = self.faults(outcome);
        report
    }

    fn title(&self, plan: &Plan<'_>, setup: &Setup, load: &Load) -> String {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{} {what}s", number(count as u64)),
        };
        let rate = plan
            .rate
            .map_or(String::new(), |rate| format!(" at {}/s", number(rate)));
        let parties = match plan.broadcast {
            true => format!("1 broadcaster to {}", counted(plan.receivers, "receiver")),
            false => format!(
                "{} to {}",
                counted(plan.senders, "sender"),
                counted(plan.receivers, "receiver")
            ),
        };
        format!(
            "{}: {} messages ({}) of {:.0} bytes{rate}, {parties}, acks {}, through {}",
            plan.mode,
            number(self.sent),
            plan.message,
            load.frame_bytes_mean() - 4.0,
            plan.acks.as_str(),
            setup.shown()
        )
    }

    /// What did not go as it should.
    fn faults(&self, outcome: &Outcome<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |count: u64, text: &str| {
            if count > 0 {
                faults.push(format!("{} {text}", number(count)));
            }
        };
        fault(
            self.due.saturating_sub(self.delivered),
            "sent but not delivered",
        );
        fault(self.unanswered, "sent but neither acknowledged nor refused");
        fault(self.foreign, "frames arrived that were not sent here");
        fault(self.dropped, "dropped by the server for a receiver");
        let mut refused = std::collections::BTreeMap::<&str, u64>::new();
        for (code, count) in outcome.answers.iter().flat_map(|a| &a.refused) {
            *refused.entry(code).or_default() += count;
        }
        for (code, count) in refused {
            fault(count, &format!("refused: {code}"));
        }
        // Gaps are counted forward, so whatever comes twice or too late looks
        // like a gap nearly as long as a round.
        let settled: u64 = outcome.deliveries.iter().map(|d| d.settled()).sum();
        if settled > self.due {
            faults.push("messages arrived out of order or more than once".to_owned());
        }
        let settled: u64 = outcome.answers.iter().map(|a| a.settled()).sum();
        if settled > self.sent {
            faults.push("answers arrived out of order or more than once".to_owned());
        }
        if outcome.stalled {
            faults.push("nothing arrived any more, so it was given up".to_owned());
        }
        faults.extend(outcome.broken.iter().take(10).cloned());
        let deliveries = outcome.deliveries.iter().flat_map(|d| &d.notices);
        let answers = outcome.answers.iter().flat_map(|a| &a.notices);
        let notices = deliveries.chain(answers).take(20);
        faults.extend(notices.map(|notice| format!("the server says {notice}")));
        faults
    }
}
