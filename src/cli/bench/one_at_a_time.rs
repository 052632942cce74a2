//! One message at a time: each is sent when that before has been answered.

use tickwire_load::clients::Work;
use tickwire_load::drive::{self, Pace};
use tickwire_load::frame::PREFIX_BYTES;
use tickwire_load::messages::Selection;
use tickwire_load::one_at_a_time::{self, Waiting};
use tickwire_load::process::CpuClock;
use tickwire_load::progress::{Progress, number};
use tickwire_load::protocol::Acks;

use super::arguments::OneAtATime;
use super::client;
use super::report::{Report, counted, rate};
use super::selection;
use super::setup::Setup;
use super::streams::{Plan, prepare};
use crate::cli::Failure;

pub fn run(arguments: &OneAtATime) -> Result<Report, Failure> {
    let load = &arguments.load;
    let plan = Plan::new("one-at-a-time", &load.messages, load.extent.extent());
    if arguments.client {
        return client::run(&plan, Work::OneAtATime, arguments.busy_poll, &load.common);
    }
    let selection = selection::of(plan.message, false).map_err(Failure::usage)?;
    let pollers = usize::from(arguments.busy_poll);
    let setup = Setup::with_pollers(load.common.to.as_deref(), 4, pollers)?;
    let waiting = match arguments.busy_poll {
        true => Waiting::Polling,
        false => Waiting::Asleep,
    };
    measure(&plan, &selection, &setup, waiting, || {
        Progress::of_load(plan.extent)
    })
}

/// Connects, and drives the load. The bar begins with it.
pub fn measure(
    plan: &Plan<'_>,
    selection: &Selection,
    setup: &Setup,
    waiting: Waiting,
    bar: impl FnOnce() -> Progress,
) -> Result<Report, Failure> {
    let (load, mut parties) = prepare(plan, selection, setup)?;
    let ends = parties.senders.pop().zip(parties.receivers.pop());
    let (sender, receiver) = ends.expect("there is one of each");
    let drive_plan = drive::Plan::exact(Pace::FlatOut(plan.extent), plan.acks);
    let bar = bar();
    let clock = CpuClock::start(setup.process.clone());
    let run = one_at_a_time::run(
        &load,
        sender,
        Some(receiver),
        &drive_plan,
        waiting,
        |sent, elapsed| {
            bar.show(sent, elapsed);
        },
    );
    let cpu = clock.stop();
    drop(bar);
    let (outcome, stop) = run.map_err(Failure::failed)?;

    let title = format!(
        "one-at-a-time: {} messages ({}) of {:.0} bytes, acks {}, through {}",
        number(outcome.sent),
        plan.message,
        load.arrived_bytes_mean() - PREFIX_BYTES as f64,
        plan.acks.as_str(),
        setup.shown()
    );
    let mut report = Report::new(plan.mode, title);
    report.option("server", setup.option());
    report.option("client", false);
    report.option("busy_poll", waiting == Waiting::Polling);
    report.option("message", plan.message);
    report.option("acks", plan.acks.as_str());
    report.extent(plan.extent);
    add_figures(&mut report, &outcome, plan.acks);
    report.cpu(cpu, outcome.sent, "message");
    report.faults.extend(stop.map(|stop| stop.to_string()));
    Ok(report)
}

fn add_figures(report: &mut Report, outcome: &one_at_a_time::Outcome<'_>, acks: Acks) {
    let counts = outcome.arrivals.messages().zip(outcome.replies.exact());
    let (deliveries, answers) = counts.expect("this plan counts exactly");
    let rate = rate(deliveries.delivered, outcome.elapsed);
    report.count("sent", outcome.sent);
    report.count("delivered", deliveries.delivered);
    report.count("acknowledged", answers.acknowledged);
    report.count("refused", answers.refused_in_all());
    report.figure("seconds", Some(outcome.elapsed.as_secs_f64()));
    report.figure("messages_per_second", Some(rate));
    report.line("delivered", &counted(deliveries.delivered, rate));
    report.latency("arrival", "arrival", &outcome.arrival);
    if acks != Acks::None {
        report.latency("arrival_and_ack", "and its ack", &outcome.both);
    }
    let mut fault = |count: u64, text: &str| {
        if count > 0 {
            report.faults.push(format!("{} {text}", number(count)));
        }
    };
    fault(deliveries.missing, "passed over");
    fault(deliveries.foreign, "frames arrived that were not sent here");
    fault(answers.dropped, "dropped by the server");
    for (code, count) in &answers.refused {
        fault(*count, &format!("refused: {code}"));
    }
    let notices = deliveries.notices.iter().chain(&answers.notices);
    let notices = notices.map(|notice| format!("the server says {notice}"));
    report.faults.extend(notices);
}
