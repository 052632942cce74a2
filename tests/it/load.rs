//! Loads through a server of this process: every message is accounted for.

use std::time::Duration;

use serde_json::json;
use tickwire::Server;
use tickwire::server::ServerHandle;
use tickwire_load::count::Counting;
use tickwire_load::drive::{self, Extent, Outcome, Pace, Parties, Plan, Schedule, Window};
use tickwire_load::frame;
use tickwire_load::load::{Load, Receivers};
use tickwire_load::messages::{Example, Selection, Target};
use tickwire_load::one_at_a_time::{self, Waiting};
use tickwire_load::protocol::{Acks, Fence, Framed, Party, Protocol, SUBJECT};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

const ORDERS: Selection = Selection::One(Example::Order);

struct Local {
    runtime: Runtime,
    server: ServerHandle,
}

impl Local {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let server = runtime
            .block_on(Server::builder().listen("127.0.0.1:0").start())
            .unwrap();
        Self { runtime, server }
    }

    fn sender(&self, acks: Acks) -> Party {
        let address = self.server.local_addr();
        let mut party = Framed::Tickwire.sender(address, acks).unwrap();
        party.fence = Some(fence());
        party
    }

    fn receiver(&self, name: &str) -> Party {
        let address = self.server.local_addr();
        Framed::Tickwire.receiver(address, &[name]).unwrap()
    }

    /// Connections that send, and those of `receivers`.
    fn parties(&self, senders: usize, receivers: &[String]) -> Parties {
        Parties {
            receivers: receivers.iter().map(|name| self.receiver(name)).collect(),
            senders: (0..senders).map(|_| self.sender(Acks::Each)).collect(),
        }
    }

    fn stop(self) {
        self.runtime.block_on(self.server.shutdown());
    }
}

/// A `hello` behind all messages.
fn fence() -> Fence {
    let id = Uuid::new_v4().to_string();
    let hello = json!({
        "msg_id": id, "msg_type": "hello", "timestamp": "2026-01-03T12:41:00Z",
        "source": "quantower-connector", "payload": {"protocol": 1, "register": false},
    });
    let mut bytes = Vec::new();
    frame::write(&mut bytes, hello.to_string().as_bytes());
    Fence { id, frame: bytes }
}

fn named(role: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{role}-{number}"))
        .collect()
}

fn load(selection: &Selection, senders: usize, receivers: Receivers<'_>) -> Load {
    let sources = vec![None; senders];
    Load::new(&Framed::Tickwire, selection, &sources, receivers)
}

fn run<'a>(load: &'a Load, parties: Parties, pace: Pace) -> Outcome<'a> {
    let plan = Plan::exact(pace, Acks::Each);
    drive::run(load, parties, &plan, |_, _| {}).unwrap()
}

fn messages(count: u64) -> Pace {
    Pace::FlatOut(Extent::Messages(count))
}

#[test]
fn every_message_of_a_load_is_accounted_for() {
    let local = Local::start();
    for (senders, receivers) in [(1, 1), (3, 2), (2, 5)] {
        let receivers = named("rx", receivers);
        let load = load(&Selection::Mix, senders, Receivers::InTurn(&receivers));
        let outcome = run(&load, local.parties(senders, &receivers), messages(22_000));
        let totals = outcome.totals();
        assert_eq!(outcome.faults(&totals), [""; 0]);
        // One in eleven is an ack.
        assert_eq!(totals.acknowledged, outcome.answerable);
        assert!(outcome.answerable.abs_diff(20_000) < 10);
        assert_eq!((totals.sent, totals.delivered), (22_000, 22_000));
        assert_eq!((totals.missing, totals.refused_in_all()), (0, 0));
        assert!(!outcome.stalled);
    }
    local.stop();
}

#[test]
fn a_broadcast_arrives_everywhere() {
    let local = Local::start();
    let receivers = named("rx", 7);
    let selection = Selection::One(Example::MarketData);
    let load = load(&selection, 1, Receivers::All(7));
    let outcome = run(&load, local.parties(1, &receivers), messages(15_000));
    let totals = outcome.totals();
    assert_eq!(outcome.faults(&totals), [""; 0]);
    assert_eq!((totals.sent, totals.acknowledged), (15_000, 15_000));
    assert_eq!((totals.delivered, totals.missing), (7 * 15_000, 0));
    assert_eq!(totals.dropped, 0);
    local.stop();
}

#[test]
fn a_paced_load_has_a_latency_for_each_message() {
    let local = Local::start();
    let receivers = named("rx", 2);
    let load = load(&Selection::Mix, 30, Receivers::InTurn(&receivers));
    for joins_late in [true, false] {
        let pace = Pace::Scheduled {
            schedule: Schedule::new(20_000, 4_001, 30),
            may_spin: false,
            joins_late,
        };
        let outcome = run(&load, local.parties(30, &receivers), pace);
        let totals = outcome.totals();
        assert_eq!(outcome.faults(&totals), [""; 0]);
        assert_eq!((totals.sent, totals.delivered), (4_001, 4_001));
        assert_eq!(totals.acknowledged, outcome.answerable);
        assert_eq!(outcome.latency.unwrap().count(), 4_001);
        assert_eq!(outcome.late.unwrap().count(), 4_001);
        assert!(outcome.delivering >= Duration::from_millis(200));
    }
    local.stop();
}

#[test]
fn tells_of_messages_that_were_not_delivered_and_why() {
    let local = Local::start();
    let receivers = named("rx", 1);
    let load = load(&ORDERS, 1, Receivers::InTurn(&receivers));
    let parties = local.parties(1, &named("somebody-else", 1));
    let outcome = run(&load, parties, messages(12_000));
    let totals = outcome.totals();
    assert_eq!((totals.sent, totals.delivered), (12_000, 0));
    assert_eq!((totals.acknowledged, totals.foreign), (0, 0));
    assert_eq!(totals.refused["TARGET_UNAVAILABLE"], 12_000);
    let faults = outcome.faults(&totals);
    let expected = [
        "12,000 sent but not delivered",
        "12,000 refused: TARGET_UNAVAILABLE",
    ];
    assert_eq!(faults, expected);
    local.stop();
}

#[test]
fn a_load_for_a_time_ends_with_whole_messages() {
    let local = Local::start();
    let receivers = named("rx", 1);
    let load = load(&Selection::EscapedOrder, 2, Receivers::InTurn(&receivers));
    let extent = Extent::Time(Duration::from_millis(200));
    let outcome = run(&load, local.parties(2, &receivers), Pace::FlatOut(extent));
    let totals = outcome.totals();
    assert!(totals.sent > 0);
    assert_eq!(totals.delivered, totals.sent);
    assert_eq!(totals.acknowledged, totals.sent);
    local.stop();
}

/// A plan that counts bytes, as the comparison with other brokers does.
fn byte_plan(acks: Acks) -> Plan {
    Plan {
        counting: Counting::Bytes,
        ahead_bytes_max: None,
        ..Plan::exact(messages(20_000), acks)
    }
}

#[test]
fn bytes_are_counted_to_the_last_one() {
    let local = Local::start();
    let target = Receivers::One(Target::Name(SUBJECT));
    let load = load(&ORDERS, 1, target);
    for acks in [Acks::Each, Acks::Batch, Acks::None] {
        let mut parties = Parties::default();
        parties.receivers.push(local.receiver(SUBJECT));
        let mut sender = local.sender(acks);
        sender.fence = None;
        parties.senders.push(sender);
        let outcome = drive::run(&load, parties, &byte_plan(acks), |_, _| {}).unwrap();
        let totals = outcome.totals();
        assert_eq!(outcome.faults(&totals), [""; 0], "{acks:?}");
        assert_eq!(outcome.wrong_bytes(0), None);
        let acknowledged = if acks == Acks::None { 0 } else { 20_000 };
        assert_eq!(totals.acknowledged, acknowledged, "{acks:?}");
    }
    local.stop();
}

#[test]
fn a_sender_waits_for_answers_where_few_messages_may_be_in_flight() {
    let local = Local::start();
    let load = load(&ORDERS, 1, Receivers::One(Target::Name(SUBJECT)));
    // Not of the load: its arrivals are not waited for.
    let _receiver = local.receiver(SUBJECT);
    let time = Duration::from_millis(50);
    for extent in [Extent::Messages(1_000), Extent::Time(time)] {
        for acks in [Acks::Each, Acks::Batch] {
            let mut parties = Parties::default();
            parties.senders.push(local.sender(acks));
            let plan = Plan {
                counting: Counting::Bytes,
                ahead_bytes_max: None,
                in_flight_max: Some(3),
                window: Some(Window {
                    warm_up: Duration::ZERO,
                    measured: time,
                }),
                ..Plan::exact(Pace::FlatOut(extent), acks)
            };
            let outcome = drive::run(&load, parties, &plan, |_, _| {}).unwrap();
            let totals = outcome.totals();
            assert_eq!(outcome.faults(&totals), [""; 0], "{acks:?}");
            assert_eq!(totals.acknowledged, totals.sent, "{acks:?}");
            // No ack is for more than the three that wait.
            assert!(totals.ack_frames * 3 >= totals.sent, "{acks:?}");
            let has_rate = outcome.answers_per_second > 0.0;
            assert!(has_rate || extent != Extent::Time(time), "{acks:?}");
        }
    }
    local.stop();
}

#[test]
fn one_at_a_time_can_wait_for_answers_alone() {
    let local = Local::start();
    let load = load(&ORDERS, 1, Receivers::One(Target::Name(SUBJECT)));
    let _receiver = local.receiver(SUBJECT);
    let (plan, sender) = (
        Plan::exact(messages(30), Acks::Each),
        local.sender(Acks::Each),
    );
    let run = one_at_a_time::run(&load, sender, None, &plan, Waiting::Asleep, |_, _| {});
    let (outcome, stop) = run.unwrap();
    assert!(stop.is_none(), "{stop:?}");
    assert_eq!((outcome.sent, outcome.both.count()), (30, 30));
    assert_eq!(outcome.arrival.count(), 0);
    local.stop();
}

#[test]
fn one_at_a_time_has_a_latency_for_each_message() {
    let local = Local::start();
    let load = load(&Selection::Mix, 1, Receivers::One(Target::Name(SUBJECT)));
    let plan = Plan::exact(messages(330), Acks::Each);
    for waiting in [Waiting::Asleep, Waiting::Polling] {
        let (sender, receiver) = (local.sender(Acks::Each), local.receiver(SUBJECT));
        let run = one_at_a_time::run(&load, sender, Some(receiver), &plan, waiting, |_, _| {});
        let (outcome, stop) = run.unwrap();
        assert!(stop.is_none(), "{stop:?}");
        assert_eq!((outcome.sent, outcome.arrivals.units()), (330, 330));
        assert_eq!(outcome.arrival.count(), 330);
        // One in eleven is an ack.
        assert_eq!(outcome.both.count(), 300);
    }
    local.stop();
}
