//! The modes in which messages stream: throughput, paced and fan-out.

use tickwire_load::clients::Work;
use tickwire_load::drive::{self, Extent, Outcome, Pace, Parties, Schedule, Totals};
use tickwire_load::frame::PREFIX_BYTES;
use tickwire_load::load::{Load, Receivers, names};
use tickwire_load::messages::Selection;
use tickwire_load::process::{Cpu, CpuClock};
use tickwire_load::progress::{Progress, number};
use tickwire_load::protocol::{Acks, Framed};

use super::arguments::{Common, FanOut, MessageArguments, Paced, Throughput};
use super::client;
use super::report::{Report, counted, rate, some};
use super::selection;
use super::setup::{Setup, name, party};
use crate::cli::Failure;

/// Senders, receivers, and the messages between them.
pub struct Plan<'a> {
    pub mode: &'static str,
    pub senders: u64,
    pub receivers: u64,
    /// Messages are for everyone.
    pub is_broadcast: bool,
    /// The value of `--message`.
    pub message: &'a str,
    pub acks: Acks,
    pub extent: Extent,
    /// Messages a second, if not flat out.
    pub rate: Option<u64>,
}

impl<'a> Plan<'a> {
    /// One sender to one receiver, flat out.
    pub fn new(mode: &'static str, messages: &'a MessageArguments, extent: Extent) -> Self {
        Self {
            mode,
            senders: 1,
            receivers: 1,
            is_broadcast: false,
            message: &messages.message,
            acks: messages.acks,
            extent,
            rate: None,
        }
    }
}

pub fn throughput(arguments: &Throughput) -> Result<Report, Failure> {
    let load = &arguments.load;
    let plan = Plan {
        senders: arguments.senders,
        receivers: arguments.receivers,
        ..Plan::new("throughput", &load.messages, load.extent.extent())
    };
    if arguments.client {
        return client::run(&plan, Work::Throughput, false, &load.common);
    }
    run(&plan, &load.common)
}

pub fn paced(arguments: &Paced) -> Result<Report, Failure> {
    let load = &arguments.load;
    let plan = Plan {
        senders: arguments.connections,
        receivers: arguments.receivers,
        rate: Some(arguments.rate),
        ..Plan::new("paced", &load.messages, load.extent.extent())
    };
    run(&plan, &load.common)
}

pub fn fan_out(arguments: &FanOut) -> Result<Report, Failure> {
    let plan = Plan {
        mode: "fan-out",
        senders: 1,
        receivers: arguments.receivers,
        is_broadcast: true,
        message: &arguments.message,
        acks: arguments.acks,
        extent: arguments.extent.extent(),
        rate: None,
    };
    run(&plan, &arguments.common)
}

fn run(plan: &Plan<'_>, common: &Common) -> Result<Report, Failure> {
    let selection = selection::of(plan.message, plan.is_broadcast).map_err(Failure::usage)?;
    let setup = Setup::new(common.to.as_deref(), plan.senders + plan.receivers)?;
    measure(plan, &selection, &setup, || Progress::of_load(plan.extent))
}

/// Connects, and drives the load. The bar begins with it.
pub fn measure(
    plan: &Plan<'_>,
    selection: &Selection,
    setup: &Setup,
    bar: impl FnOnce() -> Progress,
) -> Result<Report, Failure> {
    let (load, parties) = prepare(plan, selection, setup)?;
    let pace = match plan.rate {
        None => Pace::FlatOut(plan.extent),
        Some(rate) => {
            let total = match plan.extent {
                Extent::Messages(messages) => messages,
                Extent::Time(time) => rate * time.as_secs(),
            };
            Pace::Scheduled {
                schedule: Schedule::new(rate, total, plan.senders as usize),
                may_spin: std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1),
                // Rates beyond that of single writes are reached by it.
                joins_late: true,
            }
        }
    };
    let drive_plan = drive::Plan::exact(pace, plan.acks);
    let bar = bar();
    let clock = CpuClock::start(setup.process.clone());
    let outcome = drive::run(&load, parties, &drive_plan, |delivered, elapsed| {
        bar.show(delivered / load.copies(), elapsed);
    });
    let cpu = clock.stop();
    drop(bar);
    let outcome = outcome.map_err(Failure::failed)?;
    Ok(report(plan, setup, &load, &outcome, cpu))
}

/// Makes the messages, and connects their senders and receivers.
pub fn prepare(
    plan: &Plan<'_>,
    selection: &Selection,
    setup: &Setup,
) -> Result<(Load, Parties), Failure> {
    let senders = names("tx", plan.senders as usize);
    let receivers = names("rx", plan.receivers as usize);
    let sources: Vec<_> = senders.iter().map(|name| Some(&**name)).collect();
    let in_turn_or_all = match plan.is_broadcast {
        true => Receivers::All(receivers.len()),
        false => Receivers::InTurn(&receivers),
    };
    let load = Load::new(&Framed::Tickwire, selection, &sources, in_turn_or_all);
    let mut parties = Parties::default();
    for receiver in receivers.iter().map(|text| name(text)) {
        let peer = setup
            .connect(&receiver, Acks::Each)
            .map_err(Failure::failed)?;
        parties.receivers.push(party(peer, &receiver));
    }
    let mut limit = usize::MAX;
    for sender in senders.iter().map(|text| name(text)) {
        let peer = setup.connect(&sender, plan.acks).map_err(Failure::failed)?;
        limit = limit.min(peer.frame_bytes_max);
        parties.senders.push(party(peer, &sender));
    }
    check_size(plan.message, &load, limit)?;
    Ok((load, parties))
}

/// Checks that the server takes frames as large as those of the load.
pub fn check_size(message: &str, load: &Load, limit: usize) -> Result<(), Failure> {
    if load.json_bytes_max() <= limit {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--message {message}: its messages have up to {} bytes, and the server takes {limit}: \
         start it with a larger TICKWIRE_FRAME_BYTES_MAX",
        load.json_bytes_max(),
    )))
}

fn report(plan: &Plan<'_>, setup: &Setup, load: &Load, outcome: &Outcome<'_>, cpu: Cpu) -> Report {
    let totals = outcome.totals();
    let mut report = Report::new(plan.mode, title(plan, setup, load, outcome.sent));
    report.option("server", setup.option());
    report.option("client", false);
    report.option("message", plan.message);
    report.option("acks", plan.acks.as_str());
    report.option("senders", plan.senders);
    report.option("receivers", plan.receivers);
    report.option("rate", plan.rate);
    report.extent(plan.extent);
    for (name, count) in [
        ("sent", totals.sent),
        ("delivered", totals.delivered),
        ("undelivered", totals.undelivered()),
        ("acknowledged", totals.acknowledged),
        ("ack_frames", totals.ack_frames),
        ("dropped", totals.dropped),
        ("refused", totals.refused_in_all()),
        ("unanswered", totals.unanswered),
    ] {
        report.count(name, count);
    }
    rates(&mut report, plan, &totals, outcome);
    report.figure("frame_bytes_mean", Some(load.arrived_bytes_mean()));
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
    report.cpu(Cpu { load, ..cpu }, totals.sent, "message");
    report.faults = outcome.faults(&totals);
    report
}

fn rates(report: &mut Report, plan: &Plan<'_>, totals: &Totals, outcome: &Outcome<'_>) {
    let delivered = rate(totals.delivered, outcome.delivering);
    let acknowledged = rate(totals.acknowledged, outcome.answering);
    let megabytes = rate(totals.bytes, outcome.delivering) / 1e6;
    let has_acks = plan.acks != Acks::None;
    let unit = if plan.is_broadcast {
        "deliveries_per_second"
    } else {
        "messages_per_second"
    };
    report.figure("seconds", Some(outcome.delivering.as_secs_f64()));
    report.figure(unit, Some(delivered));
    report.figure("acks_per_second", has_acks.then_some(acknowledged));
    report.figure("megabytes_per_second", Some(megabytes));
    let text = counted(totals.delivered, delivered);
    report.line("delivered", &format!("{text} {megabytes:>9.0} MB/s"));
    if has_acks {
        let frames = match plan.acks {
            Acks::Batch => format!("   in {} frames", number(totals.ack_frames)),
            _ => String::new(),
        };
        let text = counted(totals.acknowledged, acknowledged);
        report.line("acked", &format!("{text}{frames}"));
    }
}

fn title(plan: &Plan<'_>, setup: &Setup, load: &Load, sent: u64) -> String {
    let rate = plan.rate.map(|rate| format!(" at {}/s", number(rate)));
    let senders = match plan.is_broadcast {
        true => "1 broadcaster".to_owned(),
        false => some(plan.senders, "sender"),
    };
    format!(
        "{}: {} messages ({}) of {:.0} bytes{}, {senders} to {}, acks {}, through {}",
        plan.mode,
        number(sent),
        plan.message,
        load.arrived_bytes_mean() - PREFIX_BYTES as f64,
        rate.unwrap_or_default(),
        some(plan.receivers, "receiver"),
        plan.acks.as_str(),
        setup.shown()
    )
}
