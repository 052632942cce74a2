//! Sessions, the store and a simulated disk, without threads and sockets.

mod crashes;

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use serde_json::{Value, json};

use super::JournalStore;
use super::inbox::Inbox;
use super::writer::StoreThread;
use crate::budget::Budget;
use crate::config::{NameConfig, RouterConfig};
use crate::ids::Name;
use crate::journal::testing::{Fault, SimDisk};
use crate::journal::{OpenError, Options, open};
use crate::router::store::MessageStore;
use crate::router::{Now, ReadScratch, Router, Session};

/// Added to the number of a message: the number of the ack that settles it.
const SETTLING: usize = 1_000_000;

/// A router with two durable names, and its store.
struct World {
    router: Router,
    thread: StoreThread<SimDisk>,
}

impl World {
    fn open(disk: &SimDisk) -> Result<Self, OpenError> {
        Self::open_within(disk, u64::MAX)
    }

    /// Opens a journal that may have so many bytes.
    fn open_within(disk: &SimDisk, bytes_max: u64) -> Result<Self, OpenError> {
        let options = Options {
            segment_bytes: 8 * 1024,
            ..Options::default()
        };
        let (writer, _) = open(disk.clone(), &options, 7, super::now())?;
        let (budget, inbox) = (Arc::new(Budget::default()), Arc::new(Inbox::default()));
        let read = disk.clone();
        let reading = Box::new(move || Ok(read.clone()));
        let thread = StoreThread::new(
            writer,
            bytes_max,
            reading,
            Arc::clone(&budget),
            Arc::clone(&inbox),
        );
        let store: Arc<dyn MessageStore> = Arc::new(JournalStore {
            inbox,
            thread: Mutex::new(None),
        });
        let mut config = RouterConfig::default();
        let durable = NameConfig {
            durable: true,
            ..NameConfig::default()
        };
        for name in ["store", "store-2"] {
            config
                .names
                .insert(Name::new(name).expect("a name"), durable);
        }
        Ok(Self {
            router: Router::with_store(config, budget, Some(store)),
            thread,
        })
    }

    /// Does everything that waits.
    fn settle_down(&mut self) {
        for _ in 0..4 {
            self.thread.round();
        }
    }

    /// Sends orders to `store`, each answered before the next.
    fn send_each(&mut self, sender: &mut Client, numbers: Range<usize>) -> Vec<String> {
        let mut answers = Vec::new();
        for number in numbers {
            sender.order(number);
            self.settle_down();
            answers.extend(kinds(&sender.read()));
        }
        answers
    }

    fn client(&self, name: &str) -> Client {
        let mut client = self.connect(name);
        client.say(&hello(name));
        client
    }

    /// A client that has said nothing yet.
    fn connect(&self, name: &str) -> Client {
        Client {
            session: self.router.connect(),
            scratch: ReadScratch::default(),
            input: BytesMut::new(),
            name: name.to_owned(),
        }
    }
}

/// A connection without a socket.
struct Client {
    session: Session,
    scratch: ReadScratch,
    input: BytesMut,
    name: String,
}

impl Client {
    fn say(&mut self, message: &Value) {
        let json = message.to_string();
        self.input
            .extend_from_slice(&(json.len() as u32).to_be_bytes());
        self.input.extend_from_slice(json.as_bytes());
        self.go_on();
    }

    /// Hands in the input that is not taken.
    fn go_on(&mut self) {
        let (scratch, input) = (&mut self.scratch, &mut self.input);
        let _ = self.session.receive(scratch, input, Now::default());
    }

    /// All messages and answers that have come.
    fn read(&mut self) -> Vec<Value> {
        let _ = self.session.handle_reports(Now::default());
        self.go_on();
        let mut bytes = Vec::new();
        let written = self.session.transmit(usize::MAX, &mut |slices| {
            slices
                .iter()
                .for_each(|slice| bytes.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        written.expect("this socket never fails");
        let frames = crate::wire::frames(&bytes);
        frames
            .map(|frame| serde_json::from_slice(&bytes[frame.start + 4..frame.end]).expect("JSON"))
            .collect()
    }

    fn order(&mut self, number: usize) {
        let order = message("ingest_event", number, &self.name, "store".into());
        self.say(&order);
    }

    /// Settles a message that was received as the owner of `store`.
    fn settle(&mut self, received: &Value) {
        let source = received["source"].clone();
        let ack_id = SETTLING + number(&received["msg_id"]);
        let mut ack = message("ack", ack_id, "store", source);
        ack["payload"] = json!({
            "acknowledged_msg_id": received["msg_id"], "timestamp": "2026-01-03T12:41:00Z",
        });
        self.say(&ack);
    }
}

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// The number that [`id`] has made an id of.
fn number(id: &Value) -> usize {
    let digits = id.as_str().and_then(|id| id.get(24..));
    usize::from_str_radix(digits.expect("an id"), 16).expect("a number")
}

fn message(kind: &str, number: usize, source: &str, target: Value) -> Value {
    json!({
        "msg_id": id(number), "msg_type": kind, "timestamp": "2026-01-03T12:41:00Z",
        "source": source, "target": target,
        "payload": {
            "run_id": "run-1", "event_type": "order", "event_utc": "2026-01-03T12:41:00Z",
            "received_utc": "2026-01-03T12:41:00Z", "payload_json": {"number": number},
        },
    })
}

fn hello(name: &str) -> Value {
    let mut hello = message("hello", 0, name, Value::Null);
    hello["payload"] = json!({"protocol": 1});
    hello
}

/// The types of messages, or the codes of errors with their fates.
fn kinds(messages: &[Value]) -> Vec<String> {
    let kind = |message: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match text(&message["msg_type"]).as_str() {
            "error" => {
                let payload = &message["payload"];
                let fate = text(&payload["details"]["fate"]);
                format!("{} {fate}", text(&payload["code"]))
                    .trim()
                    .to_owned()
            }
            other => other.to_owned(),
        }
    };
    messages.iter().map(kind).collect()
}

#[test]
fn nothing_is_answered_or_delivered_before_it_is_on_disk() {
    let mut world = World::open(&SimDisk::new(1)).expect("an empty disk");
    let mut receiver = world.client("store");
    let mut sender = world.client("sender");
    world.settle_down();
    assert_eq!(kinds(&receiver.read()), ["welcome"]);
    sender.order(1);
    sender.say(&hello("sender"));
    assert_eq!(
        kinds(&sender.read()),
        ["welcome"],
        "that of its first hello"
    );
    assert!(receiver.read().is_empty());
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["ack", "welcome"]);
    assert_eq!(kinds(&receiver.read()), ["ingest_event"]);
}

#[test]
fn a_failed_sync_leaves_the_fate_unknown_and_refuses_all_later_messages() {
    let disk = SimDisk::new(1);
    let mut world = World::open(&disk).expect("an empty disk");
    let mut sender = world.client("sender");
    sender.order(1);
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["welcome", "ack"]);
    disk.fail_after(Fault::Sync, 0);
    sender.order(2);
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["STORAGE_UNAVAILABLE unknown"]);
    // The disk works again, but nobody knows which bytes it has.
    sender.order(3);
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["STORAGE_UNAVAILABLE not_stored"]);
    // Everything else goes on, and so does the delivery of what is on disk.
    let other = message("ingest_event", 4, "sender", "nobody".into());
    sender.say(&other);
    assert_eq!(kinds(&sender.read()), ["TARGET_UNAVAILABLE"]);
    let mut receiver = world.client("store");
    world.settle_down();
    let received = receiver.read();
    assert_eq!(kinds(&received), ["welcome", "ingest_event"]);
    assert_eq!(number(&received[1]["msg_id"]), 1);
}

#[test]
fn a_full_disk_refuses_messages_until_there_is_room() {
    let disk = SimDisk::new(1);
    let mut world = World::open(&disk).expect("an empty disk");
    let mut sender = world.client("sender");
    disk.set_capacity(Some(8 * 1024));
    let answers = world.send_each(&mut sender, 1..100);
    assert_eq!(
        answers.last().expect("answers"),
        "STORAGE_UNAVAILABLE not_stored"
    );
    disk.set_capacity(None);
    world.thread.try_again();
    sender.order(100);
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["ack"]);
    // Exactly those that were acknowledged are delivered.
    let acked = answers.iter().filter(|kind| *kind == "ack").count() + 1;
    let mut receiver = world.client("store");
    world.settle_down();
    assert_eq!(receiver.read().len(), 1 + acked);
}

#[test]
fn a_name_that_fills_its_part_of_the_journal_is_refused_alone() {
    let bytes_max = 80 * 1024;
    let mut world = World::open_within(&SimDisk::new(1), bytes_max).expect("an empty disk");
    let mut sender = world.client("sender");
    let answers = world.send_each(&mut sender, 1..40);
    assert_eq!(
        answers.last().expect("answers"),
        "STORAGE_UNAVAILABLE not_stored"
    );
    sender.say(&message("ingest_event", 50, "sender", "store-2".into()));
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["ack"]);
    // Room comes as its owner settles.
    let mut receiver = world.client("store");
    world.settle_down();
    for received in &receiver.read()[1..] {
        receiver.settle(received);
    }
    world.settle_down();
    // The acks that were routed to it.
    sender.read();
    sender.order(60);
    world.settle_down();
    assert_eq!(kinds(&sender.read()), ["ack"]);
}

#[test]
fn a_settlement_for_which_there_was_no_room_can_be_tried_again() {
    let disk = SimDisk::new(1);
    let mut world = World::open(&disk).expect("an empty disk");
    let mut sender = world.client("sender");
    for number in 1..100 {
        sender.order(number);
    }
    world.settle_down();
    let mut receiver = world.client("store");
    world.settle_down();
    let received = receiver.read().split_off(1);
    assert_eq!(received.len(), 99);
    let used = disk.contents().values().map(|file| file.len() as u64).sum();
    disk.set_capacity(Some(used));
    let mut refused = None;
    for message in &received {
        receiver.settle(message);
        world.settle_down();
        if kinds(&receiver.read()) == ["STORAGE_UNAVAILABLE not_stored"] {
            refused = Some(message);
            break;
        }
    }
    let refused = refused.expect("the file was full at some time");
    disk.set_capacity(None);
    world.thread.try_again();
    receiver.settle(refused);
    world.settle_down();
    assert!(receiver.read().is_empty(), "it is settled");
    let mut next = world.client("store");
    world.settle_down();
    let again = next.read();
    assert!(
        again
            .iter()
            .all(|message| message["msg_id"] != refused["msg_id"])
    );
}

#[test]
fn answers_of_the_store_may_come_in_the_middle_of_a_request_of_another_source() {
    let mut world = World::open(&SimDisk::new(1)).expect("an empty disk");
    let mut gateway = world.client("gateway");
    for number in 1..20 {
        let source = format!("source-{number}");
        gateway.say(&message("ingest_event", number, &source, "store".into()));
    }
    world.settle_down();
    let mut subscribe = message("subscribe", 50, "another", Value::Null);
    subscribe["payload"] = json!({"id": "all"});
    gateway.say(&subscribe);
    let answers = kinds(&gateway.read());
    assert_eq!(answers.iter().filter(|kind| *kind == "ack").count(), 20);
}

#[test]
fn a_message_that_could_not_be_stored_is_new_when_it_is_sent_again() {
    let disk = SimDisk::new(1);
    let mut world = World::open(&disk).expect("an empty disk");
    let resumable = |resume: bool| {
        let mut hello = hello("sender");
        hello["payload"] = json!({"protocol": 1, "resumable": true, "resume": resume});
        hello
    };
    let mut sender = world.connect("sender");
    sender.say(&resumable(false));
    sender.order(1);
    disk.set_capacity(Some(8 * 1024));
    let mut last = 1;
    loop {
        world.settle_down();
        if kinds(&sender.read()).contains(&"STORAGE_UNAVAILABLE not_stored".to_owned()) {
            break;
        }
        last += 1;
        sender.order(last);
    }
    disk.set_capacity(None);
    world.thread.try_again();
    // It comes back before its last two messages are dealt with.
    sender.order(last + 1);
    let mut again = world.connect("sender");
    again.say(&resumable(true));
    again.read();
    again.order(1);
    again.order(last);
    again.order(last + 1);
    assert!(
        again.read().is_empty(),
        "known, and not known to be on disk"
    );
    world.settle_down();
    assert_eq!(kinds(&again.read()), ["ack", "ack", "ack"]);
    let mut receiver = world.client("store");
    world.settle_down();
    let received = receiver.read();
    let mut numbers: Vec<usize> = received[1..]
        .iter()
        .map(|order| number(&order["msg_id"]))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=last + 1).collect::<Vec<_>>(), "each once");
}
