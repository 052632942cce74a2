//! One message at a time: each is sent when the one before has arrived, if there is a
//! receiver, and been answered. One thread, which sleeps until its sockets have something, as a plain
//! client does, or looks at them without pause.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::connection::Broken;
use crate::count::{Arrivals, Replies};
use crate::drive::{Extent, Pace, Plan};
use crate::latency::Latency;
use crate::load::Load;
use crate::protocol::Party;
use crate::stream::Stream;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// The time for a last look at the answers when a message is missing.
const LAST_LOOK: Duration = Duration::from_millis(200);
/// The number of messages from one report of the progress to the next.
const WATCH_EVERY: u64 = 1_000;

/// The results of a load.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Messages sent.
    pub sent: u64,
    /// The arrivals.
    pub arrivals: Arrivals<'a>,
    /// The answers.
    pub replies: Replies<'a>,
    /// The time of it all.
    pub elapsed: Duration,
    /// Latencies from writing to arrival.
    pub arrival: Latency,
    /// Latencies from writing to arrival and answer.
    pub both: Latency,
}

/// A reason why there are no further messages.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A message is late.
    #[error("message {0} did not arrive within {1:?}")]
    Missing(u64, Duration),
    /// An answer is late.
    #[error("message {0} was not answered within {1:?}")]
    Unanswered(u64, Duration),
    /// A connection is of no more use.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The message can't be written.
    #[error("writing: {0}")]
    Write(#[from] io::Error),
}

/// The way in which the ends wait for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// They sleep until the system wakes them.
    Asleep,
    /// They look at the socket again and again, at 100 % of a core.
    Polling,
}

/// A connection, and the bytes that are not taken yet.
struct Line {
    stream: TcpStream,
    waiting: Waiting,
    patience: Duration,
    buffer: Vec<u8>,
    held: usize,
}

impl Line {
    fn new(party: Party, patience: Duration, waiting: Waiting) -> io::Result<Self> {
        party.stream.set_read_timeout(Some(patience))?;
        party.stream.set_nonblocking(waiting == Waiting::Polling)?;
        let mut buffer = party.unread;
        let held = buffer.len();
        buffer.resize(held + READ_BYTES, 0);
        Ok(Self {
            stream: party.stream,
            waiting,
            patience,
            buffer,
            held,
        })
    }

    /// Reads until `take` says that its event is there; it returns how many bytes
    /// it is done with, too. Returns whether that came in time.
    fn read_until(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(usize, bool), Broken>,
    ) -> Result<bool, Broken> {
        let start = Instant::now();
        loop {
            let (taken, is_there) = take(&self.buffer[..self.held])?;
            self.buffer.copy_within(taken..self.held, 0);
            self.held -= taken;
            if is_there {
                return Ok(true);
            }
            if self.held == self.buffer.len() {
                self.buffer.resize(self.held + READ_BYTES, 0);
            }
            match self.stream.read(&mut self.buffer[self.held..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(bytes) => self.held += bytes,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock
                        if self.waiting == Waiting::Polling && start.elapsed() < self.patience => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(false),
                    ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
    }
}

/// The two ends, and the counts of each.
struct Exchange<'a> {
    stream: &'a Stream,
    sender: Line,
    receiver: Option<Line>,
    patience: Duration,
    outcome: Outcome<'a>,
}

/// Sends the first stream of `load` from `sender` to `receiver` as `plan` says, both
/// `waiting` in that way, and calls `watch` with the messages so far from time to time. Latencies
/// count from the window of the plan on. Without a receiver only the answers are waited for.
/// Returns the reason for an early end too.
pub fn run<'a>(
    load: &'a Load,
    sender: Party,
    receiver: Option<Party>,
    plan: &Plan,
    waiting: Waiting,
    watch: impl FnMut(u64, Duration),
) -> io::Result<(Outcome<'a>, Option<Stop>)> {
    let arrivals = match &receiver {
        Some(receiver) => Arrivals::new(plan.counting, load, 0, receiver),
        None => Arrivals::Bytes(0),
    };
    let line = |party| Line::new(party, plan.patience, waiting);
    let fence = sender.fence.as_ref().map(|fence| fence.frame.clone());
    let outcome = Outcome {
        sent: 0,
        replies: Replies::new(&plan.answers, load, 0, &sender),
        arrivals,
        elapsed: Duration::ZERO,
        arrival: Latency::new(),
        both: Latency::new(),
    };
    let mut exchange = Exchange {
        stream: &load.streams[0],
        sender: line(sender)?,
        receiver: receiver.map(line).transpose()?,
        patience: plan.patience,
        outcome,
    };
    let start = Instant::now();
    let result = exchange.exchange_all(plan, start, watch);
    exchange.outcome.elapsed = start.elapsed();
    let result = result.and_then(|()| exchange.await_fence(fence.as_deref()));
    Ok((exchange.outcome, result.err()))
}

impl Exchange<'_> {
    fn exchange_all(
        &mut self,
        plan: &Plan,
        start: Instant,
        mut watch: impl FnMut(u64, Duration),
    ) -> Result<(), Stop> {
        let extent = match &plan.pace {
            Pace::FlatOut(extent) => *extent,
            Pace::Scheduled { .. } => unreachable!("each message waits for the one before"),
        };
        let begin = start + plan.window.map_or(Duration::ZERO, |window| window.warm_up);
        loop {
            let is_over = match extent {
                Extent::Messages(messages) => self.outcome.sent >= messages,
                Extent::Time(time) => start.elapsed() >= time,
            };
            if is_over {
                return Ok(());
            }
            self.exchange(begin)?;
            if self.outcome.sent.is_multiple_of(WATCH_EVERY) {
                watch(self.outcome.sent, start.elapsed());
            }
        }
    }

    fn exchange(&mut self, begin: Instant) -> Result<(), Stop> {
        let (patience, outcome) = (self.patience, &mut self.outcome);
        let number = outcome.sent;
        outcome.sent += 1;
        let is_answered = outcome.replies.due(number + 1) > outcome.replies.due(number);
        let settled = outcome.replies.settled() + u64::from(is_answered);
        let start = Instant::now();
        self.sender
            .stream
            .write_all(self.stream.published(number))?;
        self.await_arrival(number, start, begin)?;
        if is_answered {
            let replies = &mut self.outcome.replies;
            let answered = self.sender.read_until(|read| {
                let taken = replies.take(read)?;
                Ok((taken, replies.settled() >= settled))
            });
            if !answered? {
                return Err(Stop::Unanswered(number, patience));
            }
            if start >= begin {
                self.outcome.both.record(start.elapsed());
            }
        }
        Ok(())
    }

    fn await_arrival(&mut self, number: u64, start: Instant, begin: Instant) -> Result<(), Stop> {
        let Some(receiver) = &mut self.receiver else {
            return Ok(());
        };
        let bytes = self.stream.arrived_of(number + 1);
        let arrivals = &mut self.outcome.arrivals;
        let arrived = receiver.read_until(|read| {
            let mut is_there = false;
            let taken = arrivals.take(read, |delivery| is_there |= delivery.number == number)?;
            if let Arrivals::Bytes(received) = arrivals {
                is_there = *received >= bytes;
            }
            Ok((taken, is_there))
        });
        let elapsed = start.elapsed();
        if !matches!(arrived, Ok(true)) {
            // The server may have said why.
            self.look_at_answers();
            arrived?;
            return Err(Stop::Missing(number, self.patience));
        }
        if start >= begin {
            self.outcome.arrival.record(elapsed);
        }
        Ok(())
    }

    /// Reads the answers that have come.
    fn look_at_answers(&mut self) {
        // Only to word a failure: if it can't be waited, nothing is added.
        let _ = self.sender.stream.set_read_timeout(Some(LAST_LOOK));
        self.sender.patience = LAST_LOOK;
        let replies = &mut self.outcome.replies;
        let _ = (self.sender).read_until(|read| Ok((replies.take(read)?, false)));
    }

    /// Waits for the answers to all messages.
    fn await_fence(&mut self, fence: Option<&[u8]>) -> Result<(), Stop> {
        let Some(fence) = fence else { return Ok(()) };
        self.sender.stream.write_all(fence)?;
        let Outcome { replies, sent, .. } = &mut self.outcome;
        let fenced = self.sender.read_until(|read| {
            let taken = replies.take(read)?;
            Ok((taken, replies.are_complete(*sent)))
        });
        match fenced? {
            true => Ok(()),
            false => Err(Stop::Unanswered(*sent, self.patience)),
        }
    }
}
