//! The entries of the books: the messages and answers of each connection, and
//! the messages that each receiver saw.

use std::fmt;

use bytes::Bytes;

/// Which message: of which sender, of which of its connections, which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub sender: u64,
    pub life: u64,
    pub number: u64,
}

/// As a `msg_id`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sender,
            life,
            number,
        } = self;
        write!(f, "{sender:08x}-{life:04x}-4000-8000-{number:012x}")
    }
}

/// Which message a `msg_id` stands for, if it is one of these.
pub fn key_of(msg_id: &str) -> Option<Key> {
    let mut parts = msg_id.split('-');
    let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
    let (sender, life, _, _, number) = (hex()?, hex()?, hex()?, hex()?, hex()?);
    let key = Key {
        sender,
        life,
        number,
    };
    (key.to_string() == msg_id).then_some(key)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Order,
    LogRecord,
    Heartbeat,
    Error,
    Ack,
}

impl Kind {
    /// Whether a message of this kind for a name is dropped at a full queue.
    pub fn may_be_dropped(self) -> bool {
        matches!(self, Self::LogRecord | Self::Heartbeat)
    }
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: the connection broke before.
    Unknown,
    /// An ack, or for an `ack` the answer to a later message.
    Accepted { dropped: u64 },
    /// The code of the error.
    Refused(String),
}

impl Fate {
    /// Whether it was accepted, and is in the queue of its one target.
    pub fn is_queued(&self) -> bool {
        matches!(self, Self::Accepted { dropped: 0 })
    }
}

#[derive(Debug, Clone)]
pub struct Sent {
    pub key: Key,
    /// `None` is everyone.
    pub target: Option<&'static str>,
    pub kind: Kind,
    pub frame: Bytes,
    pub fate: Fate,
}

impl Sent {
    /// Whether its place among the others sent by `way` says when it was sent.
    pub fn has_a_place(&self, way: Way) -> bool {
        way == Way::Once || self.fate != Fate::Unknown
    }

    /// Whether it is in the queue of its target, or may be: an `ack` as the last
    /// before the connection broke is accepted without a word.
    pub fn may_be_queued(&self) -> bool {
        let silent = self.kind == Kind::Ack && self.fate == Fate::Unknown;
        silent || self.fate.is_queued()
    }
}

/// An `UNDELIVERED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub target: String,
    pub count: u64,
    pub first: Key,
}

/// The way of a sender's messages to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By one connection.
    Once,
    /// By several, each message by one of them. The rest of an earlier one may
    /// arrive after messages of a later one, so the order of messages of
    /// unknown fate says nothing.
    Several,
    /// By several, and unanswered messages by more than one: the server is to
    /// recognise those that it had accepted. Those that it had refused, or
    /// given up, without the sender's hearing of it arrive behind later ones.
    Resumed,
}

/// One life of a sender: a connection, or as many as a client of the library
/// makes.
#[derive(Debug)]
pub struct SenderLife {
    pub sender: u64,
    pub life: u64,
    pub way: Way,
    /// Message `number` is at place `number`.
    pub sent: Vec<Sent>,
    pub reports: Vec<Undelivered>,
    /// How many messages were sent again.
    pub resent: usize,
    /// Everything that it sent reached the server, and all that the server said
    /// reached it, up to the end: so each message has its answer.
    pub in_order: bool,
    /// And it stayed until all receivers had ended: so it heard every report.
    pub stayed: bool,
}

#[derive(Debug, Clone)]
pub struct Seen {
    pub key: Key,
    pub frame: Bytes,
}

/// A `MESSAGES_DROPPED`.
#[derive(Debug, Clone)]
pub struct Gap {
    /// How many messages were seen before it.
    pub place: usize,
    /// `None` is broadcasts.
    pub name: Option<String>,
    pub count: u64,
    /// `None` is a message of none of the senders.
    pub first: Option<Key>,
    pub last: Option<Key>,
}

/// One connection of a receiver.
#[derive(Debug, Default)]
pub struct Life {
    pub seen: Vec<Seen>,
    pub gaps: Vec<Gap>,
    /// It saw all that the server wrote, up to the end.
    pub whole: bool,
}

/// The connections that owned some names, one after the other.
#[derive(Debug)]
pub struct Receiver {
    pub names: Vec<&'static str>,
    /// One connection, from before the first message until after the last.
    pub stays: bool,
    pub lives: Vec<Life>,
}
