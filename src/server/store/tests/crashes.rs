//! Senders, a receiver and a disk that fails, beside a plain model, by seeds:
//! acknowledged implies delivered, and a settlement holds once its fence has come back.
//!
//! ```sh
//! TICKWIRE_SEEDS=100000 cargo test --release --lib store::tests::crashes
//! ```

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::{Client, SETTLING, World, hello, number};
use crate::journal::OpenError;
use crate::journal::testing::{Fault, SimDisk};

const SEEDS: u64 = 300;
const SENDERS: usize = 2;

/// The memory of the clients.
#[derive(Default)]
struct Model {
    sent: usize,
    acknowledged: BTreeSet<usize>,
    /// Refused, and never to be delivered.
    not_stored: BTreeSet<usize>,
    /// The highest number that was received of each sender.
    received: BTreeMap<String, usize>,
    received_once: BTreeSet<usize>,
    /// Received and not settled, on this connection of the receiver.
    held: Vec<Value>,
    settling: BTreeSet<usize>,
    /// Those of `settling` in front of the fence that was sent.
    before_fence: Vec<BTreeSet<usize>>,
    fenced: BTreeSet<usize>,
    again: usize,
}

impl Model {
    fn answers(&mut self, answers: &[Value]) {
        for answer in answers {
            let payload = &answer["payload"];
            match answer["msg_type"].as_str() {
                Some("ack") if answer["source"] == "tickwire" => {
                    self.acknowledged
                        .insert(number(&payload["acknowledged_msg_id"]));
                }
                Some("error") => {
                    assert_eq!(payload["code"], "STORAGE_UNAVAILABLE", "{answer}");
                    if payload["details"]["fate"] == "not_stored" {
                        self.not_stored
                            .insert(number(&payload["details"]["msg_id"]));
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes the mail of the receiver.
    fn mail(&mut self, mail: Vec<Value>) {
        for message in mail {
            match message["msg_type"].as_str() {
                Some("ingest_event") => self.order(message),
                Some("welcome") => {
                    if !self.before_fence.is_empty() {
                        let settled = self.before_fence.remove(0);
                        self.fenced.extend(settled);
                    }
                }
                Some("error") => {
                    let about = number(&message["payload"]["details"]["msg_id"]);
                    let order = about - SETTLING;
                    self.settling.remove(&order);
                    for settled in &mut self.before_fence {
                        settled.remove(&order);
                    }
                }
                other => panic!("the receiver got {other:?}: {message}"),
            }
        }
    }

    fn order(&mut self, message: Value) {
        let order = number(&message["msg_id"]);
        assert!(!self.fenced.contains(&order), "{order} was settled");
        assert!(!self.not_stored.contains(&order), "{order} was refused");
        if self.received_once.insert(order) {
            let source = message["source"].as_str().unwrap_or_default();
            let highest = self.received.entry(source.to_owned()).or_default();
            assert!(*highest < order, "{order} came behind {highest}");
            *highest = order;
        } else {
            self.again += 1;
        }
        self.held.push(message);
    }

    /// The connection of the receiver is gone.
    fn receiver_lost(&mut self) {
        self.held.clear();
        // A later fence says nothing about its last acks.
        self.settling.clear();
        self.before_fence.clear();
    }
}

/// One life of the server.
struct Life<'a> {
    world: World,
    senders: Vec<Client>,
    receiver: Option<Client>,
    model: &'a mut Model,
    rng: &'a mut StdRng,
}

impl<'a> Life<'a> {
    fn begin(world: World, model: &'a mut Model, rng: &'a mut StdRng) -> Self {
        let senders = (0..SENDERS).map(|sender| world.client(&format!("sender-{sender}")));
        Self {
            senders: senders.collect(),
            world,
            receiver: None,
            model,
            rng,
        }
    }

    fn step(&mut self) {
        let which = self.rng.random_range(0..SENDERS);
        match self.rng.random_range(0..10) {
            0..=2 => {
                for _ in 0..self.rng.random_range(1..5) {
                    self.model.sent += 1;
                    self.senders[which].order(self.model.sent);
                }
            }
            3 | 4 => {
                self.world.thread.round();
            }
            5 => {
                let answers = self.senders[which].read();
                self.model.answers(&answers);
            }
            6 => self.receive(),
            7 => self.settle(),
            8 => self.fence(),
            _ if self.rng.random_bool(0.3) => self.change_receiver(),
            _ => {}
        }
    }

    fn receive(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            self.model.mail(receiver.read());
        }
    }

    fn settle(&mut self) {
        let count = self.rng.random_range(0..=self.model.held.len());
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        for message in self.model.held.drain(..count) {
            receiver.settle(&message);
            self.model.settling.insert(number(&message["msg_id"]));
        }
    }

    fn fence(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            let settled = std::mem::take(&mut self.model.settling);
            self.model.before_fence.push(settled);
            receiver.say(&hello("store"));
        }
    }

    /// The receiver leaves, or another takes its place.
    fn change_receiver(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            self.model.mail(receiver.read());
        }
        self.model.receiver_lost();
        let comes = self.receiver.is_none() || self.rng.random_bool(0.5);
        let next = comes.then(|| self.world.client("store"));
        if comes {
            // Its first hello is a fence behind nothing.
            self.model.before_fence.push(BTreeSet::new());
        }
        self.receiver = next;
    }

    /// Receives and settles everything.
    fn finish(mut self) {
        self.receiver = Some(self.world.client("store"));
        self.model.before_fence.push(BTreeSet::new());
        for _ in 0..100 {
            self.world.settle_down();
            self.receive();
            if let Some(receiver) = &mut self.receiver {
                for message in self.model.held.drain(..) {
                    receiver.settle(&message);
                    self.model.settling.insert(number(&message["msg_id"]));
                }
            }
        }
        self.fence();
        self.world.settle_down();
        self.receive();
        let lost: Vec<_> = (self.model.acknowledged)
            .difference(&self.model.received_once)
            .collect();
        assert!(
            lost.is_empty(),
            "acknowledged and never delivered: {lost:?}"
        );
        let unsettled = self.world.thread.unsettled();
        assert_eq!(unsettled, 0, "everything was settled");
    }
}

/// Lives through some starts. Returns how often a message came again.
fn run(seed: u64, disk: &SimDisk) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    for _ in 0..rng.random_range(1..5) {
        if rng.random_bool(0.3) {
            let faults = [Fault::Sync, Fault::Write, Fault::SyncFolder];
            let fault = faults[rng.random_range(0..faults.len())];
            disk.fail_after(fault, rng.random_range(0..20));
        }
        match World::open(disk) {
            Ok(world) => {
                let mut life = Life::begin(world, &mut model, &mut rng);
                for _ in 0..life.rng.random_range(0..150) {
                    life.step();
                }
                // The bytes that had left still arrive.
                life.receive();
            }
            Err(OpenError::Storage(_)) => {}
            Err(error) => panic!("{error}"),
        }
        model.receiver_lost();
        disk.heal();
        if rng.random_bool(0.7) {
            disk.crash();
        }
    }
    let world = World::open(disk).expect("a sound disk");
    Life::begin(world, &mut model, &mut rng).finish();
    model.again
}

#[test]
fn acknowledged_implies_delivered() {
    let wanted = std::env::var("TICKWIRE_SEEDS").ok();
    let seeds = wanted.map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    let again: usize = (0..seeds)
        .map(|seed| {
            let outcome = std::panic::catch_unwind(|| run(seed, &SimDisk::new(seed)));
            outcome.unwrap_or_else(|_| panic!("seed {seed}"))
        })
        .sum();
    assert!(
        again > 0,
        "no message was delivered again: nothing was tried"
    );
}

#[test]
fn a_disk_that_ignores_syncs_is_noticed() {
    let mut seeds = 0..SEEDS;
    let loses = |seed| {
        let disk = SimDisk::new(seed);
        disk.ignore_syncs();
        std::panic::catch_unwind(|| run(seed, &disk)).is_err()
    };
    assert!(
        seeds.any(loses),
        "the tests would not see a sync that is left out"
    );
}
