//! A load through client libraries, as programs use them: one sender and one receiver,
//! each a task of the same multi-thread runtime.
//!
//! The library under test stands behind [`Sender`] and [`Receiver`], so that every one
//! is driven, timed and counted in the same way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::drive::{Extent, STALL_TIMEOUT};
use crate::latency::Latency;
use crate::progress::number as shown;

/// Bytes that the sender stays ahead of the receiver at most: below the queues of
/// servers and libraries, so that nothing is dropped.
const AHEAD_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// The pause of a sender that is too far ahead.
const AHEAD_PAUSE: Duration = Duration::from_millis(1);
/// The number of messages from one look at the clock to the next.
const LOOK_EVERY: u64 = 32;
/// The interval at which the load is watched.
const TICK: Duration = Duration::from_millis(20);

/// The sending end of a library. Errors are in words, and end the load.
pub trait Sender: Send + 'static {
    /// Sends message `number` without waiting for its answer; returns its bytes.
    fn post(&mut self, number: u64) -> impl Future<Output = Result<usize, String>> + Send;

    /// Sends message `number` and waits for its answer; returns its bytes.
    fn send(&mut self, number: u64) -> impl Future<Output = Result<usize, String>> + Send;

    /// Waits until every posted message is answered, or with the server where nothing
    /// is answered.
    fn flush(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// The receiving end of a library.
pub trait Receiver: Send + 'static {
    /// Receives the next message; returns its bytes.
    fn receive(&mut self) -> impl Future<Output = Result<usize, String>> + Send;
}

/// The way in which messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Posted one after the other.
    Throughput,
    /// Each sent once the one before has been answered.
    OneAtATime,
}

/// The results of a load.
#[derive(Debug)]
pub struct Outcome {
    /// Messages sent.
    pub sent: u64,
    /// Messages that arrived.
    pub delivered: u64,
    /// Bytes that arrived.
    pub bytes: u64,
    /// The time from the first send to the last arrival.
    pub delivering: Duration,
    /// The time from the first send to the last answer; none if that didn't come.
    pub answering: Option<Duration>,
    /// Latencies from a send to its answer, if each was awaited.
    pub answer: Latency,
    /// Everything that did not go as it should, in words.
    pub faults: Vec<String>,
}

/// The messages that have passed one end. Each end has cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Nanoseconds from the start to the last look at the clock.
    last_ns: AtomicU64,
}

impl Tally {
    /// Adds a message. Only the task of this end does.
    fn add(&self, bytes: usize) -> u64 {
        let messages = self.messages.load(Ordering::Relaxed) + 1;
        let bytes = self.bytes.load(Ordering::Relaxed) + bytes as u64;
        self.bytes.store(bytes, Ordering::Relaxed);
        self.messages.store(messages, Ordering::Release);
        messages
    }

    fn messages(&self) -> u64 {
        self.messages.load(Ordering::Acquire)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// The state that both tasks share with the watching thread.
#[derive(Debug)]
struct Shared {
    start: Instant,
    sent: Tally,
    arrived: Tally,
}

/// Makes a runtime as a program has it: a worker for each core.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// Drives a load, and calls `watch` with the messages delivered so far from time to
/// time. The load is given up when nothing moves for ten seconds.
pub fn run(
    runtime: &Runtime,
    (sender, receiver): (impl Sender, impl Receiver),
    work: Work,
    extent: Extent,
    mut watch: impl FnMut(u64, Duration),
) -> Outcome {
    runtime.block_on(async {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            sent: Tally::default(),
            arrived: Tally::default(),
        });
        let receiving = tokio::spawn(receive(receiver, shared.clone()));
        let sending = tokio::spawn(send(sender, shared.clone(), work, extent));
        let (mut seen, mut since) = ((0, 0), Instant::now());
        let mut stalled = false;
        loop {
            sleep(TICK).await;
            let now = (shared.sent.messages(), shared.arrived.messages());
            watch(now.1, shared.start.elapsed());
            let all_is_there = sending.is_finished() && now.1 >= shared.sent.messages();
            if all_is_there || receiving.is_finished() {
                break;
            }
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > STALL_TIMEOUT {
                stalled = true;
                break;
            }
        }
        outcome(&shared, sending, receiving, stalled).await
    })
}

async fn receive(mut receiver: impl Receiver, shared: Arc<Shared>) -> String {
    loop {
        let bytes = match receiver.receive().await {
            Ok(bytes) => bytes,
            Err(reason) => return reason,
        };
        let arrived = shared.arrived.add(bytes);
        // The last message is among those that are looked at.
        if arrived.is_multiple_of(LOOK_EVERY) || arrived >= shared.sent.messages() {
            let elapsed = shared.start.elapsed().as_nanos() as u64;
            shared.arrived.last_ns.store(elapsed, Ordering::Release);
        }
    }
}

async fn send(
    mut sender: impl Sender,
    shared: Arc<Shared>,
    work: Work,
    extent: Extent,
) -> Result<(Duration, Latency), String> {
    let mut latency = Latency::new();
    let mut number = 0;
    loop {
        let is_over = match extent {
            Extent::Messages(messages) => number >= messages,
            Extent::Time(time) => {
                let looks = work == Work::OneAtATime || number.is_multiple_of(LOOK_EVERY);
                looks && shared.start.elapsed() >= time
            }
        };
        if is_over {
            break;
        }
        let bytes = match work {
            Work::Throughput => sender.post(number).await?,
            Work::OneAtATime => {
                let start = Instant::now();
                let bytes = sender.send(number).await?;
                latency.record(start.elapsed());
                bytes
            }
        };
        number = shared.sent.add(bytes);
        if number.is_multiple_of(LOOK_EVERY) {
            while shared.sent.bytes() > shared.arrived.bytes() + AHEAD_BYTES_MAX {
                sleep(AHEAD_PAUSE).await;
            }
        }
    }
    sender.flush().await?;
    Ok((shared.start.elapsed(), latency))
}

async fn outcome(
    shared: &Shared,
    sending: JoinHandle<Result<(Duration, Latency), String>>,
    receiving: JoinHandle<String>,
    stalled: bool,
) -> Outcome {
    let mut faults = Vec::new();
    sending.abort();
    let sent = match sending.await {
        Ok(Ok((answering, answer))) => Some((answering, answer)),
        Ok(Err(reason)) => {
            faults.push(format!("the sender: {reason}"));
            None
        }
        Err(_) => None,
    };
    receiving.abort();
    if let Ok(reason) = receiving.await {
        faults.push(format!("the receiver: {reason}"));
    }
    let (sent_messages, delivered) = (shared.sent.messages(), shared.arrived.messages());
    if stalled {
        faults.push("nothing moved any more, so it was given up".to_owned());
    }
    if delivered < sent_messages {
        let missing = shown(sent_messages - delivered);
        faults.push(format!("{missing} sent but not delivered"));
    } else if sent.is_some()
        && (delivered, shared.arrived.bytes()) != (sent_messages, shared.sent.bytes())
    {
        faults.push("other bytes arrived than were sent".to_owned());
    }
    let (answering, answer) = sent.unzip();
    Outcome {
        sent: sent_messages,
        delivered,
        bytes: shared.arrived.bytes(),
        delivering: Duration::from_nanos(shared.arrived.last_ns.load(Ordering::Acquire)),
        answering,
        answer: answer.unwrap_or_default(),
        faults,
    }
}
