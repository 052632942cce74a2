//! The mailbox of a name: everything addressed to the name, in order, until its
//! owner has taken it.
//!
//! Producers reserve, enqueue and wake, without a lock. A mutex that only the owner,
//! a takeover and the end of the name take guards the ownership and the entries that
//! are being written. The epoch tells the present owner from earlier ones. When its
//! owner leaves, the mailbox is closed and *lingers* with its contents until the name
//! is claimed again or ended.

mod claim;
mod delivery;
mod drop_notice;
mod entry;
mod entry_bytes;
pub(crate) mod flow_window;
mod group;
mod ownership;
mod pause;
mod queue;
pub(crate) mod queue_state;
mod undelivered;
mod unsettled;

pub(crate) use claim::{Claim, Excluded, Ownership};
pub(crate) use delivery::{Delivery, InFlight, Slices};
pub use delivery::{Taken, Write};
pub(crate) use drop_notice::DropNotice;
pub(crate) use entry::{Cut, Entry, Parts, PartsWithDrops, StoredBytes, pins};
pub(crate) use entry_bytes::{Copied, EntryBytes, Frame, KeptFrame};
pub use pause::Pause;
pub(crate) use queue::{Closed, Queue};
pub(crate) use queue_state::{QueuePart, QueueRules};
pub(crate) use unsettled::StoredMessage;

use std::sync::{Arc, OnceLock, TryLockError, Weak};
use std::task::Waker;

use group::{Group, Membership};
use queue_state::QueueState;
use unsettled::Unsettled;

use crate::budget::{Budget, Share};
use crate::ids::{ConnectionId, Epoch, Name};
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::connection::{Charged, ConnectionHandle};
use crate::stats::Counters;
use crate::sync::waiters::Waiters;
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, MutexGuard, Ordering, lock};

#[derive(Debug)]
pub(crate) struct Mailbox {
    name: Name,
    pub(crate) rules: QueueRules,
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
    budget: Arc<Budget>,
    share: Share,
    /// Counts how often the queue has fallen below half, or was emptied.
    relieved: AtomicU64,
    /// The ids accepted from the owner's connection, if it is resumable and this
    /// is its first name. Changed under the consumer's lock only.
    accepted_ids: ArcSwapOption<AcceptedIds>,
    /// Of a durable name, the deliveries of this epoch. Locked after the consumer.
    unsettled: Mutex<Unsettled>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOwner;

impl Mailbox {
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
            unsettled: Mutex::default(),
        }
    }

    /// The mailbox as its owner's account refers to it.
    pub(crate) fn charge(self: &Arc<Self>) -> Weak<dyn Charged> {
        Arc::downgrade(self) as Weak<Self>
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

    // ---- producers ----

    /// Reserves room for as many of the messages as fit, from the first on.
    /// Reserved room must be used by [`Mailbox::enqueue`].
    #[inline]
    pub(crate) fn reserve(
        &self,
        sizes: &[u32],
        total: usize,
        part: QueuePart,
    ) -> Result<usize, Closed> {
        if self.budget.is_short() {
            return self.reserve_of_share(sizes, total, part);
        }
        (self.queue).reserve(sizes, total, self.rules.capacity_of(part))
    }

    /// Queues an entry for which room is reserved, and wakes the owner.
    pub(crate) fn enqueue(&self, entry: Entry, reserved_bytes: usize) {
        if self.queue.enqueue(entry, reserved_bytes) {
            // Ended since the reservation, and perhaps swept already.
            self.sweep(&mut lock(&self.consumer));
        } else {
            self.wake_owner();
        }
    }

    /// Notes messages that were dropped for the owner since the last entry.
    #[cold]
    pub(crate) fn note_dropped(&self, notice: DropNotice) {
        self.queue.note_dropped(notice);
        self.wake_owner();
    }

    #[inline]
    fn wake_owner(&self) {
        match &*self.owner.load() {
            Some(owner) => owner.wake(),
            None => self.wake_group(),
        }
    }

    #[cold]
    fn wake_group(&self) {
        if let Some(group) = self.group.get() {
            group.wake();
        }
    }

    /// Has `waker` woken when the queue has fallen below three quarters, or its
    /// owner left. The caller must try again after this call.
    pub(crate) fn wait_for_room(&self, id: ConnectionId, waker: &Waker) {
        self.waiters.wait(id, waker);
    }

    /// Forgets a connection that no longer waits for room.
    pub(crate) fn stop_waiting(&self, id: ConnectionId) {
        self.waiters.forget(id);
    }

    /// Returns whether a sender that waits for room for an event of `size` bytes
    /// should try again. An event may be larger than the quarter that is free by
    /// then: without a look at its size its sender would try all the time.
    pub(crate) fn has_room(&self, size: u32) -> bool {
        let state = self.queue.load();
        state.is_closed()
            || state.is_below(self.rules.capacity.part(3, 4))
                && self.fits(size, QueuePart::Ordinary)
                && (!self.budget.is_short()
                    || state.takes(size, self.budget.allowance(), self.charged_to_owner()))
    }

    /// The number of times that the queue has fallen below half, or was emptied.
    pub(crate) fn times_relieved(&self) -> u64 {
        self.relieved.load(Ordering::Acquire)
    }

    pub(crate) fn load(&self) -> QueueState {
        self.queue.load()
    }

    // ---- the owner ----

    /// Returns whether anything waits to be delivered, or is about to be queued.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        !self.queue.load().is_empty()
    }

    /// See [`Claim::deliver`].
    pub(crate) fn deliver(&self, epoch: Epoch) -> Result<Delivery<'_>, NotOwner> {
        self.consume(epoch)
            .map(|in_flight| Delivery::begin(self, in_flight))
    }

    /// See [`Claim::try_deliver`].
    fn try_deliver(&self, epoch: Epoch) -> Option<Result<Delivery<'_>, NotOwner>> {
        let in_flight = match self.consumer.try_lock() {
            Ok(in_flight) => in_flight,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if !self.is_owned_at(epoch) {
            return Some(Err(NotOwner));
        }
        Some(Ok(Delivery::begin(self, in_flight)))
    }

    fn deliver_to_member<'s>(
        &'s self,
        membership: &'s Membership,
        room: Option<usize>,
    ) -> Result<Delivery<'s>, NotOwner> {
        let in_flight = (self.group()).fill(membership, room, &self.consumer, &self.queue);
        if membership.has_left() {
            return Err(NotOwner);
        }
        Ok(Delivery {
            mailbox: self,
            in_flight,
        })
    }

    /// Locks the consumer's side, for the owner of `epoch`.
    fn consume(&self, epoch: Epoch) -> Result<MutexGuard<'_, InFlight>, NotOwner> {
        let in_flight = lock(&self.consumer);
        if self.is_owned_at(epoch) {
            Ok(in_flight)
        } else {
            Err(NotOwner)
        }
    }

    /// Gives back the room of messages that were written, and wakes senders that
    /// wait for it.
    fn release(&self, messages: usize, charge: usize) {
        if messages == 0 && charge == 0 {
            return;
        }
        let (before, after) = self.queue.release(messages, charge);
        let below = |state: QueueState, part| state.is_below(self.rules.capacity.part(part, 4));
        // A queue can be too full for a large event while it is below half: it
        // is relieved when it is empty.
        if below(after, 2) && (!below(before, 2) || after.messages() == 0) {
            self.relieved.fetch_add(1, Ordering::AcqRel);
        }
        if below(after, 3) {
            self.waiters.wake_all();
        }
        self.release_share();
        self.budget.wake_waiting();
    }

    // ---- the share of the memory ----

    /// Reserves within the account's allowance, while memory is short.
    #[cold]
    fn reserve_of_share(
        &self,
        sizes: &[u32],
        total: usize,
        part: QueuePart,
    ) -> Result<usize, Closed> {
        self.budget.ask_for_share(&self.share);
        let (capacity, charged) = (self.rules.capacity_of(part), self.charged_to_owner());
        let allowance = self.budget.allowance();
        let granted = (self.queue).reserve_within(sizes, total, capacity, allowance, charged);
        self.release_share();
        granted
    }

    /// Bytes that all queues of the owner hold.
    fn charged_to_owner(&self) -> usize {
        let owner = self.owner.load();
        owner.as_ref().map_or(0, |owner| owner.charged_bytes())
    }

    /// Gives the share back, if the queue is empty.
    fn release_share(&self) {
        if self.queue.load().is_empty() {
            self.budget.release_share(&self.share);
        }
    }

    /// Returns whether the queue would take a frame of `size` bytes if the server
    /// had memory for it.
    #[cold]
    pub(crate) fn fits(&self, size: u32, part: QueuePart) -> bool {
        self.queue.fits(size, self.rules.capacity_of(part))
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
