//! The queue's share of the server's memory. The rule is in [`crate::budget`].

use super::Mailbox;
use super::queue::Closed;
use super::rules::QueuePart;

impl Mailbox {
    /// Reserves within the account's allowance, while memory is short.
    #[cold]
    pub(super) fn reserve_of_share(
        &self,
        sizes: &[u32],
        total: usize,
        part: QueuePart,
    ) -> Result<usize, Closed> {
        self.budget.ask_for_share(&self.share);
        let capacity = self.rules.capacity_of(part);
        let allowance = self.budget.allowance();
        let others = self.others_of_account();
        let granted = (self.queue).reserve_within(sizes, total, capacity, allowance, others);
        self.release_share();
        granted
    }

    /// Bytes that the owner's other queues hold.
    fn others_of_account(&self) -> usize {
        let own = self.queue.load().bytes();
        let owner = self.owner.load();
        owner
            .as_ref()
            .map_or(0, |owner| owner.charged_bytes().saturating_sub(own))
    }

    /// Gives the share back, if the queue is empty.
    pub(super) fn release_share(&self) {
        if self.queue.load().is_empty() {
            self.budget.release_share(&self.share);
        }
    }

    /// Returns whether the account may have a frame of `size` bytes more now.
    pub(super) fn has_memory(&self, size: u32) -> bool {
        !self.budget.is_short() || {
            let (allowance, others) = (self.budget.allowance(), self.others_of_account());
            self.queue.load().takes(size, allowance, others)
        }
    }

    /// Returns whether the queue would take a frame of `size` bytes if the server
    /// had memory for it.
    #[cold]
    pub(crate) fn lacks_memory_only(&self, size: u32, part: QueuePart) -> bool {
        self.queue.fits(size, self.rules.capacity_of(part))
    }
}
