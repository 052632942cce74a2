//! The owner's side of a mailbox: deliveries, and the release of room.

use std::sync::TryLockError;

use super::delivery::Delivery;
use super::group::Membership;
use super::in_flight::InFlight;
use super::queue_state::QueueState;
use super::{Mailbox, NotOwner};
use crate::ids::Epoch;
use crate::sync::{MutexGuard, Ordering, lock};

impl Mailbox {
    /// Returns whether anything waits to be delivered, or is about to be queued.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        !self.queue.load().is_empty()
    }

    /// See [`Claim::deliver`](super::Claim::deliver).
    pub(crate) fn deliver(&self, epoch: Epoch) -> Result<Delivery<'_>, NotOwner> {
        self.consume(epoch)
            .map(|in_flight| Delivery::begin(self, in_flight))
    }

    /// See [`Claim::try_deliver`](super::Claim::try_deliver).
    pub(super) fn try_deliver(&self, epoch: Epoch) -> Option<Result<Delivery<'_>, NotOwner>> {
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
    pub(super) fn deliver_to_member<'s>(
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

    /// Gives back the buffers that the owner doesn't need while it is idle.
    pub(super) fn shrink(&self, epoch: Epoch) {
        if let Ok(mut in_flight) = self.consume(epoch) {
            in_flight.shrink();
        }
    }

    /// Locks the consumer's side, for the owner of `epoch`.
    pub(super) fn consume(&self, epoch: Epoch) -> Result<MutexGuard<'_, InFlight>, NotOwner> {
        let in_flight = lock(&self.consumer);
        if self.is_owned_at(epoch) {
            Ok(in_flight)
        } else {
            Err(NotOwner)
        }
    }

    /// Gives back the room of messages that were written, and wakes senders that
    /// wait for it.
    pub(super) fn release(&self, messages: usize, charge: usize) {
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
}
