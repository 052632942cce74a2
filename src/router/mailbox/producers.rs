//! The producers' side of a mailbox: reserving room, queueing, waking the owner,
//! and waiting for room.

use std::task::Waker;

use super::Mailbox;
use super::drop_notice::DropNotice;
use super::entry::Entry;
use super::queue::Closed;
use super::queue_state::QueueState;
use super::rules::QueuePart;
use crate::config::Overflow;
use crate::ids::ConnectionId;
use crate::sync::{Ordering, lock};

impl Mailbox {
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

    /// The fate of events that don't fit.
    pub(crate) fn overflow(&self) -> Overflow {
        self.rules.overflow
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
                && (self.queue).fits(size, self.rules.capacity_of(QueuePart::Ordinary))
                && self.has_memory(size)
    }

    /// The number of times that the queue has fallen below half, or was emptied.
    pub(crate) fn times_relieved(&self) -> u64 {
        self.relieved.load(Ordering::Acquire)
    }

    /// The messages and bytes that are reserved or queued.
    pub(crate) fn load(&self) -> QueueState {
        self.queue.load()
    }
}
