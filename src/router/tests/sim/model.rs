//! What the router must do, told slowly and plainly: for each message what was
//! promised, and what was seen.
//!
//! The world tells the model of each call that it makes, in the order in which
//! it makes them: what a session took, what it was made to attend to, which
//! bytes it wrote. The model knows what follows from the first two, and holds
//! the third against it.

mod audit;
mod intake;
mod names;
mod queue;
mod stalls;
mod stream;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use self::names::{Claiming, Held, Ownership};
use self::queue::{Item, Queue};
use self::stalls::Stalls;
use super::messages::{Acks, Meaning, Message};
use crate::router::RouterConfig;
use crate::stats::Stats;

/// See the [module](self).
pub(super) struct Model {
    config: RouterConfig,
    records: Vec<Record>,
    by_frame: HashMap<Vec<u8>, usize>,
    by_id: HashMap<String, usize>,
    names: BTreeMap<String, Held>,
    /// Names without an owner for which something is kept, in the order in
    /// which they lost it, and until when.
    lingering: Vec<(String, Option<Duration>)>,
    connections: Vec<Connection>,
    /// Counts the changes of owner of all names.
    grants: u64,
    /// Counts the reads.
    calls: u64,
    done: Stats,
    /// What has come to pass, and how often.
    met: Met,
}

/// What came to pass in a run, and how often: runs that never meet a case say
/// nothing about it.
pub(super) type Met = BTreeMap<&'static str, u64>;

/// The fate of one message.
struct Record {
    message: Message,
    /// The connection that sent it.
    sender: usize,
    /// Where it ends in what that connection sends.
    end: usize,
    fate: Fate,
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
    /// What it is to be told, but has not yet attended to.
    reports: Vec<Report>,
    /// What is to be written as answers, in order.
    expected: VecDeque<Expected>,
    lane: Queue,
    /// It takes part no more: its input has ended.
    ended: bool,
    /// Its session is gone.
    gone: bool,
    /// What of a frame was written.
    partial: Vec<u8>,
    /// Whole frames that were written.
    frames_written: u64,
    /// What came next out of the queue of a name that it lost, of which it may
    /// have written a part; and the number of that frame in its stream.
    begun: Vec<(Item, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Report {
    TakenOver(String),
    Undelivered {
        target: String,
        count: u64,
        /// Unknown where a group had the queue: what its members give back does
        /// not come in order.
        first: Option<usize>,
    },
}

/// An answer that must come next.
#[derive(Debug)]
enum Expected {
    Ack {
        message: usize,
        missed: u32,
        details: bool,
        /// The read in whose batch it is told.
        batch: Option<u64>,
    },
    Error {
        code: &'static str,
        message: Option<usize>,
    },
    Welcome {
        message: usize,
        names: Vec<String>,
    },
    Report(Report),
}

impl Model {
    pub(super) fn new(config: &RouterConfig) -> Self {
        Self {
            config: config.clone(),
            records: Vec::new(),
            by_frame: HashMap::new(),
            by_id: HashMap::new(),
            names: BTreeMap::new(),
            lingering: Vec::new(),
            connections: Vec::new(),
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
        self.by_frame.insert(message.frame.clone(), number);
        self.by_id.insert(message.id.clone(), number);
        self.records.push(Record {
            end,
            message,
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

    /// A message for whoever reads a trace.
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

    pub(super) fn is_hello(&self, number: usize) -> bool {
        matches!(self.records[number].message.meaning, Meaning::Hello(_))
    }

    pub(super) fn done(&self) -> Stats {
        self.done
    }

    pub(super) fn met(self) -> Met {
        self.met
    }
}
