//! What is addressed to one name, in order, until the connection that owns the
//! name has taken it.
//!
//! Producers reserve, enqueue and wake, without a lock. The consumer's side
//! (who owns the name, what is being written and how much of it is) is behind
//! a mutex that only the owner, a takeover and the end of the name take. The
//! mailbox survives a takeover; the epoch tells the owner of today from those
//! before. When its owner leaves it is closed, and *lingers* with what it holds
//! until somebody claims the name or it is ended.

#![forbid(unsafe_code)]

pub(crate) mod claim;
pub(crate) mod cut;
pub(crate) mod delivery;
pub(crate) mod drop_notice;
pub(crate) mod entry_bytes;
pub(crate) mod flow_window;
pub(crate) mod group;
pub(crate) mod in_flight;
mod memory_share;
pub(crate) mod parts;
pub(crate) mod pause;
pub(crate) mod queue;
pub(crate) mod queue_state;
pub(crate) mod undelivered;

use std::sync::{Arc, OnceLock, TryLockError, Weak};
use std::task::Waker;

use bytes::Bytes;

use crate::budget::{Budget, Share};
use crate::ids::{ConnectionId, Epoch, Name};
use crate::limits::QUEUE_RESERVE_DIVISOR;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::connection::{Charged, ConnectionHandle, Report};
use crate::stats::Counters;
use crate::sync::lock;
use crate::sync::waiters::Waiters;
use crate::sync::{ArcSwapOption, AtomicU64, Mutex, MutexGuard, Ordering, fence};
use crate::wire::filter::Pointer;
use claim::{Excluded, Ownership};
use delivery::Delivery;
use drop_notice::DropNotice;
use group::{Group, Membership};
use in_flight::InFlight;
use queue::{Closed, Entry, Queue};
use queue_state::{Capacity, QueueState};
use undelivered::Undeliverable;

/// What becomes of an event that doesn't fit the queue of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Its sender is paused until there is room, and after `stall_timeout` it is
    /// refused.
    #[default]
    Pause,
    /// It is refused at once.
    Refuse,
    /// It is dropped: its sender is told so in the ack, the target in its
    /// stream.
    Drop,
}

/// How the queue of a name is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueRules {
    pub(crate) capacity: Capacity,
    pub(crate) overflow: Overflow,
}

/// Which part of the queue a message may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueuePart {
    /// All but the reserve.
    Ordinary,
    /// All of it: acks and errors never pause, so an eighth is kept for them.
    Whole,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Mailbox {
    name: Name,
    rules: QueueRules,
    /// Where messages that are given up are counted.
    counters: Arc<Counters>,
    pub(crate) queue: Queue,
    /// Whom to wake. Changed under the consumer's lock only.
    pub(crate) owner: ArcSwapOption<ConnectionHandle>,
    /// Counts the owners. Changed under the consumer's lock only.
    epoch: AtomicU64,
    /// What the owner has taken from the queue but not yet written; of a group,
    /// what members gave back.
    consumer: Mutex<InFlight>,
    /// Those who share the name. Made for the first that does.
    group: OnceLock<Box<Group>>,
    waiters: Waiters,
    /// Where what is queued is counted.
    pub(crate) budget: Arc<Budget>,
    /// Whether the queue counts as one that holds something.
    pub(crate) share: Share,
    /// How often the queue has fallen below half, or was emptied.
    relieved: AtomicU64,
    /// What the owner's connection has sent, if it is resumable and this is its
    /// first name. Changed under the consumer's lock only.
    memory: ArcSwapOption<AcceptedIds>,
}

/// The caller no longer owns the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOwner;

impl Mailbox {
    /// The mailbox of a name that nobody owns.
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
            memory: ArcSwapOption::empty(),
        }
    }

    /// The mailbox, as the account of its owner has it.
    pub(crate) fn charge(self: &Arc<Self>) -> Weak<dyn Charged> {
        let charged: Weak<Self> = Arc::downgrade(self);
        charged
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Whether `epoch` is still the owner's.
    pub(crate) fn is_owned_at(&self, epoch: Epoch) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch.0
    }

    // ---- producers ----

    /// Reserves room for as many of the frames as fit, from the first on.
    /// What is reserved must be enqueued.
    #[inline]
    pub(crate) fn reserve(
        &self,
        sizes: &[u32],
        total: usize,
        share: QueuePart,
    ) -> Result<usize, Closed> {
        if self.budget.is_short() {
            return self.reserve_of_share(sizes, total, share);
        }
        self.queue.reserve(sizes, total, self.capacity_of(share))
    }

    #[inline]
    pub(crate) fn capacity_of(&self, share: QueuePart) -> Capacity {
        match share {
            QueuePart::Whole => self.rules.capacity,
            QueuePart::Ordinary => self
                .rules
                .capacity
                .part(QUEUE_RESERVE_DIVISOR - 1, QUEUE_RESERVE_DIVISOR),
        }
    }

    /// Queues what was reserved and wakes the owner.
    pub(crate) fn enqueue(&self, entry: Entry, reserved_bytes: usize) {
        if self.queue.enqueue(entry, reserved_bytes) {
            // Ended since the reservation, and perhaps swept already.
            self.sweep(&mut lock(&self.consumer));
        } else {
            self.wake_owner();
        }
    }

    /// Notes what was dropped for the owner since the last entry.
    #[cold]
    pub(crate) fn note_dropped(&self, gap: DropNotice) {
        self.queue.note_dropped(gap);
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

    fn group(&self) -> &Group {
        self.group.get_or_init(Box::default)
    }

    /// What becomes of events that don't fit.
    pub(crate) fn overflow(&self) -> Overflow {
        self.rules.overflow
    }

    /// Has `waker` woken when the queue has fallen below three quarters, or its
    /// owner left. The caller must try again after this call.
    pub(crate) fn wait_for_room(&self, id: ConnectionId, waker: &Waker) {
        self.waiters.wait(id, waker);
    }

    /// The connection no longer waits for room.
    pub(crate) fn stop_waiting(&self, id: ConnectionId) {
        self.waiters.forget(id);
    }

    /// Whether who waits for room for an event of `size` bytes should try
    /// again. An event may be larger than the room that three quarters leave:
    /// to try it before it fits would be to try all the time.
    pub(crate) fn has_room(&self, size: u32) -> bool {
        let load = self.queue.load();
        load.is_closed()
            || load.is_below(self.rules.capacity.part(3, 4))
                && self.queue.fits(size, self.capacity_of(QueuePart::Ordinary))
                && self.has_memory(size)
    }

    /// How often the queue has fallen below half, or was emptied.
    pub(crate) fn times_relieved(&self) -> u64 {
        self.relieved.load(Ordering::Acquire)
    }

    /// What is reserved or queued.
    pub(crate) fn load(&self) -> QueueState {
        self.queue.load()
    }

    // ---- the owner ----

    /// Whether anything waits to be delivered (or is about to be queued).
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        !self.queue.load().is_empty()
    }

    /// See [`Claim::deliver`](claim::Claim::deliver).
    pub(crate) fn deliver(&self, epoch: Epoch) -> Result<Delivery<'_>, NotOwner> {
        self.consume(epoch)
            .map(|in_flight| Delivery::begin(self, in_flight))
    }

    /// See [`Claim::try_deliver`](claim::Claim::try_deliver).
    pub(crate) fn try_deliver(&self, epoch: Epoch) -> Option<Result<Delivery<'_>, NotOwner>> {
        let in_flight = match self.consumer.try_lock() {
            Ok(in_flight) => in_flight,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(if self.is_owned_at(epoch) {
            Ok(Delivery::begin(self, in_flight))
        } else {
            Err(NotOwner)
        })
    }

    /// Begins a delivery to a member of the group.
    pub(crate) fn deliver_to_member<'s>(
        &'s self,
        membership: &'s Membership,
        room: Option<usize>,
    ) -> Result<Delivery<'s>, NotOwner> {
        let in_flight = (self.group()).fill(membership, room, &self.consumer, &self.queue);
        if membership.has_left() {
            return Err(NotOwner);
        }
        Ok(Delivery::of_member(self, in_flight))
    }

    /// See [`Claim::take`](claim::Claim::take).
    pub(crate) fn take(&self, epoch: Epoch) -> Option<Bytes> {
        let entry = self.consume(epoch).ok()?.pop(&self.queue)?;
        Some(self.hand_over(entry))
    }

    /// The same for a member of the group.
    pub(crate) fn take_for_member(&self, membership: &Membership) -> Option<Bytes> {
        let mut in_flight = (self.group()).fill(membership, None, &self.consumer, &self.queue);
        let entry = in_flight.take_first()?;
        drop(in_flight);
        Some(self.hand_over(entry))
    }

    fn hand_over(&self, entry: Entry) -> Bytes {
        self.release(entry.messages as usize, entry.charge);
        entry.bytes.into()
    }

    fn consume(&self, epoch: Epoch) -> Result<MutexGuard<'_, InFlight>, NotOwner> {
        let in_flight = lock(&self.consumer);
        if self.is_owned_at(epoch) {
            Ok(in_flight)
        } else {
            Err(NotOwner)
        }
    }

    pub(crate) fn release(&self, messages: usize, charge: usize) {
        if messages == 0 && charge == 0 {
            return;
        }
        let (before, after) = self.queue.release(messages, charge);
        let below = |load: QueueState, part| load.is_below(self.rules.capacity.part(part, 4));
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

    // ---- changes of owner ----

    /// Whether no connection owns the name.
    pub(crate) fn is_lingering(&self) -> bool {
        self.queue.load().is_closed()
    }

    /// Gives the name to `new`. Whoever owned it is told, and finishes the
    /// frame it was writing; that frame goes whole to `new` as well. To be
    /// called under the registry's lock.
    pub(crate) fn take_over(
        &self,
        new: &Arc<ConnectionHandle>,
    ) -> (Epoch, Option<Arc<ConnectionHandle>>) {
        let mut in_flight = lock(&self.consumer);
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        let old = self.owner.swap(Some(Arc::clone(new)));
        // A producer whose wake went to the old owner had queued before: the
        // look that follows this fence finds it.
        fence(Ordering::SeqCst);
        self.take_back(&mut in_flight, old.as_deref());
        self.queue.reopen();
        drop(in_flight);
        if let Some(old) = &old {
            old.report(Report::NameTakenOver(self.name.clone()));
        }
        new.wake();
        (Epoch(epoch), old)
    }

    /// Whether `handle` may have the name in this way. To be called under the
    /// registry's lock.
    pub(crate) fn check(
        &self,
        handle: &ConnectionHandle,
        ownership: &Ownership,
    ) -> Result<(), Excluded> {
        if self.is_lingering() {
            return Ok(());
        }
        let owner = self.owner.load();
        match (ownership, &*owner) {
            (Ownership::Sole, Some(_)) => Ok(()),
            (Ownership::Group { .. }, Some(owner)) if owner.id() == handle.id() => Ok(()),
            (Ownership::Group { .. }, Some(_)) => Err(Excluded::Owner),
            (_, None) => {
                let others = self.group().handles();
                let alone = others.iter().all(|other| other.id() == handle.id());
                match ownership {
                    _ if alone => Ok(()),
                    Ownership::Sole => Err(Excluded::Group),
                    Ownership::Group { key } if *key == self.group().key() => Ok(()),
                    Ownership::Group { .. } => Err(Excluded::Key),
                }
            }
        }
    }

    /// The key that the group has agreed on.
    pub(crate) fn group_key(&self) -> Option<Pointer> {
        self.group().key()
    }

    /// Takes `handle` into the group that shares the name, which has no other
    /// owner. To be called under the registry's lock.
    pub(crate) fn join(
        &self,
        handle: &Arc<ConnectionHandle>,
        key: Option<&Pointer>,
    ) -> (Epoch, Arc<Membership>) {
        let membership = self.group().join(handle, key, &self.consumer);
        self.queue.reopen();
        (Epoch(self.epoch.load(Ordering::Acquire)), membership)
    }

    /// A member leaves the group. Says whether it was the last: then the mailbox
    /// is to be let go. To be called under the registry's lock.
    pub(crate) fn leave(&self, membership: &Membership) -> bool {
        let (messages, was_last) = self.group().leave(membership, &self.consumer);
        self.release(messages, 0);
        was_last
    }

    /// The owner leaves: nothing more can be queued, and what is stays for the
    /// next. Says whether anything is, be it only what the owner has
    /// sent. To be called under the registry's lock.
    pub(crate) fn release_owner(&self) -> bool {
        let mut in_flight = lock(&self.consumer);
        self.queue.close();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let old = self.owner.swap(None);
        self.take_back(&mut in_flight, old.as_deref());
        drop(in_flight);
        // Who keeps account of this queue's stalls has nothing to keep any more.
        self.relieved.fetch_add(1, Ordering::AcqRel);
        // Its fence is also for a group that comes next: see `take_over`.
        self.waiters.wake_all();
        !self.queue.load().is_empty() || self.memory.load().is_some()
    }

    /// Ends the mailbox, after it was let go and taken out of the registry. What
    /// is still queued is given up and reported to those who sent it.
    pub(crate) fn end(&self) {
        let mut in_flight = lock(&self.consumer);
        self.queue.end();
        self.sweep(&mut in_flight);
        self.memory.store(None);
    }

    /// Bytes that are held for the next owner.
    pub(crate) fn kept_bytes(&self) -> usize {
        let memory = self.memory.load();
        self.queue.load().bytes() + memory.as_ref().map_or(0, |memory| memory.bytes())
    }

    // ---- what the owner has sent ----

    /// Remembers what the owner's connection sends from now on, where it does
    /// already; or in place of an earlier connection, if it is resumed and was
    /// resumable; or anew. `None` if the connection no longer owns the name, or
    /// if another has resumed it.
    pub(crate) fn attach_accepted_ids(
        &self,
        epoch: Epoch,
        owner: &Arc<ConnectionHandle>,
        resume: bool,
    ) -> Option<Arc<AcceptedIds>> {
        let _consumer = self.consume(epoch).ok()?;
        let memory = match (owner.accepted_ids(), self.memory.load_full()) {
            (Some(own), _) => own.is_used_by(owner).then_some(own),
            (None, Some(earlier)) if resume && earlier.can_be_resumed() => {
                earlier.resume(owner);
                Some(earlier)
            }
            (None, _) if resume => Some(Arc::new(AcceptedIds::substitute(owner))),
            (None, _) => Some(Arc::new(AcceptedIds::new(owner))),
        };
        if let Some(memory) = &memory {
            owner.set_accepted_ids(memory);
        }
        self.memory.store(memory.clone());
        memory
    }

    /// What was sent by the owner, or one before it, is not remembered.
    pub(crate) fn drop_accepted_ids(&self, epoch: Epoch) {
        if self.memory.load().is_some()
            && let Ok(_consumer) = self.consume(epoch)
        {
            self.memory.store(None);
        }
    }

    /// Makes the queue start with the first frame that is not wholly written;
    /// the old owner gets what is missing of a frame it had begun.
    fn take_back(&self, in_flight: &mut InFlight, old: Option<&ConnectionHandle>) {
        let broken_off = in_flight.break_off();
        if let (Some(rest), Some(old)) = (broken_off.rest, old) {
            old.leave_unfinished(rest);
        }
        self.release(broken_off.messages, 0);
    }

    /// Gives up everything that a queue that has ended still holds.
    fn sweep(&self, in_flight: &mut InFlight) {
        let mut given_up = Undeliverable::default();
        while let Some(entry) = in_flight.pop(&self.queue) {
            self.queue.release(entry.messages as usize, entry.charge);
            self.release_share();
            given_up.add(entry);
        }
        given_up.report(&self.name, &self.counters);
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
