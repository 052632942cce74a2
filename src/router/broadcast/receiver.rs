//! The queues of the broadcasts that one connection hears.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use super::conflation::ConflatedQueue;
use crate::budget::Share;
use crate::ids::ConnectionId;
use crate::router::connection::{Charged, ConnectionHandle};
use crate::router::mailbox::{Capacity, Closed, Cut, DropNotice, Entry, Parts, Queue, Reservation};
use crate::sync::{AtomicBool, Ordering};

/// See the [module](self).
pub(crate) struct BroadcastReceiver {
    pub(crate) handle: Arc<ConnectionHandle>,
    /// The broadcasts that wait. They die with the connection.
    pub(crate) queue: Queue,
    /// Where broadcasts go instead, once the connection has asked for the
    /// latest only.
    conflated: OnceLock<Box<ConflatedQueue>>,
    /// Whether the budget counts its queue.
    is_counted: AtomicBool,
    /// Whether its queue counts as one that holds something.
    share: Share,
}

impl BroadcastReceiver {
    /// One that hears nothing yet.
    pub(crate) fn new(handle: &Arc<ConnectionHandle>) -> Self {
        Self {
            handle: Arc::clone(handle),
            queue: Queue::default(),
            conflated: OnceLock::new(),
            is_counted: AtomicBool::new(false),
            share: Share::default(),
        }
    }

    /// The connection whose broadcasts these are.
    pub(crate) fn id(&self) -> ConnectionId {
        self.handle.id()
    }

    /// Queues a broadcast for which room is reserved, and wakes the connection.
    pub(crate) fn broadcast(&self, entry: Entry, reserved_bytes: usize) {
        let messages = entry.messages as usize;
        self.broadcast_within(
            entry,
            Reservation {
                messages,
                bytes: reserved_bytes,
            },
        );
    }

    /// The same, where the room that was reserved may be more than the entry
    /// takes.
    pub(crate) fn broadcast_within(&self, entry: Entry, reserved: Reservation) {
        if self.queue.enqueue_within(entry, reserved) {
            self.drain();
        } else {
            self.handle.wake();
        }
    }

    /// Queues a part of a read for which room is reserved, and notes what was
    /// dropped behind it.
    pub(crate) fn broadcast_parts(&self, parts: &Parts, gap: Option<DropNotice>, cut: &Cut<'_>) {
        if parts.messages > 0 {
            self.broadcast(cut.entry(parts, None), parts.bytes);
        }
        if let Some(gap) = gap {
            self.miss_broadcasts(gap);
        }
    }

    /// Notes what was dropped of the broadcasts since the last entry.
    #[cold]
    pub(crate) fn miss_broadcasts(&self, gap: DropNotice) {
        self.queue.note_dropped(gap);
        self.handle.wake();
    }

    /// Whether broadcasts go through a conflating lane.
    pub(crate) fn conflates(&self) -> bool {
        self.conflated.get().is_some()
    }

    /// The lane that broadcasts go through, if that is a conflating one.
    #[inline]
    pub(crate) fn conflated_queue(&self) -> Option<&ConflatedQueue> {
        self.conflated.get().map(|conflated| &**conflated)
    }

    /// Has all broadcasts go through a conflating lane from now on.
    pub(crate) fn start_conflating(&self) -> &ConflatedQueue {
        let new = || Box::new(ConflatedQueue::within(&self.handle.budget));
        self.conflated.get_or_init(new)
    }

    /// The connection hears no more broadcasts; those queued die with it.
    pub(crate) fn close_broadcasts(&self) {
        self.queue.end();
        self.drain();
        if let Some(conflated) = self.conflated_queue() {
            conflated.close();
        }
    }

    fn drain(&self) {
        while let Some(entry) = self.queue.pop() {
            self.release(entry.messages as usize, entry.charge);
        }
    }

    // ---- its share of the memory ----

    /// Reserves room for broadcasts, for as many as fit from the first on.
    #[inline]
    pub(crate) fn reserve(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
    ) -> Result<usize, Closed> {
        if self.handle.budget.is_short() {
            return self.reserve_of_share(sizes, total, capacity);
        }
        self.queue.reserve(sizes, total, capacity)
    }

    #[cold]
    fn reserve_of_share(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
    ) -> Result<usize, Closed> {
        self.handle.budget.ask_for_share(&self.share);
        let own = self.queue.load();
        let others = self.handle.charged_bytes().saturating_sub(own.bytes());
        let allowance = self.handle.budget.allowance();
        let granted = (self.queue).reserve_within(sizes, total, capacity, allowance, others);
        self.release_share();
        granted
    }

    /// Reserves `room` for broadcasts, all of it or nothing.
    #[inline]
    pub(crate) fn reserve_whole(
        &self,
        room: Reservation,
        capacity: Capacity,
    ) -> Result<bool, Closed> {
        // While memory is short, nothing is reserved ahead.
        let is_short = self.handle.budget.is_short();
        match is_short && !self.queue.load().is_closed() {
            true => Ok(false),
            false => self.queue.reserve_whole(room, capacity),
        }
    }

    /// Gives back room of broadcasts.
    #[inline]
    pub(crate) fn release(&self, messages: usize, charge: usize) {
        if messages == 0 && charge == 0 {
            return;
        }
        self.queue.release(messages, charge);
        self.release_share();
        self.handle.budget.wake_waiting();
    }

    /// What of the capacity of a conflating lane that has `own` bytes is there
    /// for it now: none at all if it doesn't take a message of `size` bytes.
    #[inline]
    pub(crate) fn capacity_of_conflated(
        &self,
        conflated: &ConflatedQueue,
        size: usize,
        capacity: Capacity,
    ) -> Capacity {
        if self.handle.budget.is_short() {
            return self.share_of_conflated(conflated, size, capacity);
        }
        capacity
    }

    #[cold]
    fn share_of_conflated(
        &self,
        conflated: &ConflatedQueue,
        size: usize,
        capacity: Capacity,
    ) -> Capacity {
        self.handle.budget.ask_for_share(&self.share);
        let own = conflated.bytes();
        let others = self.handle.charged_bytes().saturating_sub(own);
        let allowance = self.handle.budget.allowance();
        let bytes = capacity.bytes.min(allowance.of_queue(own, others));
        match own == 0 && !allowance.takes(size, own, others, true) {
            true => Capacity {
                bytes: 0,
                messages: 0,
            },
            false => Capacity { bytes, ..capacity },
        }
    }

    /// No broadcast holds memory any more, if none does.
    #[inline]
    pub(crate) fn release_share(&self) {
        if self.queue.load().is_empty()
            && self
                .conflated_queue()
                .is_none_or(|conflated| conflated.bytes() == 0)
        {
            self.handle.budget.release_share(&self.share);
        }
    }

    /// It may hear broadcasts from now on.
    pub(crate) fn join(self: &Arc<Self>) {
        if !self.is_counted.swap(true, Ordering::AcqRel) {
            self.handle.budget.add_queue();
            let queue: Weak<Self> = Arc::downgrade(self);
            self.handle.charge(queue);
        }
    }
}

impl Charged for BroadcastReceiver {
    fn charged_bytes(&self) -> usize {
        let conflated = self.conflated_queue().map_or(0, ConflatedQueue::bytes);
        self.queue.load().bytes() + conflated
    }
}

impl Drop for BroadcastReceiver {
    fn drop(&mut self) {
        if self.is_counted.load(Ordering::Acquire) {
            self.handle.budget.remove_queue(&self.share);
        }
    }
}

impl fmt::Debug for BroadcastReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BroadcastReceiver")
            .field(&self.id())
            .finish()
    }
}
