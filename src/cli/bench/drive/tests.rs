//! Loads through a server of this process: every message is accounted for.

use tickwire::Server;
use tickwire::server::ServerHandle;
use tokio::runtime::{Builder, Runtime};

use super::super::messages::{Example, Selection};
use super::super::setup::name;
use super::*;

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

    fn connect(&self, as_name: &str) -> Peer {
        let to = self.server.local_addr().to_string();
        Peer::connect(&to, &name(as_name), Claim::Source).unwrap()
    }

    /// Connections of those who are to send, and of `listeners`.
    fn parties(&self, senders: &[String], listeners: &[String]) -> Parties {
        Parties {
            receivers: listeners.iter().map(|name| self.connect(name)).collect(),
            senders: senders
                .iter()
                .map(|sender| (name(sender), self.connect(sender)))
                .collect(),
            acks: Acks::Each,
        }
    }

    fn stop(self) {
        self.runtime.block_on(self.server.shutdown());
    }
}

fn named(role: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{role}-{number}"))
        .collect()
}

/// What came of `messages` of a mix.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    sent: u64,
    delivered: u64,
    missing: u64,
    acknowledged: u64,
    refused: u64,
}

fn counts(outcome: &Outcome<'_>) -> Counts {
    assert_eq!(outcome.broken, [""; 0]);
    let deliveries = outcome.deliveries.iter();
    assert!(deliveries.clone().all(|d| d.foreign == 0));
    Counts {
        sent: outcome.sent,
        delivered: deliveries.clone().map(|d| d.delivered).sum(),
        missing: deliveries.map(|d| d.missing).sum(),
        acknowledged: outcome.answers.iter().map(|a| a.acknowledged).sum(),
        refused: outcome.answers.iter().map(|a| a.refused_in_all()).sum(),
    }
}

#[test]
fn every_message_of_a_load_is_accounted_for() {
    let local = Local::start();
    for (senders, receivers) in [(1, 1), (3, 2), (2, 5)] {
        let (senders, receivers) = (named("tx", senders), named("rx", receivers));
        let load = Load::new(&Selection::Mix, &senders, &receivers, false);
        let parties = local.parties(&senders, &receivers);
        let outcome = flat_out(&load, parties, Extent::Messages(22_000), |_, _| {}).unwrap();
        let counts = counts(&outcome);
        // One in eleven is an ack.
        assert_eq!(counts.acknowledged, outcome.answerable);
        assert!(outcome.answerable.abs_diff(20_000) < 10);
        assert_eq!((counts.sent, counts.delivered), (22_000, 22_000));
        assert_eq!((counts.missing, counts.refused), (0, 0));
        assert!(!outcome.stalled);
    }
    local.stop();
}

#[test]
fn a_broadcast_arrives_everywhere() {
    let local = Local::start();
    let (senders, receivers) = (named("tx", 1), named("rx", 7));
    let selection = Selection::One(Example::MarketData);
    let load = Load::new(&selection, &senders, &receivers, true);
    let parties = local.parties(&senders, &receivers);
    let outcome = flat_out(&load, parties, Extent::Messages(15_000), |_, _| {}).unwrap();
    let counts = counts(&outcome);
    assert_eq!((counts.sent, counts.acknowledged), (15_000, 15_000));
    assert_eq!((counts.delivered, counts.missing), (7 * 15_000, 0));
    assert_eq!(outcome.answers[0].dropped, 0);
    local.stop();
}

#[test]
fn a_paced_load_has_a_latency_for_each_message() {
    let local = Local::start();
    let (senders, receivers) = (named("tx", 30), named("rx", 2));
    let load = Load::new(&Selection::Mix, &senders, &receivers, false);
    let parties = local.parties(&senders, &receivers);
    let schedule = Schedule::new(20_000, 4_001, senders.len());
    let outcome = paced(&load, parties, schedule, |_, _| {}).unwrap();
    let counts = counts(&outcome);
    assert_eq!((counts.sent, counts.delivered), (4_001, 4_001));
    assert_eq!(counts.acknowledged, outcome.answerable);
    assert_eq!(outcome.latency.unwrap().count(), 4_001);
    assert_eq!(outcome.late.unwrap().count(), 4_001);
    assert!(outcome.delivering >= Duration::from_millis(200));
    local.stop();
}

#[test]
fn says_what_was_not_delivered_and_why() {
    let local = Local::start();
    let (senders, receivers) = (named("tx", 1), named("rx", 1));
    let selection = Selection::One(Example::Order);
    let load = Load::new(&selection, &senders, &receivers, false);
    let parties = local.parties(&senders, &named("somebody-else", 1));
    let outcome = flat_out(&load, parties, Extent::Messages(12_000), |_, _| {}).unwrap();
    let counts = counts(&outcome);
    assert_eq!((counts.sent, counts.delivered), (12_000, 0));
    assert_eq!((counts.acknowledged, counts.refused), (0, 12_000));
    assert_eq!(outcome.answers[0].refused["TARGET_UNAVAILABLE"], 12_000);
    local.stop();
}

#[test]
fn a_load_for_a_time_ends_with_whole_messages() {
    let local = Local::start();
    let (senders, receivers) = (named("tx", 2), named("rx", 1));
    let selection = Selection::EscapedOrder;
    let load = Load::new(&selection, &senders, &receivers, false);
    let parties = local.parties(&senders, &receivers);
    let extent = Extent::Time(Duration::from_millis(200));
    let outcome = flat_out(&load, parties, extent, |_, _| {}).unwrap();
    let counts = counts(&outcome);
    assert!(counts.sent > 0);
    assert_eq!(counts.delivered, counts.sent);
    assert_eq!(counts.acknowledged, counts.sent);
    local.stop();
}
