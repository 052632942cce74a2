//! Senders, which never send an order again.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::orders::{Key, source_of};
use super::{SENDERS, STORE, Stage};
use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::{RawClient, Reader, Received, Writer, framed};

/// Orders that may wait for the receiver: the end is not to take for ever.
const BACKLOG_MAX: u64 = 6_000;

/// One sender, in one life of the server.
struct Sender {
    stage: Stage,
    number: usize,
    /// It owns its name, and gets the acks that settle its orders.
    is_registered: bool,
    unanswered: Mutex<VecDeque<Key>>,
    /// The orders that it may send on top of those that are unanswered.
    room: Semaphore,
}

/// Sends until the server is gone.
pub async fn run(stage: Stage, number: usize, mut random: Random) {
    let is_registered = random.below(2) == 0;
    let acks = ["each", "batch"][usize::from(random.below(2) == 0)];
    let hello = Draft::hello(&source_of(number))
        .payload("register", is_registered)
        .payload("acks", acks);
    let Some(peer) = greeted(&stage, &hello).await else {
        return;
    };
    let most = [1, 32, 500][usize::try_from(random.below(3)).expect("small")];
    let sender = Sender {
        stage,
        number,
        is_registered,
        unanswered: Mutex::default(),
        room: Semaphore::new(most),
    };
    let RawClient { reader, writer } = peer;
    tokio::join!(sender.write(writer, most, random), sender.read(reader));
}

/// A connection that was welcomed, unless the server is gone.
pub async fn greeted(stage: &Stage, hello: &Draft) -> Option<RawClient> {
    let mut peer = RawClient::try_connect(stage.server).await?;
    let is_said = peer.writer.try_send_bytes(&framed(&hello.frame())).await;
    if !is_said {
        return None;
    }
    let welcome = peer.reader.receive_or_break().await?;
    let answered = welcome.text("/payload/hello_msg_id");
    assert_eq!(answered, hello.id, "seed {}: {welcome:?}", stage.seed);
    Some(peer)
}

impl Sender {
    async fn write(&self, mut writer: Writer, most: usize, mut random: Random) {
        loop {
            let burst = 1 + u32::try_from(random.below(most as u64)).expect("small");
            let Ok(room) = self.room.acquire_many(burst).await else {
                return;
            };
            room.forget();
            while self.stage.ledger().backlog() > BACKLOG_MAX {
                if self.room.is_closed() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut bytes = Vec::new();
            for _ in 0..burst {
                let key = self.stage.ledger().send(self.number);
                self.unanswered.lock().expect("not poisoned").push_back(key);
                bytes.extend(framed(&key.frame(self.stage.seed)));
            }
            if !writer.try_send_bytes(&bytes).await {
                return;
            }
            if random.below(16) == 0 {
                tokio::time::sleep(Duration::from_millis(random.below(5))).await;
            }
        }
    }

    async fn read(&self, mut reader: Reader) {
        while let Some(received) = reader.receive_or_break().await {
            let is_of_server = received.text("/source") == "tickwire";
            let is_routed = received.text("/source") == STORE && self.is_registered;
            match received.kind() {
                "ack" if is_of_server => self.answered(&received),
                "ack" if is_routed => {}
                _ => panic!("seed {}: sender got {received:?}", self.stage.seed),
            }
        }
        self.room.close();
    }

    /// Takes an ack, which is about the oldest of the unanswered orders.
    fn answered(&self, ack: &Received) {
        let several = ack.json.pointer("/payload/acknowledged_msg_ids");
        let ids: Vec<&str> = match several.and_then(serde_json::Value::as_array) {
            Some(several) => several
                .iter()
                .map(|id| id.as_str().expect("a text"))
                .collect(),
            None => vec![ack.acknowledged()],
        };
        for &id in &ids {
            let oldest = self.unanswered.lock().expect("not poisoned").pop_front();
            let oldest = oldest.unwrap_or_else(|| panic!("nothing was sent: {ack:?}"));
            let seed = self.stage.seed;
            assert_eq!(
                id,
                oldest.msg_id(seed),
                "seed {seed}: the ack of another: {ack:?}"
            );
            self.stage.ledger().acknowledge(oldest);
        }
        let events = |events: &mut super::Events| events.acknowledged += ids.len() as u64;
        self.stage.events.send_modify(events);
        self.room.add_permits(ids.len());
    }
}

/// Sends one more order of each sender, to a server that is not killed.
pub async fn send_last(stage: &Stage) -> Vec<Key> {
    let mut last = Vec::new();
    for number in 0..SENDERS {
        let mut peer = RawClient::speaking_for_others(stage.server).await;
        let key = stage.ledger().send(number);
        peer.send_frame(&key.frame(stage.seed)).await;
        let ack = peer.receive().await;
        ack.assert_acknowledges(&key.msg_id(stage.seed));
        stage.ledger().acknowledge(key);
        last.push(key);
    }
    last
}
