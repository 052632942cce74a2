//! What runs with a free-running sender have in common: the sender, how the
//! threads know of each other, and the rate of what arrives.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::answers::AnswerCount;
use super::broken;
use crate::stream::{Stream, WRITE_BYTES};

/// After so long a waiting sender looks whether the run still goes on.
const PATIENCE: Duration = Duration::from_millis(50);

/// When a run is measured, and what its sender has to mind.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Until the figures begin.
    pub warm_up: Duration,
    /// How long they are taken.
    pub measured: Duration,
    /// Bytes that the sender may be ahead of the slowest receiver; for messages
    /// that are dropped, not waited for, where a queue is full.
    pub ahead_max: Option<u64>,
}

/// What the threads of a run tell each other.
#[derive(Debug)]
pub struct Flow<'a> {
    stream: &'a Stream,
    schedule: Schedule,
    begin: Instant,
    /// Messages in all; until that is known all bits are set.
    messages: AtomicU64,
    /// Bytes that the slowest receiver has got.
    slowest: AtomicU64,
    /// Where it must be for a sender that waits; otherwise all bits are set.
    awaited: AtomicU64,
    /// Who waits.
    sender: OnceLock<Thread>,
    /// Somebody has failed, so that nobody waits for the others.
    failed: AtomicBool,
}

impl<'a> Flow<'a> {
    /// It begins now.
    pub fn new(stream: &'a Stream, schedule: Schedule) -> Self {
        Self {
            stream,
            schedule,
            begin: Instant::now(),
            messages: AtomicU64::new(u64::MAX),
            slowest: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            sender: OnceLock::new(),
            failed: AtomicBool::new(false),
        }
    }

    /// Sends, receives and counts answers at once, until `receive` has seen
    /// everything. Returns what it returns, or what failed first.
    pub fn run<T>(
        &self,
        sender: TcpStream,
        answers: Option<AnswerCount>,
        receive: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        let answer_side = sender
            .try_clone()
            .map_err(|error| broken("connecting", &error))?;
        thread::scope(|scope| {
            let sending = scope.spawn(|| self.watch(self.send(sender)));
            let answering = answers.map(|mut answers| {
                scope.spawn(move || self.watch(answers.read(answer_side, || self.answers())))
            });
            let received = self.watch(receive());
            let sent = sending.join().expect("sending doesn't panic");
            let answered = answering.map_or(Ok(()), |thread| {
                thread.join().expect("counting doesn't panic")
            });
            // The sender's failure explains the receiver's.
            answered.and(sent).and(received)
        })
    }

    /// Messages that were sent, once everything is.
    pub fn messages(&self) -> Option<u64> {
        let messages = self.messages.load(Ordering::Acquire);
        (messages != u64::MAX).then_some(messages)
    }

    /// Tells the sender how far the slowest receiver is, and returns whether
    /// everything has arrived; an error if somebody else has failed.
    pub fn arrived(&self, slowest: u64) -> Result<bool, String> {
        if self.schedule.ahead_max.is_some() {
            self.slowest.store(slowest, Ordering::SeqCst);
            if slowest >= self.awaited.load(Ordering::SeqCst)
                && let Some(sender) = self.sender.get()
            {
                sender.unpark();
            }
        }
        if self.failed.load(Ordering::Acquire) {
            return Err("receiving: given up".to_owned());
        }
        let messages = self.messages();
        Ok(messages.is_some_and(|messages| slowest >= self.stream.delivered_bytes(messages)))
    }

    /// A gauge for what arrives.
    pub fn gauge(&self) -> Gauge {
        let begin = self.begin + self.schedule.warm_up;
        Gauge {
            begin,
            end: begin + self.schedule.measured,
            first: None,
            last: None,
        }
    }

    fn watch<T>(&self, outcome: Result<T, String>) -> Result<T, String> {
        if outcome.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        outcome
    }

    /// Answers that there will be in all, once that is known.
    fn answers(&self) -> u64 {
        self.messages()
            .map_or(u64::MAX, |messages| self.stream.answers(messages))
    }

    fn send(&self, mut sender: TcpStream) -> Result<(), String> {
        let explain = |error: io::Error| broken("sending", &error);
        let end = self.begin + self.schedule.warm_up + self.schedule.measured;
        self.sender.get_or_init(thread::current);
        let mut position = 0;
        while Instant::now() < end {
            if self.failed.load(Ordering::Acquire) {
                return Ok(());
            }
            if let Some(ahead_max) = self.schedule.ahead_max
                && position > self.slowest.load(Ordering::SeqCst) + ahead_max
            {
                self.wait_for_slowest(position - ahead_max / 2);
                continue;
            }
            let chunk = self.stream.write_at(position);
            sender.write_all(chunk).map_err(explain)?;
            position += WRITE_BYTES as u64;
        }
        // Up to the end of a message. How many there are is said first: whoever
        // has got the last byte must know that it was the last.
        let (messages, whole) = self.stream.whole_messages(position);
        self.messages.store(messages, Ordering::Release);
        let rest = &self.stream.write_at(position)[..(whole - position) as usize];
        sender.write_all(rest).map_err(explain)
    }

    /// Waits until the slowest receiver has got so much, or for a while.
    fn wait_for_slowest(&self, bytes: u64) {
        self.awaited.store(bytes, Ordering::SeqCst);
        if self.slowest.load(Ordering::SeqCst) < bytes {
            thread::park_timeout(PATIENCE);
        }
        self.awaited.store(u64::MAX, Ordering::SeqCst);
    }
}

/// Takes the rate of what arrives within the measured time.
#[derive(Debug)]
pub struct Gauge {
    begin: Instant,
    end: Instant,
    first: Option<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

impl Gauge {
    /// So many bytes have arrived by now.
    pub fn note(&mut self, bytes: u64) {
        let now = Instant::now();
        if now >= self.begin && now <= self.end {
            self.first.get_or_insert((now, bytes));
            self.last = Some((now, bytes));
        }
    }

    /// Bytes a second.
    pub fn bytes_per_second(&self) -> Result<f64, String> {
        let (Some((first_at, first)), Some((last_at, last))) = (self.first, self.last) else {
            return Err("receiving: nothing came in time".to_owned());
        };
        let time = last_at - first_at;
        if time < (self.end - self.begin) / 2 {
            return Err("receiving: it came in fits".to_owned());
        }
        Ok((last - first) as f64 / time.as_secs_f64())
    }
}
