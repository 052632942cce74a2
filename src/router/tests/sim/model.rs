//! The duties of the router, told slowly and plainly: for each message the
//! promises, and the facts.
//!
//! The world tells the model of each call that it makes, in the order of the
//! calls: the messages that a session took, the reports that it attended to,
//! the bytes that it wrote. The model knows what follows from the first two,
//! and holds the third against it.

mod accepted_ids;
mod audit;
mod intake;
mod latest;
mod names;
mod queue;
mod reports;
mod stalls;
mod stream;
mod subscriptions;
mod windows;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use self::accepted_ids::AcceptedIds;
use self::latest::Latest;
use self::names::{Claiming, Held, Ownership};
use self::queue::{Item, Queue};
use self::stalls::Stalls;
use self::subscriptions::Subscriptions;
use self::windows::Window;
use super::messages::{Acks, Meaning, Message};
use crate::router::RouterConfig;
use crate::stats::Stats;
use crate::wire::Kind;

/// See the [module](self).
pub(super) struct Model {
    config: RouterConfig,
    records: Vec<Record>,
    by_frame: HashMap<Vec<u8>, usize, FixedState>,
    by_id: HashMap<String, usize, FixedState>,
    names: BTreeMap<String, Held>,
    /// Names without an owner for which something is kept, in the order in
    /// which they lost it, and until when.
    lingering: Vec<(String, Option<Duration>)>,
    connections: Vec<Connection>,
    accepted_ids: Vec<AcceptedIds>,
    /// Counts the changes of owner of all names.
    grants: u64,
    /// Counts the reads.
    calls: u64,
    done: Stats,
    /// The cases that a run has met, and how often.
    met: Met,
}

/// The cases that a run met, and how often: runs that never meet a case say
/// nothing about it.
pub(super) type Met = BTreeMap<&'static str, u64>;

/// The fate of one message, or of one copy of it if it was sent again.
struct Record {
    message: Message,
    /// The first copy.
    original: usize,
    /// The connection that sent it.
    sender: usize,
    /// The end of the message in the stream of that connection.
    end: usize,
    fate: Fate,
    /// Where it is remembered as accepted.
    remembered: Option<accepted_ids::Place>,
    /// Answers that name it.
    answered: u32,
    /// Copies that were promised: one for each receiver that didn't miss it.
    due: u32,
    /// Of these: copies that were written whole,
    delivered: u32,
    /// copies that were given up, and reported,
    given_up: u32,
    /// and broadcasts that ended with their receiver.
    died: u32,
    /// Copies that were also finished on a connection that had begun them.
    repeated: u32,
    /// Reports to its named receiver that it was dropped.
    missed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The router hasn't taken it yet.
    Unknown,
    Accepted,
    /// It was accepted before.
    Known,
    Refused,
}

/// One connection, as far as promises go.
#[derive(Debug, Default)]
struct Connection {
    /// Names and their grants; some may have been taken over since.
    claims: Vec<(String, u64)>,
    sent_bytes: usize,
    claiming: Claiming,
    acks: Option<Acks>,
    details: bool,
    /// Whether it shares its names, and by which pointer.
    ownership: Ownership,
    invalid_in_a_row: u32,
    stalls: Stalls,
    /// Reports that it has not attended to yet.
    reports: Vec<Report>,
    /// Answers that it must get, in order.
    expected: VecDeque<Expected>,
    broadcasts: Queue,
    /// How much it may be handed, if that is limited.
    window: Option<Window>,
    subscriptions: Subscriptions,
    /// Broadcasts for its conflated queue.
    latest: Latest,
    /// The accepted ids of the connection, if it is resumable.
    accepted: Option<usize>,
    /// Its last accepted ids.
    given_accepted: Option<usize>,
    /// It takes part no more: its input has ended.
    ended: bool,
    /// Its session is gone.
    gone: bool,
    /// The written part of a frame.
    partial: Vec<u8>,
    /// Messages that were answered, and the end of each answer in the written
    /// stream.
    answers: Vec<(usize, usize)>,
    bytes_written: usize,
    /// Whole frames that were written.
    frames_written: u64,
    /// The next item of the queue of a lost name: a part of it may be written.
    /// With it, its number among the frames of the stream.
    begun: Vec<(Item, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Report {
    TakenOver(String),
    Undelivered {
        target: String,
        count: u64,
        /// Unknown where a group had the queue, because its members give
        /// messages back out of order; and where several connections sent the
        /// messages, because one hears of all.
        first: Option<usize>,
    },
}

/// An answer that must come next.
#[derive(Debug)]
enum Expected {
    Ack {
        message: usize,
        missed: u32,
        /// How many more may have missed it.
        unsure: u32,
        details: bool,
        /// The read that the batch belongs to.
        batch: Option<u64>,
    },
    Error {
        code: &'static str,
        message: Option<usize>,
    },
    Welcome {
        message: usize,
        names: Vec<String>,
        resumable: bool,
        resume: bool,
        window: Option<u32>,
    },
    Report(Report),
}

impl Model {
    pub(super) fn new(config: &RouterConfig) -> Self {
        Self {
            config: config.clone(),
            records: Vec::new(),
            by_frame: HashMap::default(),
            by_id: HashMap::default(),
            names: BTreeMap::new(),
            lingering: Vec::new(),
            connections: Vec::new(),
            accepted_ids: Vec::new(),
            grants: 0,
            calls: 0,
            done: Stats::default(),
            met: Met::new(),
        }
    }

    /// Notes that something worth testing has come to pass.
    pub(super) fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// A connection was opened; they are counted from 0.
    pub(super) fn connect(&mut self) -> usize {
        self.connections.push(Connection::default());
        self.done.connections += 1;
        self.connections.len() - 1
    }

    /// `connection` will send `message`. Says its number.
    pub(super) fn sends(&mut self, connection: usize, message: Message) -> usize {
        let number = self.records.len();
        let sent = &mut self.connections[connection].sent_bytes;
        *sent += message.frame.len();
        let end = *sent;
        let known = self.by_frame.entry(message.frame.clone());
        let original = *known.or_insert(number);
        self.by_id.insert(message.id.clone(), original);
        self.records.push(Record {
            end,
            message,
            original,
            remembered: None,
            sender: connection,
            fate: Fate::Unknown,
            answered: 0,
            due: 0,
            delivered: 0,
            given_up: 0,
            died: 0,
            repeated: 0,
            missed: 0,
        });
        number
    }

    /// A message, described for a trace.
    pub(super) fn describe(&self, number: usize) -> String {
        let Message {
            kind,
            source,
            target,
            frame,
            meaning,
            ..
        } = &self.records[number].message;
        let (kind, bytes) = (kind.as_str(), frame.len());
        let what = match meaning {
            Meaning::Route => format!("-> {target:?}"),
            other => format!("{other:?}"),
        };
        format!("#{number} {kind} of {source:?} {what}, {bytes} bytes")
    }

    /// The messages of `connection` that its client may send again on another,
    /// once it has read so many bytes.
    pub(super) fn unanswered(
        &self,
        connection: usize,
        messages: impl Iterator<Item = usize>,
        read_bytes: usize,
    ) -> Vec<Message> {
        let answers = self.connections[connection].answers.iter();
        let read = answers.take_while(|(_, end)| *end <= read_bytes);
        let answered: Vec<usize> = read.map(|(number, _)| *number).collect();
        let unanswered = messages.filter(|number| !answered.contains(number));
        let messages = unanswered.map(|number| &self.records[number].message);
        let is_answered = |message: &&Message| {
            let is_routed = matches!(message.meaning, Meaning::Route);
            is_routed && message.kind != Kind::Ack
        };
        messages.filter(is_answered).cloned().collect()
    }

    pub(super) fn is_hello(&self, number: usize) -> bool {
        matches!(self.records[number].message.meaning, Meaning::Hello(_))
    }

    /// Whether a message is about its connection.
    pub(super) fn is_control(&self, number: usize) -> bool {
        use super::messages::Meaning::{Hello, Subscribe, Unsubscribe};
        let meaning = &self.records[number].message.meaning;
        matches!(meaning, Hello(_) | Subscribe(_) | Unsubscribe(_))
    }

    /// Bytes of the fullest queue of broadcasts, as far as known.
    pub(super) fn fullest_queue_bytes(&self) -> usize {
        let connections = self.connections.iter();
        connections
            .map(|connection| connection.broadcasts.bytes())
            .max()
            .unwrap_or(0)
    }

    pub(super) fn done(&self) -> Stats {
        self.done
    }

    pub(super) fn met(self) -> Met {
        self.met
    }
}
