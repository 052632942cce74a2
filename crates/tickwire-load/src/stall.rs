//! Two receivers that don't read, or hardly, and senders that send to them all
//! the same.
//!
//! One thread serves both, and looks at its sockets at long intervals, so that
//! it takes next to nothing of the processors that are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::{Broken, Connection, Cursor, Scratch};
use crate::count::{Answers, Deliveries};
use crate::frame;
use crate::load::{Load, Receivers, names};
use crate::messages::{Example, Selection};
use crate::protocol::{Acks, Framed, Party};

/// The time until both queues are full and orders are refused: mostly the
/// server's own `stall_timeout`.
const FULL_TIMEOUT: Duration = Duration::from_secs(90);
/// The time that the rest may take to arrive once it is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval of looks at the sockets before and after the measurement.
const TICK: Duration = Duration::from_millis(1);
/// The interval at which orders are sent during it: 1,000 a second.
const TURN: Duration = Duration::from_millis(20);
const ORDERS_PER_TURN: u64 = 20;
/// The interval at which the slow receiver reads a byte.
const BYTE_INTERVAL: Duration = Duration::from_secs(1);

/// The fates of the orders for receivers that don't read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Orders acknowledged, all of which arrived in the end.
    pub acknowledged: u64,
    /// Orders refused.
    pub refused: u64,
}

impl Tally {
    /// Adds those of another time.
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
    }
}

/// A reason why receivers are not stalled.
#[derive(Debug, thiserror::Error)]
pub enum StallError {
    /// The queues took too much.
    #[error("the stalled receivers' queues were not full within {} s", FULL_TIMEOUT.as_secs())]
    NotFull,
    /// Acknowledged orders did not arrive.
    #[error(
        "{delivered} orders reached a stalled receiver in the end, of {acknowledged} acknowledged"
    )]
    Lost {
        /// Orders that arrived.
        delivered: u64,
        /// Orders acknowledged.
        acknowledged: u64,
    },
    /// A connection broke.
    #[error("a connection of the stalled receivers: {0}")]
    Broken(#[from] Broken),
    /// A socket can't be used.
    #[error("a connection of the stalled receivers: {0}")]
    Io(#[from] std::io::Error),
}

/// Receivers that are stalled until [`end`](Self::end).
#[derive(Debug)]
pub struct Stall {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Tally, StallError>>,
}

/// A receiver that is to be stalled, and its sender.
#[derive(Debug)]
pub struct StalledPair {
    load: Load,
    sender: Party,
    receiver: Party,
}

impl StalledPair {
    /// Opens both by `connect`, under names of their own.
    pub fn open<E>(connect: impl Fn(&str) -> Result<Party, E>) -> Result<Self, E> {
        let (senders, receivers) = (names("stalled-tx", 1), names("stalled-rx", 1));
        let orders = Selection::One(Example::Order);
        let in_turn = Receivers::InTurn(&receivers);
        Ok(Self {
            receiver: connect(&receivers[0])?,
            sender: connect(&senders[0])?,
            load: Load::new(&Framed::Tickwire, &orders, &[Some(&senders[0])], in_turn),
        })
    }
}

impl Stall {
    /// Sends to the receivers of both until orders are refused. The first reads
    /// nothing, the second a byte a second.
    pub fn begin(pairs: [StalledPair; 2]) -> Result<Self, StallError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (full, is_full) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || stall(pairs, &stopped, &full));
        let stall = Self { stop, thread };
        // A thread that can't say so any more has ended with a reason.
        if is_full.recv().is_err() {
            return Err(stall.end().err().unwrap_or(StallError::NotFull));
        }
        Ok(stall)
    }

    /// Both receivers read everything, and leave. All acknowledged orders must
    /// have arrived.
    pub fn end(self) -> Result<Tally, StallError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a stalled thread doesn't panic")
    }
}

fn stall(
    pairs: [StalledPair; 2],
    stopped: &AtomicBool,
    full: &mpsc::Sender<()>,
) -> Result<Tally, StallError> {
    let mut scratch = Scratch::new();
    let mut loads = Vec::new();
    let mut ends = Vec::new();
    for pair in pairs {
        loads.push(pair.load);
        ends.push((pair.sender, pair.receiver));
    }
    let mut pairs = Vec::new();
    for (number, (load, (sender, receiver))) in loads.iter().zip(ends).enumerate() {
        let now = Instant::now();
        pairs.push(Pair {
            cursor: Cursor::new(&load.streams[0]),
            answers: Answers::new(load, 0, sender.server.clone(), Acks::Each, None),
            deliveries: Deliveries::new(load, 0, receiver.server.clone()),
            sender: Connection::new(sender)?,
            receiver: Connection::new(receiver)?,
            next_byte: (number == 1).then_some(now + BYTE_INTERVAL),
        });
    }

    let deadline = Instant::now() + FULL_TIMEOUT;
    for pair in &mut pairs {
        pair.cursor.allow_all();
    }
    while !pairs.iter().all(Pair::is_refused) {
        if Instant::now() > deadline {
            return Err(StallError::NotFull);
        }
        for pair in &mut pairs {
            pair.fill(&mut scratch)?;
        }
        std::thread::sleep(TICK);
    }
    // The one that waits for it may have given up.
    let _ = full.send(());
    while !stopped.load(Ordering::Relaxed) {
        for pair in &mut pairs {
            pair.go_on(&mut scratch)?;
        }
        std::thread::sleep(TURN);
    }
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let mut tally = Tally::default();
    for pair in &mut pairs {
        tally.add(&pair.drain(&mut scratch, deadline)?);
    }
    Ok(tally)
}

/// A receiver and its sender, at work.
struct Pair<'a> {
    cursor: Cursor<'a>,
    answers: Answers<'a>,
    deliveries: Deliveries<'a>,
    sender: Connection,
    receiver: Connection,
    /// The time at which the receiver reads a byte, if it ever does.
    next_byte: Option<Instant>,
}

impl Pair<'_> {
    /// Returns whether orders are refused, and all are answered.
    fn is_refused(&self) -> bool {
        self.answers.refused_in_all() > 0 && self.is_answered()
    }

    fn is_answered(&self) -> bool {
        self.cursor.left() == 0 && self.answers.settled() >= self.cursor.messages()
    }

    /// Sends as much as is taken, up to the first refusal.
    fn fill(&mut self, scratch: &mut Scratch) -> Result<(), StallError> {
        if self.answers.refused_in_all() > 0 {
            self.cursor.end();
        }
        self.exchange(scratch)
    }

    /// Sends some more, unless the last are still waiting.
    fn go_on(&mut self, scratch: &mut Scratch) -> Result<(), StallError> {
        if self.cursor.left() == 0 {
            self.cursor.allow(self.cursor.messages() + ORDERS_PER_TURN);
        }
        self.exchange(scratch)
    }

    /// Writes and reads without waiting.
    fn exchange(&mut self, scratch: &mut Scratch) -> Result<(), StallError> {
        while self.cursor.left() > 0 && self.cursor.write(&mut self.sender, u64::MAX)? > 0 {}
        let answers = &mut self.answers;
        let take = |bytes: &[u8]| Ok(frame::for_each(bytes, |frame| answers.take(frame))?);
        self.sender.read(scratch, take)?;
        if let Some(next) = &mut self.next_byte
            && Instant::now() >= *next
        {
            *next += BYTE_INTERVAL;
            self.receiver.read_byte()?;
        }
        Ok(())
    }

    /// Reads everything that was acknowledged.
    fn drain(&mut self, scratch: &mut Scratch, deadline: Instant) -> Result<Tally, StallError> {
        self.cursor.end();
        loop {
            self.exchange(scratch)?;
            let deliveries = &mut self.deliveries;
            self.receiver.read(scratch, |bytes| {
                Ok(frame::for_each(bytes, |frame| {
                    deliveries.take(frame);
                })?)
            })?;
            let (delivered, acknowledged) = (self.deliveries.delivered, self.answers.acknowledged);
            if self.is_answered() && delivered == acknowledged {
                return Ok(Tally {
                    acknowledged,
                    refused: self.answers.refused_in_all(),
                });
            }
            if Instant::now() > deadline {
                return Err(StallError::Lost {
                    delivered,
                    acknowledged,
                });
            }
            std::thread::sleep(TICK);
        }
    }
}
