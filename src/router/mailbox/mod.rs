//! The mailbox of a name: everything addressed to the name, in order, until its
//! owner has taken it.
//!
//! Producers reserve, enqueue and wake, without a lock. The consumer's side is
//! behind a mutex that only the owner, a takeover and the end of the name take:
//! it guards the ownership and the entries that are being written. The mailbox
//! survives a takeover; the epoch tells the present owner from earlier ones.
//! When its owner leaves, the mailbox is closed and *lingers* with its contents
//! until the name is claimed again or ended.

/// The right of a connection to receive from a mailbox.
mod claim;
/// Cutting a read into entries.
mod cut;
/// Writing a mailbox's entries to its owner.
mod delivery;
/// Notices of dropped messages, which end up as reports in the queue.
mod drop_notice;
/// A run of frames that were queued together.
mod entry;
/// The bytes of an entry: a slice of a read, or a copy.
mod entry_bytes;
/// The number of messages that a connection may be handed.
pub(crate) mod flow_window;
/// A name that several connections share.
mod group;
/// Entries that are being written.
mod in_flight;
/// The queue's share of the server's memory.
mod memory_share;
/// The owner's side: deliveries, and the release of room.
mod owner;
/// Changes of owner.
mod ownership;
/// The parts of a read that go the same way.
mod parts;
/// An event that waits for room.
mod pause;
/// The producers' side: reserving, queueing, waking, waiting for room.
mod producers;
/// The bounded queue without locks.
mod queue;
/// The contents of a queue, in one word.
pub(crate) mod queue_state;
/// The bounds of a queue, and the fate of messages beyond them.
mod rules;
/// Reports of messages that were given up.
mod undelivered;

pub(crate) use claim::{Claim, Excluded, Ownership};
pub(crate) use cut::Cut;
pub(crate) use delivery::Delivery;
pub(crate) use drop_notice::DropNotice;
pub(crate) use entry::Entry;
pub(crate) use entry_bytes::{Copied, EntryBytes, Frame, KeptFrame};
pub use in_flight::Write;
pub(crate) use in_flight::{InFlight, Slices};
pub(crate) use parts::{Parts, Pieces, pins};
pub use pause::Pause;
pub(crate) use queue::{Closed, Queue};
pub(crate) use rules::{QueuePart, QueueRules};

use std::sync::{Arc, OnceLock, Weak};

use group::Group;

use crate::budget::{Budget, Share};
use crate::ids::{Epoch, Name};
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::connection::{Charged, ConnectionHandle};
use crate::stats::Counters;
use crate::sync::waiters::Waiters;
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, Ordering};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Mailbox {
    name: Name,
    rules: QueueRules,
    /// Counts the messages that are given up.
    counters: Arc<Counters>,
    queue: Queue,
    /// The connection to wake. Changed under the consumer's lock only.
    owner: ArcSwapOption<ConnectionHandle>,
    /// Counts the owners. Changed under the consumer's lock only.
    epoch: AtomicU64,
    /// Entries that the owner has taken from the queue and not yet written; of a
    /// group, entries that members gave back.
    consumer: Mutex<InFlight>,
    /// The connections that share the name. Made for the first of them.
    group: OnceLock<Box<Group>>,
    waiters: Waiters,
    /// Counts the bytes that are queued.
    budget: Arc<Budget>,
    /// The queue's share of the budget.
    share: Share,
    /// Counts how often the queue has fallen below half, or was emptied.
    relieved: AtomicU64,
    /// The ids accepted from the owner's connection, if it is resumable and this
    /// is its first name. Changed under the consumer's lock only.
    accepted_ids: ArcSwapOption<AcceptedIds>,
}

/// The caller no longer owns the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOwner;

impl Mailbox {
    /// Makes the mailbox of a name that nobody owns.
    pub(crate) fn new(
        name: Name,
        rules: QueueRules,
        budget: &Arc<Budget>,
        counters: Arc<Counters>,
    ) -> Self {
        let queue = Queue::default();
        queue.close();
        budget.add_queue();
        Self {
            name,
            rules,
            counters,
            queue,
            owner: ArcSwapOption::empty(),
            epoch: AtomicU64::new(0),
            consumer: Mutex::default(),
            group: OnceLock::new(),
            waiters: Waiters::default(),
            budget: Arc::clone(budget),
            share: Share::default(),
            relieved: AtomicU64::new(0),
            accepted_ids: ArcSwapOption::empty(),
        }
    }

    /// The mailbox as its owner's account refers to it.
    pub(crate) fn charge(self: &Arc<Self>) -> Weak<dyn Charged> {
        let charged: Weak<Self> = Arc::downgrade(self);
        charged
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Returns whether `epoch` is still the owner's.
    pub(crate) fn is_owned_at(&self, epoch: Epoch) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch.0
    }

    fn group(&self) -> &Group {
        self.group.get_or_init(Box::default)
    }
}

impl Charged for Mailbox {
    fn charged_bytes(&self) -> usize {
        self.queue.load().bytes()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.budget.remove_queue(&self.share);
    }
}
