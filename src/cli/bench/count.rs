//! Counting what arrives, and noticing what doesn't.
//!
//! Order is kept from a connection to a name, and answers leave in the order of
//! the messages. So both counters know what must come next, and compare one
//! length and eight bytes to see that it did; only what differs is parsed.

use std::collections::BTreeMap;

use tickwire::ids::MsgId;
use tickwire::wire::ErrorCode;

use super::load::{Load, Mark, TAG_BYTES};
use crate::cli::answer::ServerMessage;

/// Counts frames as they come.
pub trait Count {
    /// Takes a frame.
    fn take(&mut self, frame: &[u8]);
    /// Messages whose fate this connection has seen.
    fn settled(&self) -> u64;
}

/// Counts messages at the receiver.
#[derive(Debug)]
pub struct Deliveries<'a> {
    marks: &'a [Mark],
    server: &'a str,
    /// The message of the round that comes next.
    next: usize,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were passed over.
    pub missing: u64,
    /// Frames that nobody sent here.
    pub foreign: u64,
    /// What the server said.
    pub notices: Vec<String>,
}

impl Count for Deliveries<'_> {
    #[inline]
    fn take(&mut self, frame: &[u8]) {
        if Mark::of(frame) == self.marks[self.next] {
            self.delivered += 1;
            self.advance(1);
        } else {
            self.take_unexpected(frame);
        }
    }

    fn settled(&self) -> u64 {
        self.delivered + self.missing
    }
}

impl<'a> Deliveries<'a> {
    /// Nothing has arrived of `load`.
    pub fn new(load: &'a Load, server: &'a str) -> Self {
        Self {
            marks: &load.marks,
            server,
            next: 0,
            delivered: 0,
            missing: 0,
            foreign: 0,
            notices: Vec::new(),
        }
    }

    #[cold]
    fn take_unexpected(&mut self, frame: &[u8]) {
        if let Some(message) = ServerMessage::of(self.server, frame) {
            self.notices.push(notice(&message));
            return;
        }
        let mark = Mark::of(frame);
        match distance(self.marks, self.next, |candidate| *candidate == mark) {
            Some(gap) => {
                self.missing += gap as u64;
                self.delivered += 1;
                self.advance(gap + 1);
            }
            None => self.foreign += 1,
        }
    }

    fn advance(&mut self, by: usize) {
        self.next = (self.next + by) % self.marks.len();
    }
}

/// Counts answers at the sender.
#[derive(Debug)]
pub struct Answers<'a> {
    marks: &'a [Mark],
    server: &'a str,
    next: usize,
    /// The length of the last ack, and where in it the acknowledged id stands.
    shape: Option<(usize, usize)>,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Messages that the answers passed over.
    pub unanswered: u64,
    /// What the server said beside.
    pub notices: Vec<String>,
}

impl Count for Answers<'_> {
    #[inline]
    fn take(&mut self, frame: &[u8]) {
        if let Some((len, at)) = self.shape
            && frame.len() == len
            && frame[at..at + TAG_BYTES] == self.marks[self.next].tag
        {
            self.acknowledged += 1;
            self.advance(1);
        } else {
            self.take_other(frame);
        }
    }

    fn settled(&self) -> u64 {
        self.acknowledged + self.refused_in_all() + self.unanswered
    }
}

impl<'a> Answers<'a> {
    /// Nothing of `load` is answered.
    pub fn new(load: &'a Load, server: &'a str) -> Self {
        Self {
            marks: &load.marks,
            server,
            next: 0,
            shape: None,
            acknowledged: 0,
            refused: BTreeMap::new(),
            unanswered: 0,
            notices: Vec::new(),
        }
    }

    /// Messages refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    #[cold]
    fn take_other(&mut self, frame: &[u8]) {
        let Some(message) = ServerMessage::of(self.server, frame) else {
            self.notices.push("a message that is no answer".to_owned());
            return;
        };
        let body = &message.payload;
        let code = body.code.as_deref();
        let about = match code {
            // A report about messages that were acknowledged before.
            Some(code) if ErrorCode::from_text(code) == Some(ErrorCode::Undelivered) => None,
            Some(_) => body.details.msg_id.as_deref(),
            None => body.covered().next(),
        };
        let tag = about.and_then(|id| id.as_bytes().first_chunk::<TAG_BYTES>());
        let gap = tag.and_then(|tag| distance(self.marks, self.next, |mark| mark.tag == *tag));
        let Some(gap) = gap else {
            self.notices.push(notice(&message));
            return;
        };
        self.unanswered += gap as u64;
        match code {
            Some(code) => *self.refused.entry(code.to_owned()).or_default() += 1,
            None => {
                self.acknowledged += 1;
                self.shape = shape_of(frame);
            }
        }
        self.advance(gap + 1);
    }

    fn advance(&mut self, by: usize) {
        self.next = (self.next + by) % self.marks.len();
    }
}

/// Where in an ack the id stands. An ack with other fields (`dropped`) has
/// another length, and is parsed.
fn shape_of(frame: &[u8]) -> Option<(usize, usize)> {
    const KEY: &[u8] = b"\"acknowledged_msg_id\":\"";
    let at = memchr::memmem::find(frame, KEY)? + KEY.len();
    (at + MsgId::LEN <= frame.len()).then_some((frame.len(), at))
}

/// How far behind `next` the first mark is that fits, around the end.
fn distance(marks: &[Mark], next: usize, fits: impl Fn(&Mark) -> bool) -> Option<usize> {
    let (before, behind) = marks.split_at(next);
    behind.iter().chain(before).position(fits)
}

fn notice(message: &ServerMessage) -> String {
    let body = &message.payload;
    let (code, text) = (body.code.as_deref(), body.message.as_deref());
    match code {
        Some(code) => format!("{code}: {}", text.unwrap_or_default()),
        None => format!("an unexpected {}", message.msg_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        Load::orders("s", "r", "2026-01-03T12:41:00.000Z")
    }

    fn frame(load: &Load, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| load.ends[before]);
        &load.bytes[start + 4..load.ends[index]]
    }

    fn id(load: &Load, index: usize) -> String {
        let value: serde_json::Value = serde_json::from_slice(frame(load, index)).unwrap();
        value["msg_id"].as_str().unwrap().to_owned()
    }

    fn ack(load: &Load, index: usize) -> Vec<u8> {
        serde_json::json!({
            "msg_type": "ack", "source": "tickwire",
            "payload": {"acknowledged_msg_id": id(load, index)},
        })
        .to_string()
        .into_bytes()
    }

    fn error(code: &str, msg_id: Option<String>) -> Vec<u8> {
        serde_json::json!({
            "msg_type": "error", "source": "tickwire",
            "payload": {"code": code, "message": "m", "details": {"msg_id": msg_id}},
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn counts_deliveries_and_gaps() {
        let load = load();
        let mut deliveries = Deliveries::new(&load, "tickwire");
        for index in [0, 1, 4, 5] {
            deliveries.take(frame(&load, index));
        }
        assert_eq!((deliveries.delivered, deliveries.missing), (4, 2));
        deliveries.take(b"{\"msg_id\":\"stranger\"}");
        deliveries.take(&error("MESSAGES_DROPPED", None));
        deliveries.take(frame(&load, 6));
        assert_eq!((deliveries.delivered, deliveries.missing), (5, 2));
        assert_eq!(deliveries.foreign, 1);
        assert_eq!(deliveries.notices, ["MESSAGES_DROPPED: m"]);
    }

    #[test]
    fn goes_round() {
        let load = load();
        let mut deliveries = Deliveries::new(&load, "tickwire");
        for index in (0..load.ends.len()).chain([0, 1]) {
            deliveries.take(frame(&load, index));
        }
        assert_eq!(deliveries.delivered, load.ends.len() as u64 + 2);
        assert_eq!(deliveries.missing, 0);
    }

    #[test]
    fn counts_acks_refusals_and_what_is_never_answered() {
        let load = load();
        let mut answers = Answers::new(&load, "tickwire");
        answers.take(&ack(&load, 0));
        assert!(answers.shape.is_some());
        answers.take(&ack(&load, 1));
        answers.take(&error("QUEUE_FULL", Some(id(&load, 2))));
        answers.take(&ack(&load, 5));
        answers.take(&error("SERVER_SHUTTING_DOWN", None));
        assert_eq!(answers.acknowledged, 3);
        assert_eq!(answers.refused["QUEUE_FULL"], 1);
        assert_eq!(answers.unanswered, 2);
        assert_eq!(answers.settled(), 6);
        assert_eq!(answers.notices, ["SERVER_SHUTTING_DOWN: m"]);
    }
}
