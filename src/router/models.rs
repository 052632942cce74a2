//! The queues, changes of owner and wake-ups under every interleaving that loom
//! finds, and every value that the memory orders in use let a load see.
//!
//! Each model runs the real code on a few threads, a handful of steps each, and
//! ends when all threads have: a wake-up that was lost leaves one asleep, which
//! loom reports as a deadlock. Models with more steps bound how often a thread is
//! interrupted where it need not be; most faults need one or two such places.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --profile loom --no-default-features --lib
//! --target-dir target/loom router::models` runs them; `LOOM_MAX_PREEMPTIONS`
//! replaces all bounds. With `-- --nocapture` each says how many executions it
//! tried.

mod closing;
mod counting;
mod drops;
mod groups;
mod mailboxes;
mod memory;
mod waiting;
mod waking;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;

use crate::budget::Budget;
use crate::config::Overflow;
use crate::ids::{ConnectionId, Epoch, MsgId, Name};
use crate::router::connection::ConnectionHandle;
use crate::router::mailbox::queue_state::Capacity;
use crate::router::mailbox::{
    Claim, Delivery, DropNotice, Entry, EntryBytes, Mailbox, QueuePart, QueueRules, Slices,
};
use crate::wire;

/// Tries all interleavings with at most `preemptions` interruptions of threads
/// that could have gone on.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound.get_or_insert(preemptions);
    let executions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&executions);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

const ROOMY: Capacity = Capacity {
    bytes: 1_000,
    messages: 100,
};

/// Bytes of a frame here, prefix included.
const FRAME: usize = 5;

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn connection(id: u64) -> Arc<ConnectionHandle> {
    Arc::new(ConnectionHandle::new(ConnectionId(id), &Arc::default()))
}

fn mailbox(capacity: Capacity, owner: &Arc<ConnectionHandle>) -> (Arc<Mailbox>, Epoch) {
    let mailbox = unowned(capacity, &Arc::default());
    let (epoch, _) = mailbox.take_over(owner);
    (mailbox, epoch)
}

fn unowned(capacity: Capacity, budget: &Arc<Budget>) -> Arc<Mailbox> {
    let rules = QueueRules {
        capacity,
        overflow: Overflow::Pause,
        durable: false,
    };
    let counters = Arc::default();
    Arc::new(Mailbox::new(name("gateway"), rules, budget, counters))
}

fn claim(mailbox: &Arc<Mailbox>, epoch: Epoch) -> Claim {
    Claim {
        mailbox: Arc::clone(mailbox),
        epoch,
        membership: None,
    }
}

fn join(mailbox: &Arc<Mailbox>, handle: &Arc<ConnectionHandle>) -> Claim {
    let (epoch, membership) = mailbox.join(handle, None);
    Claim {
        mailbox: Arc::clone(mailbox),
        epoch,
        membership: Some(membership),
    }
}

/// A run of frames from `origin`, one a letter.
fn entry(letters: &str, origin: Option<&Arc<ConnectionHandle>>) -> Entry {
    let bytes: Vec<u8> = letters
        .bytes()
        .flat_map(|letter| [0, 0, 0, 1, letter])
        .collect();
    Entry {
        messages: letters.len() as u32,
        order: 0,
        charge: bytes.len(),
        bytes: EntryBytes::Slice(Bytes::from(bytes)),
        origin: origin.cloned(),
        is_stored: false,
    }
}

/// Reserves room for a run of one frame and queues it. Returns whether it was
/// accepted.
fn put(mailbox: &Mailbox, letter: &str, origin: Option<&Arc<ConnectionHandle>>) -> bool {
    let accepted = mailbox.reserve(&[FRAME as u32], FRAME, QueuePart::Ordinary) == Ok(1);
    if accepted {
        mailbox.enqueue(entry(letter, origin), FRAME);
    }
    accepted
}

/// The notice of one dropped message.
fn notice() -> DropNotice {
    let id = MsgId::from(uuid::Uuid::nil());
    DropNotice::new(&name("tickwire"), Some(&name("gateway")), id, 0)
}

/// The letters of the frames of a run; of the report of a drop, the number of
/// messages that were dropped.
fn read(run: &[u8]) -> String {
    let said = |frame: &[u8]| match frame {
        [letter] => char::from(*letter).to_string(),
        report => {
            let report: serde_json::Value = serde_json::from_slice(report).unwrap();
            report["payload"]["details"]["count"].to_string()
        }
    };
    wire::frames(run)
        .map(|frame| said(&run[frame][4..]))
        .collect()
}

/// Takes the frames of the oldest entry of the mailbox.
fn take(mailbox: &Mailbox, epoch: Epoch) -> Option<Vec<u8>> {
    entry_of(mailbox.deliver(epoch).ok()?)
}

/// Takes the frames of the oldest entry that the claim gives.
fn take_of(claim: &Claim) -> Option<Vec<u8>> {
    entry_of(claim.deliver().ok()?)
}

fn entry_of(mut delivery: Delivery<'_>) -> Option<Vec<u8>> {
    let entry = {
        let mut slices = Slices::default();
        delivery.in_flight.offer(&mut slices, usize::MAX);
        slices.0.first()?.to_vec()
    };
    delivery.advance(entry.len());
    Some(entry)
}

/// Takes everything that the owner of `epoch` finds queued now.
fn take_all(mailbox: &Mailbox, epoch: Epoch) -> String {
    let runs = std::iter::from_fn(|| take(mailbox, epoch));
    runs.map(|run| read(&run)).collect()
}

/// Sleeps as a connection does, and looks whenever it was woken, until it has
/// seen the thing that it waits for.
fn sleep_until(handle: &ConnectionHandle, mut seen: impl FnMut() -> bool) {
    loom::future::block_on(poll_fn(|cx| {
        handle.register(cx.waker());
        if seen() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
}
