//! The receiver, which settles what it gets sooner or later.

use std::collections::{HashSet, VecDeque};

use super::ledger::Passed;
use super::orders::Key;
use super::sender::greeted;
use super::{STORE, Stage};
use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::{RawClient, Received, framed};

/// Orders that it leaves unsettled at most: with 1,024 it would get no more.
const HELD_MAX: usize = 700;
/// Acks that it writes without reading in between.
const ACKS_MAX: u64 = 64;

/// One connection of the receiver.
struct Connection {
    stage: Stage,
    peer: RawClient,
    passed: Passed,
    /// The orders that it has to settle, in their order.
    held: VecDeque<Key>,
    /// Those that were left out.
    left: Vec<Key>,
    /// Settled since the last fence.
    settled: Vec<Key>,
    /// The fences that are not answered, each with the orders settled before it.
    fences: VecDeque<(String, Vec<Key>)>,
}

/// The end of a connection.
enum End {
    ServerIsGone,
    /// It leaves, and comes back.
    Left,
}

/// Receives until the server is gone.
pub async fn run(stage: Stage, mut random: Random) {
    // It is there from the beginning, or when something waits for it.
    tokio::time::sleep(std::time::Duration::from_millis(random.below(40))).await;
    let mut former = None;
    loop {
        let Some(mut connection) = Connection::open(&stage).await else {
            return;
        };
        // It has lost its name by now.
        drop(former.take());
        match connection.serve(&mut random).await {
            End::ServerIsGone => return,
            End::Left => former = connection.leave(&mut random).await,
        }
    }
}

impl Connection {
    async fn open(stage: &Stage) -> Option<Self> {
        let hello = Draft::hello(STORE).payload("names", [STORE].as_slice());
        let peer = greeted(stage, &hello).await?;
        Some(Self {
            stage: stage.clone(),
            peer,
            passed: Passed::default(),
            held: VecDeque::new(),
            left: Vec::new(),
            settled: Vec::new(),
            fences: VecDeque::new(),
        })
    }

    async fn serve(&mut self, random: &mut Random) -> End {
        // Some settle at once, some late.
        let rarely = [1, 40, 400][usize::try_from(random.below(3)).expect("small")];
        while let Some(received) = self.peer.reader.receive_or_break().await {
            self.take(&received);
            let must = self.held.len() + self.left.len() > HELD_MAX;
            let settles = must || random.below(rarely) == 0;
            if settles && !self.settle_some(must, random).await {
                break;
            }
            if random.below(50) == 0 && !self.fence().await {
                break;
            }
            if random.below(1500) == 0 {
                return End::Left;
            }
        }
        // The kernel may have more of it than was read when a write failed.
        self.take_what_comes().await;
        End::ServerIsGone
    }

    async fn take_what_comes(&mut self) {
        while let Some(received) = self.peer.reader.receive_or_break().await {
            self.take(&received);
        }
    }

    fn take(&mut self, received: &Received) {
        let seed = self.stage.seed;
        match received.kind() {
            "ingest_event" => {
                let key = Key::of(received, seed);
                self.stage.ledger().receive(key, &mut self.passed);
                self.held.push_back(key);
                let events = |events: &mut super::Events| events.received += 1;
                self.stage.events.send_modify(events);
            }
            "welcome" => {
                let (id, settled) = self.fences.pop_front().expect("a fence was sent");
                let answered = received.text("/payload/hello_msg_id");
                assert_eq!(answered, id, "seed {seed}: {received:?}");
                let mut ledger = self.stage.ledger();
                settled.into_iter().for_each(|key| ledger.fence(key));
            }
            _ => panic!("seed {seed}: receiver got {received:?}"),
        }
    }

    /// Settles the first of those that it holds, but for a few. Returns whether the
    /// server takes it.
    async fn settle_some(&mut self, all_that_are_left: bool, random: &mut Random) -> bool {
        let mut settling = Vec::new();
        if all_that_are_left || random.below(20) == 0 {
            settling.append(&mut self.left);
        }
        let most = usize::try_from(1 + random.below(ACKS_MAX)).expect("small");
        for key in self.held.drain(..most.min(self.held.len())) {
            match random.below(16) {
                0 => self.left.push(key),
                _ => settling.push(key),
            }
        }
        self.settle(&settling).await
    }

    async fn settle(&mut self, orders: &[Key]) -> bool {
        let mut bytes = Vec::new();
        for &key in orders {
            self.stage.ledger().settle(key);
            let ack = Draft::ack(STORE, key.source());
            let ack = ack.payload("acknowledged_msg_id", key.msg_id(self.stage.seed));
            bytes.extend(framed(&ack.frame()));
        }
        self.settled.extend(orders);
        self.peer.writer.try_send_bytes(&bytes).await
    }

    async fn fence(&mut self) -> bool {
        let hello = Draft::hello("fence");
        let settled = std::mem::take(&mut self.settled);
        self.fences.push_back((hello.id.clone(), settled));
        self.peer
            .writer
            .try_send_bytes(&framed(&hello.frame()))
            .await
    }

    /// Leaves in order, breaks off, or stays until another connection has its name.
    async fn leave(mut self, random: &mut Random) -> Option<RawClient> {
        match random.below(3) {
            0 => {
                self.peer.writer.end().await;
                self.take_what_comes().await;
                None
            }
            1 => {
                self.peer.reset();
                None
            }
            _ => Some(self.peer),
        }
    }
}

/// Receives and settles, without a kill, until the last orders have come and with them
/// all that are due.
pub async fn drain(stage: &Stage, last: &[Key]) {
    let mut connection = Connection::open(stage).await.expect("the server runs");
    let mut awaited: HashSet<Key> = last.iter().copied().collect();
    while !awaited.is_empty() || !connection.fences.is_empty() {
        let received = connection.peer.receive().await;
        connection.take(&received);
        let held: Vec<Key> = connection.held.drain(..).collect();
        for key in &held {
            awaited.remove(key);
        }
        assert!(connection.settle(&held).await, "the server takes it");
        if awaited.is_empty() && !connection.settled.is_empty() {
            assert!(connection.fence().await, "the server takes it");
        }
    }
}

/// Fails if the server has anything left to deliver.
pub async fn expect_nothing(stage: &Stage) {
    let mut connection = Connection::open(stage).await.expect("the server runs");
    assert!(connection.fence().await, "the server takes it");
    let received = connection.peer.receive().await;
    assert_eq!(
        received.kind(),
        "welcome",
        "seed {}: {received:?}",
        stage.seed
    );
    connection.take(&received);
}
