//! Two receivers that don't read, or hardly, and who sends to them all the same.
//!
//! One thread serves both, and looks at its sockets at long intervals, so that
//! it takes next to nothing of the processors that are measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::super::connection::{Broken, Connection, Pen, Scratch};
use super::super::count::{Acks, Answers, Deliveries};
use super::super::load::{Load, names};
use super::super::messages::{Example, Selection};
use super::super::setup::{Setup, name};
use crate::cli::Failure;
use crate::cli::peer::{self, Claim, Peer};

/// How long until both queues are full and orders are refused: mostly the
/// server's own `stall_timeout`.
const FULL_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the rest may take to arrive once it is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked at the sockets before and after the measurement.
const TICK: Duration = Duration::from_millis(1);
/// How often orders are sent during it, and how many: 1,000 a second.
const TURN: Duration = Duration::from_millis(20);
const ORDERS_PER_TURN: u64 = 20;
/// How often the slow one reads a byte.
const BYTE_INTERVAL: Duration = Duration::from_secs(1);

/// What became of the orders for those who don't read.
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

/// Why there is no stall, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum StallError {
    #[error("the stalled receivers' queues were not full within {} s", FULL_TIMEOUT.as_secs())]
    NotFull,
    #[error(
        "{delivered} orders reached a stalled receiver in the end, of {acknowledged} acknowledged"
    )]
    Lost { delivered: u64, acknowledged: u64 },
    #[error("a connection of the stalled receivers: {0}")]
    Broken(#[from] Broken),
    #[error("a connection of the stalled receivers: {0}")]
    Io(#[from] std::io::Error),
}

/// Receivers that are stalled until [`end`](Self::end).
#[derive(Debug)]
pub struct Stall {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Tally, StallError>>,
}

impl Stall {
    /// Connects both, and sends to them until both are refused.
    pub fn begin(setup: &Setup) -> Result<Self, Failure> {
        let mut parties = Vec::new();
        for reads in [Reads::Nothing, Reads::AByteASecond] {
            parties.push(Party::connect(setup, reads)?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (full, is_full) = mpsc::channel();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || stall(parties, &stopped, &full));
        let stall = Self { stop, thread };
        // Who can't say so any more says why at its end.
        if is_full.recv().is_err() {
            return match stall.end() {
                Ok(_) => Err(Failure::failed(StallError::NotFull)),
                Err(error) => Err(Failure::failed(error)),
            };
        }
        Ok(stall)
    }

    /// Both read what there is, and leave. All that was acknowledged must have
    /// arrived.
    pub fn end(self) -> Result<Tally, StallError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a stalled thread doesn't panic")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Nothing,
    AByteASecond,
}

/// A receiver and its sender.
struct Party {
    load: Load,
    sender: Peer,
    receiver: Peer,
    fence_id: tickwire::ids::MsgId,
    reads: Reads,
}

impl Party {
    fn connect(setup: &Setup, reads: Reads) -> Result<Self, Failure> {
        let (senders, receivers) = (names("stalled-tx", 1), names("stalled-rx", 1));
        let connect = |text: &str| {
            setup
                .connect(&name(text), Acks::Each)
                .map_err(Failure::failed)
        };
        let (fence_id, _) = peer::hello(&name(&senders[0]), Claim::Source);
        Ok(Self {
            receiver: connect(&receivers[0])?,
            sender: connect(&senders[0])?,
            load: Load::new(&Selection::One(Example::Order), &senders, &receivers, false),
            fence_id,
            reads,
        })
    }
}

fn stall(
    parties: Vec<Party>,
    stopped: &AtomicBool,
    full: &mpsc::Sender<()>,
) -> Result<Tally, StallError> {
    let mut scratch = Scratch::new();
    let mut loads = Vec::new();
    let mut ends = Vec::new();
    for party in parties {
        loads.push(party.load);
        ends.push((party.sender, party.receiver, party.fence_id, party.reads));
    }
    let mut pairs = Vec::new();
    for (load, (sender, receiver, fence_id, reads)) in loads.iter().zip(ends) {
        pairs.push(Pair {
            pen: Pen::new(&load.lanes[0]),
            answers: Answers::new(load, 0, &sender.server, Acks::Each, fence_id),
            deliveries: Deliveries::new(load, 0, &receiver.server),
            sender: Connection::new(sender)?,
            receiver: Connection::new(receiver)?,
            reads,
            next_byte: Instant::now() + BYTE_INTERVAL,
        });
    }

    let deadline = Instant::now() + FULL_TIMEOUT;
    for pair in &mut pairs {
        pair.pen.allow_all();
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
    // Who waits for it may have given up.
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
    pen: Pen<'a>,
    answers: Answers<'a>,
    deliveries: Deliveries<'a>,
    sender: Connection,
    receiver: Connection,
    reads: Reads,
    next_byte: Instant,
}

impl Pair<'_> {
    /// Whether orders are refused, and all are answered.
    fn is_refused(&self) -> bool {
        self.answers.refused_in_all() > 0 && self.is_answered()
    }

    fn is_answered(&self) -> bool {
        self.pen.left() == 0 && self.answers.settled() >= self.pen.messages()
    }

    /// Sends as much as is taken, up to the first refusal.
    fn fill(&mut self, scratch: &mut Scratch) -> Result<(), StallError> {
        if self.answers.refused_in_all() > 0 {
            self.pen.end();
        }
        self.exchange(scratch)
    }

    /// Sends some more, unless the last are still waiting.
    fn go_on(&mut self, scratch: &mut Scratch) -> Result<(), StallError> {
        if self.pen.left() == 0 {
            self.pen.allow(self.pen.messages() + ORDERS_PER_TURN);
        }
        self.exchange(scratch)
    }

    /// Writes and reads what can be, without waiting.
    fn exchange(&mut self, scratch: &mut Scratch) -> Result<(), StallError> {
        while self.pen.left() > 0 && self.pen.write(&mut self.sender, u64::MAX)? > 0 {}
        let answers = &mut self.answers;
        self.sender.read(scratch, |frames| {
            for frame in frames {
                answers.take(frame);
            }
        })?;
        if self.reads == Reads::AByteASecond && Instant::now() >= self.next_byte {
            self.next_byte += BYTE_INTERVAL;
            self.receiver.read_byte()?;
        }
        Ok(())
    }

    /// Reads everything that was acknowledged.
    fn drain(&mut self, scratch: &mut Scratch, deadline: Instant) -> Result<Tally, StallError> {
        self.pen.end();
        loop {
            self.exchange(scratch)?;
            let deliveries = &mut self.deliveries;
            self.receiver.read(scratch, |frames| {
                for frame in frames {
                    deliveries.take(frame);
                }
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
