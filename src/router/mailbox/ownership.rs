//! Changes of owner: taking a name over, joining and leaving its group, leaving
//! it, ending it; and the accepted ids that go from owner to owner.
//!
//! All but the attaching and dropping of accepted ids is to be called under the
//! registry's lock; [`Mailbox::end`] after the mailbox left the registry.

use std::sync::Arc;

use super::Mailbox;
use super::claim::{Excluded, Ownership};
use super::delivery::InFlight;
use super::group::Membership;
use super::undelivered::Undeliverable;
use crate::ids::Epoch;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::connection::{ConnectionHandle, Report};
use crate::sync::{Ordering, fence, lock};
use crate::wire::filter::Pointer;

impl Mailbox {
    /// Returns whether no connection owns the name.
    pub(crate) fn is_lingering(&self) -> bool {
        self.queue.load().is_closed()
    }

    /// Returns whether `handle` may have the name in the way that it asked for. One that
    /// `yields` doesn't take it from a connection that was made later.
    pub(crate) fn check(
        &self,
        handle: &ConnectionHandle,
        ownership: &Ownership,
        yields: bool,
    ) -> Result<(), Excluded> {
        if self.is_lingering() {
            return Ok(());
        }
        let owner = self.owner.load();
        match (ownership, &*owner) {
            (Ownership::Sole, Some(owner)) if yields && owner.id() > handle.id() => {
                Err(Excluded::Newer)
            }
            (Ownership::Sole, Some(_)) => Ok(()),
            (Ownership::Group { .. }, Some(owner)) if owner.id() == handle.id() => Ok(()),
            (Ownership::Group { .. }, Some(_)) => Err(Excluded::Owner),
            (_, None) => {
                let members = self.group().connections();
                let is_alone = members.iter().all(|member| member.id() == handle.id());
                match ownership {
                    _ if is_alone => Ok(()),
                    Ownership::Sole => Err(Excluded::Group),
                    Ownership::Group { key } if *key == self.group().key() => Ok(()),
                    Ownership::Group { .. } => Err(Excluded::Key),
                }
            }
        }
    }

    /// Gives the name to `new`. The earlier owner is told, and finishes the frame
    /// that it was writing; that frame goes whole to `new` as well.
    pub(crate) fn take_over(
        &self,
        new: &Arc<ConnectionHandle>,
    ) -> (Epoch, Option<Arc<ConnectionHandle>>) {
        let mut in_flight = lock(&self.consumer);
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        let old = self.owner.swap(Some(Arc::clone(new)));
        // A producer that woke the old owner had queued before: the new owner
        // looks behind this fence and finds it.
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

    /// Takes `handle` into the group that shares the name, which has no other
    /// owner.
    pub(crate) fn join(
        &self,
        handle: &Arc<ConnectionHandle>,
        key: Option<&Pointer>,
    ) -> (Epoch, Arc<Membership>) {
        let membership = self.group().join(handle, key, &self.consumer);
        self.queue.reopen();
        (Epoch(self.epoch.load(Ordering::Acquire)), membership)
    }

    /// Takes a member out. Returns whether it was the last: release the mailbox then.
    pub(crate) fn leave(&self, membership: &Membership) -> bool {
        let (messages, was_last) = self.group().leave(membership, &self.consumer);
        self.release(messages, 0);
        was_last
    }

    /// Closes the mailbox of an owner that leaves; its contents stay for the
    /// next. Returns whether there are any, accepted ids included.
    pub(crate) fn release_owner(&self) -> bool {
        let mut in_flight = lock(&self.consumer);
        self.queue.close();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        let old = self.owner.swap(None);
        self.take_back(&mut in_flight, old.as_deref());
        drop(in_flight);
        // Senders that count their stalls at this queue may forget them.
        self.relieved.fetch_add(1, Ordering::AcqRel);
        // Its fence is also for a group that comes next: see `take_over`.
        self.waiters.wake_all();
        !self.queue.load().is_empty() || self.accepted_ids.load().is_some()
    }

    /// Ends the mailbox. Messages that are still queued are given up and reported
    /// to their senders.
    pub(crate) fn end(&self) {
        let mut in_flight = lock(&self.consumer);
        self.queue.end();
        self.sweep(&mut in_flight);
        self.accepted_ids.store(None);
    }

    /// Bytes that are kept for the next owner.
    pub(crate) fn kept_bytes(&self) -> usize {
        let accepted_ids = self.accepted_ids.load();
        self.queue.load().bytes() + accepted_ids.as_ref().map_or(0, |ids| ids.bytes())
    }

    /// Attaches the accepted ids of the owner's connection: those that it has;
    /// those of the earlier owner, if it is resumed and was resumable; or new
    /// ones. `None` if the connection no longer owns the name, or if another has
    /// resumed it.
    pub(crate) fn attach_accepted_ids(
        &self,
        epoch: Epoch,
        owner: &Arc<ConnectionHandle>,
        resume: bool,
    ) -> Option<Arc<AcceptedIds>> {
        let _consumer = self.consume(epoch).ok()?;
        let attached = match (owner.accepted_ids(), self.accepted_ids.load_full()) {
            (Some(own), _) => own.is_used_by(owner).then_some(own),
            (None, Some(earlier)) if resume && earlier.can_be_resumed() => {
                earlier.resume(owner);
                Some(earlier)
            }
            (None, _) if resume => Some(Arc::new(AcceptedIds::substitute(owner))),
            (None, _) => Some(Arc::new(AcceptedIds::new(owner))),
        };
        if let Some(ids) = &attached {
            owner.set_accepted_ids(ids);
        }
        self.accepted_ids.store(attached.clone());
        attached
    }

    /// Forgets the accepted ids of the owner and of those before it.
    pub(crate) fn drop_accepted_ids(&self, epoch: Epoch) {
        if self.accepted_ids.load().is_some()
            && let Ok(_consumer) = self.consume(epoch)
        {
            self.accepted_ids.store(None);
        }
    }

    /// Makes the queue start with the first frame that is not wholly written; the
    /// old owner gets the rest of a frame that it had begun.
    fn take_back(&self, in_flight: &mut InFlight, old: Option<&ConnectionHandle>) {
        let broken_off = in_flight.break_off();
        if let (Some(rest), Some(old)) = (broken_off.rest, old) {
            old.leave_unfinished(rest);
        }
        self.release(broken_off.messages, 0);
        self.forget_stored(in_flight);
    }

    /// Gives up all entries of a queue that has ended.
    pub(super) fn sweep(&self, in_flight: &mut InFlight) {
        let mut given_up = Undeliverable::default();
        while let Some(entry) = in_flight.pop(&self.queue) {
            self.queue.release(entry.messages as usize, entry.charge);
            self.release_share();
            given_up.add(entry);
        }
        given_up.report(&self.name, &self.counters);
    }
}
