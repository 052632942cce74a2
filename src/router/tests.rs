//! Sessions against each other, without a socket: bytes in, bytes out, and a
//! time that the test decides.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};

use super::{Attention, Halt, Now, Progress, ReadScratch, Router, RouterConfig, Session, Step};

mod acks;
mod budget;
mod delivery;
mod gaps;
mod groups;
mod linger;
mod names;
mod queues;
mod resume;
mod shapes;
mod sim;
mod stream;
mod subscriptions;
mod windows;

/// Tries after which a test fails instead of waiting for ever.
const TRIES_MAX: usize = 100_000;

/// A session with its input in front of it and all that it wrote behind it.
struct TestClient {
    session: Session,
    scratch: ReadScratch,
    input: BytesMut,
    written: Vec<u8>,
    now: Now,
}

impl TestClient {
    fn new(router: &Router) -> Self {
        Self {
            session: router.connect(),
            scratch: ReadScratch::default(),
            input: BytesMut::new(),
            written: Vec::new(),
            now: at_ms(0),
        }
    }

    /// Connects a client that owns `name`.
    fn named(router: &Router, name: &str) -> Self {
        let mut client = Self::claiming(router, name);
        assert_eq!(kinds(&client.read()), ["welcome"]);
        client
    }

    /// Connects a client that has said `hello` as `name`, and read nothing yet.
    fn claiming(router: &Router, name: &str) -> Self {
        let mut client = Self::new(router);
        let _ = client.say(&hello(name, json!({})));
        client
    }

    /// Connects a client that owns nothing and speaks for others.
    fn anonymous(router: &Router) -> Self {
        let mut client = Self::new(router);
        let _ = client.say(&hello("tool", json!({"register": false})));
        assert_eq!(kinds(&client.read()), ["welcome"]);
        client
    }

    fn arrive(&mut self, bytes: &[u8]) -> Step {
        self.input.extend_from_slice(bytes);
        self.session
            .receive(&mut self.scratch, &mut self.input, self.now)
    }

    fn say(&mut self, message: &Value) -> Step {
        self.arrive(&framed(message))
    }

    /// Says all at once, as one read brings them.
    fn say_all(&mut self, messages: &[Value]) -> Step {
        let bytes: Vec<u8> = messages.iter().flat_map(framed).collect();
        self.arrive(&bytes)
    }

    /// Says all at once; messages gathered for subscribers wait for a flush.
    fn gather_all(&mut self, messages: &[Value]) -> Step {
        self.input.extend(messages.iter().flat_map(framed));
        self.session
            .gather(&mut self.scratch, &mut self.input, self.now)
    }

    fn handle_reports(&mut self) -> Attention {
        self.session.handle_reports(self.now)
    }

    /// Everything that is offered until nothing is left.
    fn read_bytes(&mut self) -> Vec<u8> {
        let _ = self.handle_reports();
        let progress = self.write_up_to(usize::MAX);
        assert_eq!(progress, Progress::Idle);
        std::mem::take(&mut self.written)
    }

    fn read(&mut self) -> Vec<Value> {
        let bytes = self.read_bytes();
        messages(&bytes)
    }

    /// Writes to a socket that takes `room` bytes more.
    fn write_up_to(&mut self, mut room: usize) -> Progress {
        let written = &mut self.written;
        let outcome = self.session.transmit(usize::MAX, &mut |slices| {
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let mut taken = 0;
            for slice in slices {
                let part = slice.len().min(room);
                written.extend_from_slice(&slice[..part]);
                room -= part;
                taken += part;
            }
            Ok(taken)
        });
        outcome.expect("this socket does not fail").1
    }
}

fn at_ms(ms: u64) -> Now {
    Now {
        mono: Duration::from_millis(ms),
        unix_ms: 1_767_444_060_000 + ms as i64,
    }
}

fn router() -> Router {
    Router::new(RouterConfig::default())
}

/// A router that gives up queued messages as soon as the owner of the name
/// leaves.
fn without_linger() -> Router {
    Router::new(RouterConfig {
        linger: Duration::ZERO,
        ..RouterConfig::default()
    })
}

/// A UUID that says `number`.
fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn message(kind: &str, number: usize, source: &str, target: Value, payload: Value) -> Value {
    json!({
        "msg_id": id(number),
        "msg_type": kind,
        "timestamp": "2026-01-03T12:41:00.000Z",
        "source": source,
        "target": target,
        "payload": payload,
    })
}

fn hello(source: &str, mut options: Value) -> Value {
    options["protocol"] = 1.into();
    message("hello", 0, source, Value::Null, options)
}

fn order(number: usize, source: &str, target: impl Into<Value>) -> Value {
    let payload = json!({
        "run_id": "run-1",
        "event_type": "order",
        "event_utc": "2026-01-03T12:41:00.000Z",
        "received_utc": "2026-01-03T12:41:00.100Z",
        "payload_json": {"order_id": format!("ord-{number}")},
    });
    message("ingest_event", number, source, target.into(), payload)
}

fn heartbeat(number: usize, source: &str, target: &str) -> Value {
    let payload = json!({"status": "alive", "timestamp": "2026-01-03T12:41:00Z"});
    message("heartbeat", number, source, target.into(), payload)
}

fn ack(number: usize, source: &str, target: &str) -> Value {
    let payload = json!({
        "acknowledged_msg_id": id(1),
        "timestamp": "2026-01-03T12:41:00Z",
    });
    message("ack", number, source, target.into(), payload)
}

fn framed(message: &Value) -> Vec<u8> {
    let body = serde_json::to_vec(message).unwrap();
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&body);
    bytes
}

/// The messages of a stream of whole frames.
fn messages(mut bytes: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (prefix, rest) = bytes.split_first_chunk::<4>().expect("a whole prefix");
        let (body, rest) = rest.split_at(u32::from_be_bytes(*prefix) as usize);
        found.push(serde_json::from_slice(body).expect("valid JSON"));
        bytes = rest;
    }
    found
}

/// The type of each answer, or its code if it is an error.
fn kinds(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| match message["msg_type"].as_str().unwrap() {
            "error" => message["payload"]["code"].as_str().unwrap(),
            other => other,
        })
        .collect()
}

/// The messages' ids.
fn ids(messages: &[Value]) -> Vec<String> {
    let id = |message: &Value| message["msg_id"].as_str().unwrap().to_owned();
    messages.iter().map(id).collect()
}

/// Which messages are acknowledged, in order.
fn acked(messages: &[Value]) -> Vec<String> {
    messages
        .iter()
        .filter(|message| message["msg_type"] == "ack")
        .map(|message| {
            message["payload"]["acknowledged_msg_id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn is_paused(step: &Step) -> bool {
    matches!(step.halt, Some(Halt::Pause(_)))
}
