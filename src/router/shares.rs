//! What a queue may have of the server's memory, and what a session counts as
//! its part of it. The rule itself is in [`super::budget`].

use std::task::Waker;

use super::budget::Of;
use super::outbox::{Outbox, Share};
use super::queue::Closed;
use super::session::Session;
use crate::ids::ConnectionId;

impl Outbox {
    /// Reserves what the account may have while memory is short.
    #[cold]
    pub(super) fn reserve_of_share(
        &self,
        sizes: &[u32],
        total: usize,
        share: Share,
    ) -> Result<usize, Closed> {
        self.budget.ask_for_share(&self.holds);
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
            .map_or(0, |owner| owner.bytes().saturating_sub(own))
    }

    pub(super) fn release_share(&self) {
        if self.queue.load().is_empty() {
            self.budget.release_share(&self.holds);
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
    pub(crate) fn lacks_memory_only(&self, size: u32, share: Share) -> bool {
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

impl Session {
    /// How much may be read, where `held` bytes that were received are not taken:
    /// nothing while memory is short, if they are more than every connection may
    /// have.
    #[must_use]
    pub fn room_to_read(&self, held: usize) -> usize {
        self.shared.budget.room_to_read(held)
    }

    /// Counts what was received and not taken: `bytes` from now on.
    #[inline]
    pub fn hold_input(&mut self, bytes: usize) {
        (self.shared.budget).recount(Of::Input, &mut self.counted.1, bytes);
    }

    /// Has `waker` woken when there may be room to read, until
    /// [`Session::stop_waiting_to_read`]. Ask again afterwards.
    pub fn wait_to_read(&self, waker: &Waker) {
        self.shared.budget.wait_to_read(self.peer.id(), waker);
    }

    /// Reading is not waited for any more.
    pub fn stop_waiting_to_read(&self) {
        self.shared.budget.stop_waiting_to_read(self.peer.id());
    }

    #[inline]
    pub(super) fn count_answers(&mut self) {
        let bytes = self.answers.held_bytes();
        (self.shared.budget).recount(Of::Queued, &mut self.counted.0, bytes);
    }
}
