//! The queues of broadcasts for one connection.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use super::conflation::ConflatedQueue;
use crate::budget::Share;
use crate::ids::ConnectionId;
use crate::router::connection::{Charged, ConnectionHandle};
use crate::router::mailbox::queue_state::Capacity;
use crate::router::mailbox::{Closed, Cut, DropNotice, Entry, Parts, Queue};
use crate::sync::{AtomicBool, Ordering};

pub(crate) struct BroadcastReceiver {
    pub(crate) handle: Arc<ConnectionHandle>,
    /// Broadcasts that wait. They are lost when the connection ends.
    pub(crate) queue: Queue,
    /// The queue used instead once the connection has subscribed to the latest only.
    conflated: OnceLock<Box<ConflatedQueue>>,
    /// Whether the budget counts the queue.
    is_counted: AtomicBool,
    /// The queues' share of the budget, while memory is short.
    share: Share,
}

impl BroadcastReceiver {
    pub(crate) fn new(handle: &Arc<ConnectionHandle>) -> Self {
        Self {
            handle: Arc::clone(handle),
            queue: Queue::default(),
            conflated: OnceLock::new(),
            is_counted: AtomicBool::new(false),
            share: Share::default(),
        }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.handle.id()
    }

    /// Queues broadcasts for which room is reserved, and wakes the connection.
    pub(crate) fn broadcast(&self, entry: Entry, reserved_bytes: usize) {
        if self.queue.enqueue(entry, reserved_bytes) {
            self.drain();
        } else {
            self.handle.wake();
        }
    }

    /// Queues parts of a read for which room is reserved, and the notice of a
    /// drop behind them.
    pub(crate) fn broadcast_parts(&self, parts: &Parts, notice: Option<DropNotice>, cut: &Cut<'_>) {
        if parts.messages > 0 {
            self.broadcast(cut.entry(parts, None), parts.bytes);
        }
        if let Some(notice) = notice {
            self.miss_broadcasts(notice);
        }
    }

    /// Notes a drop behind all that is queued, and wakes the connection.
    #[cold]
    pub(crate) fn miss_broadcasts(&self, notice: DropNotice) {
        self.queue.note_dropped(notice);
        self.handle.wake();
    }

    /// Whether broadcasts go through a conflated queue.
    pub(crate) fn conflates(&self) -> bool {
        self.conflated.get().is_some()
    }

    #[inline]
    pub(crate) fn conflated_queue(&self) -> Option<&ConflatedQueue> {
        self.conflated.get().map(|conflated| &**conflated)
    }

    /// Sends all broadcasts through a conflated queue from now on.
    pub(crate) fn start_conflating(&self) -> &ConflatedQueue {
        let new = || Box::new(ConflatedQueue::within(&self.handle.budget));
        self.conflated.get_or_init(new)
    }

    /// Drops all queued broadcasts, and refuses more.
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

    // ---- room ----

    /// Reserves room for the broadcasts that fit, from the first on, and returns
    /// their number.
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
        let charged = self.handle.charged_bytes();
        let allowance = self.handle.budget.allowance();
        let granted = (self.queue).reserve_within(sizes, total, capacity, allowance, charged);
        self.release_share();
        granted
    }

    /// Gives back the room of broadcasts that were delivered or given up.
    #[inline]
    pub(crate) fn release(&self, frames: usize, charge: usize) {
        if frames == 0 && charge == 0 {
            return;
        }
        self.queue.release(frames, charge);
        self.release_share();
        self.handle.budget.wake_waiting();
    }

    /// The part of `capacity` that the conflated queue may use while memory is
    /// short: none if it may not take a message of `size` bytes.
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
        if own == 0 && !allowance.takes(size, own, others, true) {
            return Capacity::default();
        }
        let bytes = capacity.bytes.min(allowance.of_queue(own, others));
        Capacity { bytes, ..capacity }
    }

    /// Gives the share back, if no broadcast waits.
    #[inline]
    pub(crate) fn release_share(&self) {
        let conflated = self.conflated_queue();
        if self.queue.load().is_empty() && conflated.is_none_or(|queue| queue.bytes() == 0) {
            self.handle.budget.release_share(&self.share);
        }
    }

    /// Has the budget count the queue, as it may hear broadcasts from now on.
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
        write!(f, "BroadcastReceiver({:?})", self.id())
    }
}
