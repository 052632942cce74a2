//! The part of the server's memory that the queue of a name may have. The rule
//! itself is in [`crate::budget`].

#![forbid(unsafe_code)]

use std::task::Waker;

use super::queue::Closed;
use super::{Mailbox, QueuePart};
use crate::ids::ConnectionId;

impl Mailbox {
    /// Reserves what the account may have while memory is short.
    #[cold]
    pub(super) fn reserve_of_share(
        &self,
        sizes: &[u32],
        total: usize,
        share: QueuePart,
    ) -> Result<usize, Closed> {
        self.budget.ask_for_share(&self.share);
        let capacity = self.capacity_of(share);
        let allowance = self.budget.allowance();
        let others = self.others_of_account();
        let granted = (self.queue).reserve_within(sizes, total, capacity, allowance, others);
        self.release_share();
        granted
    }

    /// Bytes that the queues of its owner hold beside this one.
    fn others_of_account(&self) -> usize {
        let own = self.queue.load().bytes();
        let owner = self.owner.load();
        owner
            .as_ref()
            .map_or(0, |owner| owner.charged_bytes().saturating_sub(own))
    }

    pub(super) fn release_share(&self) {
        if self.queue.load().is_empty() {
            self.budget.release_share(&self.share);
        }
    }

    /// Whether a frame of `size` bytes is within the server's memory now.
    pub(super) fn has_memory(&self, size: u32) -> bool {
        !self.budget.is_short() || {
            let (allowance, others) = (self.budget.allowance(), self.others_of_account());
            self.queue.load().takes(size, allowance, others)
        }
    }

    /// Whether the queue would take a frame of `size` bytes if the server had
    /// memory for it.
    #[cold]
    pub(crate) fn lacks_memory_only(&self, size: u32, share: QueuePart) -> bool {
        self.queue.fits(size, self.capacity_of(share))
    }

    /// Whether the server's memory is short.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.budget.is_short()
    }

    /// Has `waker` woken as well when the queue's account may have more of the
    /// server's memory.
    pub(crate) fn wait_for_memory(&self, id: ConnectionId, waker: &Waker) {
        self.budget.wait_for_room(id, waker);
    }

    /// The connection no longer waits for memory.
    pub(crate) fn stop_waiting_for_memory(&self, id: ConnectionId) {
        self.budget.stop_waiting(id);
    }
}
