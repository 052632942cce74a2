//! `--client`: the load as programs make it, through the library's own client.

use std::time::Duration;

use tickwire::Client;
use tickwire::client::{ClientConfig, Event, Receiver};
use tickwire::wire::{Kind, ValidFrame};
use tickwire_load::clients::{self, Outcome, Work};
use tickwire_load::frame::PREFIX_BYTES;
use tickwire_load::load::{Load, Receivers, names};
use tickwire_load::process::{Cpu, CpuClock};
use tickwire_load::progress::{Progress, number};
use tickwire_load::protocol::{Acks, Framed};
use tokio::runtime::Runtime;

use super::arguments::Common;
use super::report::{Report, counted, rate};
use super::selection;
use super::setup::Setup;
use super::streams::{Plan, check_size};
use crate::cli::Failure;

/// The time in which the client says why messages were not accepted.
const REASON_WAIT: Duration = Duration::from_millis(100);

/// One client that sends, and the messages that it sends in turn.
struct Sending {
    client: Client,
    events: Receiver,
    messages: Vec<ValidFrame>,
}

impl Sending {
    /// Returns the next message, which is sent under an id of its own.
    fn next(&self, number: u64) -> &ValidFrame {
        let index = number % self.messages.len() as u64;
        &self.messages[index as usize]
    }
}

impl clients::Sender for Sending {
    async fn post(&mut self, number: u64) -> Result<usize, String> {
        let frame = self.next(number);
        let posted = self.client.post_frame(frame).await;
        posted
            .map(|_| frame.json_bytes())
            .map_err(|error| error.to_string())
    }

    async fn send(&mut self, number: u64) -> Result<usize, String> {
        let frame = self.next(number);
        let ack = self.client.send_frame(frame).await;
        match ack.map_err(|error| error.to_string())?.dropped() {
            0 => Ok(frame.json_bytes()),
            _ => Err("the server dropped a message: the queue of its target is full".to_owned()),
        }
    }

    async fn flush(&mut self) -> Result<(), String> {
        let Err(error) = self.client.flush().await else {
            return Ok(());
        };
        // The first event has the server's own words.
        let reason = tokio::time::timeout(REASON_WAIT, self.events.receive()).await;
        Err(match reason {
            Ok(Some(event)) => format!("{error}: {}", told(&event)),
            _ => error.to_string(),
        })
    }
}

/// One client that receives.
struct Receiving {
    _client: Client,
    events: Receiver,
}

impl clients::Receiver for Receiving {
    async fn receive(&mut self) -> Result<usize, String> {
        match self.events.receive().await {
            Some(Event::Message(inbound)) => Ok(inbound.json().len()),
            Some(event) => Err(told(&event)),
            None => Err("the client has ended".to_owned()),
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Notice(report) => format!("{}: {}", report.code, report.message),
        Event::Disconnected(why) | Event::Closed(why) => why.to_string(),
        _ => "an unexpected event".to_owned(),
    }
}

/// Measures one client that sends to another.
pub fn run(
    plan: &Plan<'_>,
    work: Work,
    busy_poll: bool,
    common: &Common,
) -> Result<Report, Failure> {
    if plan.acks == Acks::None {
        return Err(Failure::usage(
            "--acks none: the client waits for every answer; choose each or batch, or leave out \
             --client",
        ));
    }
    let selection = selection::of(plan.message, false).map_err(Failure::usage)?;
    let setup = Setup::with_pollers(common.to.as_deref(), 2, usize::from(busy_poll))?;
    let runtime = clients::runtime().map_err(Failure::failed)?;
    let (sender, receiver) = (names("tx", 1), names("rx", 1));
    let receivers = Receivers::InTurn(&receiver);
    let load = Load::new(
        &Framed::Tickwire,
        &selection,
        &[Some(&sender[0])],
        receivers,
    );
    let ends = connect(
        plan,
        work,
        &load,
        [&sender[0], &receiver[0]],
        &setup,
        &runtime,
        busy_poll,
    )?;
    let bar = Progress::of_load(plan.extent);
    let clock = CpuClock::start(setup.process.clone());
    let outcome = clients::run(&runtime, ends, work, plan.extent, |delivered, elapsed| {
        bar.show(delivered, elapsed);
    });
    let cpu = clock.stop();
    drop(bar);
    let mut report = report(plan, work, &setup, &load, &outcome, cpu);
    report.option("busy_poll", busy_poll);
    Ok(report)
}

/// Connects both clients, and makes the messages of the one that sends.
fn connect(
    plan: &Plan<'_>,
    work: Work,
    load: &Load,
    [sender, receiver]: [&str; 2],
    setup: &Setup,
    runtime: &Runtime,
    busy_poll: bool,
) -> Result<(Sending, Receiving), Failure> {
    let connect = |name: &str| {
        let config = ClientConfig::new(name)
            .batch_acks(plan.acks == Acks::Batch)
            .reconnect(false)
            .busy_poll(busy_poll);
        let connected = runtime.block_on(Client::connect(setup.to.as_str(), config));
        connected.map_err(Failure::failed)
    };
    let (client, events) = connect(receiver)?;
    let receiving = Receiving {
        _client: client,
        events,
    };
    let (client, events) = connect(sender)?;
    let limit = client.welcome().limits.frame_bytes;
    check_size(
        plan.message,
        load,
        usize::try_from(limit).unwrap_or(usize::MAX),
    )?;
    let messages = prepare(load, work, plan.message)?;
    let sending = Sending {
        client,
        events,
        messages,
    };
    Ok((sending, receiving))
}

/// Prepares the messages of a load. Acks can't be awaited, so they are left out where
/// each message is.
fn prepare(load: &Load, work: Work, shown: &str) -> Result<Vec<ValidFrame>, Failure> {
    let stream = &load.streams[0];
    let mut messages = Vec::with_capacity(stream.messages());
    for index in 0..stream.messages() {
        let json = &stream.published(index as u64)[PREFIX_BYTES..];
        let frame = ValidFrame::from_json(json)
            .map_err(|refusal| Failure::usage(format!("--message {shown}: {refusal}")))?;
        if work == Work::OneAtATime && frame.kind() == Kind::Ack {
            continue;
        }
        messages.push(frame);
    }
    if messages.is_empty() {
        return Err(Failure::usage(format!(
            "--message {shown}: an ack is never answered, so nothing can be awaited; choose \
             another message"
        )));
    }
    Ok(messages)
}

fn report(
    plan: &Plan<'_>,
    work: Work,
    setup: &Setup,
    load: &Load,
    outcome: &Outcome,
    cpu: Cpu,
) -> Report {
    let bytes_mean = outcome.bytes as f64 / outcome.delivered.max(1) as f64;
    let acknowledged = match work {
        Work::OneAtATime => outcome.answer.count(),
        Work::Throughput => load.streams[0].answered_of(outcome.sent),
    };
    let title = format!(
        "{} of clients: {} messages ({}) of {bytes_mean:.0} bytes, 1 client to 1 client, acks {}, \
         through {}",
        plan.mode,
        number(outcome.sent),
        plan.message,
        plan.acks.as_str(),
        setup.shown()
    );
    let mut report = Report::new(plan.mode, title);
    report.option("server", setup.option());
    report.option("client", true);
    report.option("message", plan.message);
    report.option("acks", plan.acks.as_str());
    report.extent(plan.extent);
    report.count("sent", outcome.sent);
    report.count("delivered", outcome.delivered);
    report.count(
        "undelivered",
        outcome.sent.saturating_sub(outcome.delivered),
    );
    if outcome.answering.is_some() {
        report.count("acknowledged", acknowledged);
    }
    let delivered = rate(outcome.delivered, outcome.delivering);
    report.figure("seconds", Some(outcome.delivering.as_secs_f64()));
    report.figure("messages_per_second", Some(delivered));
    report.line("delivered", &counted(outcome.delivered, delivered));
    match (work, outcome.answering) {
        (Work::OneAtATime, _) => report.latency("answer", "send to ack", &outcome.answer),
        (Work::Throughput, Some(answering)) => {
            let per_second = rate(acknowledged, answering);
            report.figure("acks_per_second", Some(per_second));
            report.line("acked", &counted(acknowledged, per_second));
        }
        (Work::Throughput, None) => {}
    }
    report.figure("message_bytes_mean", Some(bytes_mean));
    report.cpu(cpu, outcome.sent, "message");
    report.faults.clone_from(&outcome.faults);
    report
}
