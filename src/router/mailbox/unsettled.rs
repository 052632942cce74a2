//! Messages of a durable name that its owner has been handed, or is about to be, and
//! that are not settled yet.
//!
//! They belong to one epoch of the name. When it ends they are forgotten here: the store
//! has them, and delivers them to the next owner.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::entry::Entry;
use super::{InFlight, Mailbox, NotOwner};
use crate::ids::{Epoch, Name};
use crate::sync::lock;

/// A message that the store keeps until it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredMessage {
    /// The sender.
    pub(crate) source: Name,
    /// Its id, as a number.
    pub(crate) msg_id: u128,
    /// The store's number of the record that holds it.
    pub(crate) record: u64,
    /// The store's number of the message among those for its target.
    pub(crate) sequence: u64,
    /// Its bytes, length prefix included.
    pub(crate) bytes: u32,
}

/// The deliveries that can be settled. Ids are unique for each source only.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    by_id: HashMap<u128, SmallVec<[StoredMessage; 1]>>,
    count: usize,
}

impl Unsettled {
    fn add(&mut self, message: StoredMessage) {
        self.by_id.entry(message.msg_id).or_default().push(message);
        self.count += 1;
    }

    /// Takes the oldest delivery of a message.
    fn take(&mut self, source: &[u8], msg_id: u128) -> Option<StoredMessage> {
        let same_id = self.by_id.get_mut(&msg_id)?;
        let mut known = same_id.iter();
        let index = known.position(|message| message.source.as_bytes() == source)?;
        let taken = same_id.remove(index);
        if same_id.is_empty() {
            self.by_id.remove(&msg_id);
        }
        self.count -= 1;
        Some(taken)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Mailbox {
    pub(crate) fn is_durable(&self) -> bool {
        self.rules.durable
    }

    /// Queues messages that the store keeps, for the owner of `epoch`. Room for them
    /// must be reserved.
    ///
    /// # Errors
    /// The epoch has ended. The room is given back.
    pub(crate) fn deliver_stored(
        &self,
        epoch: Epoch,
        messages: impl IntoIterator<Item = StoredMessage>,
        entry: Entry,
        reserved_bytes: usize,
    ) -> Result<(), NotOwner> {
        let Ok(in_flight) = self.consume(epoch) else {
            self.release(entry.messages as usize, reserved_bytes);
            return Err(NotOwner);
        };
        let mut unsettled = lock(&self.unsettled);
        // Before they can be read, and acknowledged.
        messages
            .into_iter()
            .for_each(|message| unsettled.add(message));
        drop(unsettled);
        // Under the lock of the consumer: whoever ends the epoch finds it in the queue.
        let has_ended = self.queue.enqueue(entry, reserved_bytes);
        debug_assert!(!has_ended, "a queue with an owner has not ended");
        drop(in_flight);
        self.wake_owner();
        Ok(())
    }

    /// Settles the oldest delivery of a message in `epoch`, and returns it.
    pub(crate) fn settle(
        &self,
        epoch: Epoch,
        source: &[u8],
        msg_id: u128,
    ) -> Option<StoredMessage> {
        let mut unsettled = lock(&self.unsettled);
        // An epoch is ended before its deliveries are forgotten.
        self.is_owned_at(epoch)
            .then(|| unsettled.take(source, msg_id))?
    }

    /// Takes messages back whose settlement was not stored, if the epoch still holds.
    pub(crate) fn put_back(&self, epoch: Epoch, messages: &[StoredMessage]) {
        let mut unsettled = lock(&self.unsettled);
        if self.is_owned_at(epoch) {
            let messages = messages.iter().cloned();
            messages.for_each(|message| unsettled.add(message));
        }
    }

    /// The number of deliveries that are not settled.
    pub(crate) fn unsettled(&self) -> usize {
        lock(&self.unsettled).count
    }

    /// Takes the messages that the store keeps out of the queue, at the end of an epoch.
    pub(super) fn forget_stored(&self, in_flight: &mut InFlight) {
        if !self.is_durable() {
            return;
        }
        lock(&self.unsettled).clear();
        in_flight.fill_whole(&self.queue);
        let (mut messages, mut charge) = (0, 0);
        in_flight.entries.retain(|entry| {
            if entry.is_stored {
                messages += entry.messages as usize;
                charge += entry.charge;
            }
            !entry.is_stored
        });
        self.release(messages, charge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str, msg_id: u128, sequence: u64) -> StoredMessage {
        StoredMessage {
            source: Name::new(source).unwrap(),
            msg_id,
            record: 1,
            sequence,
            bytes: 100,
        }
    }

    #[test]
    fn the_oldest_delivery_with_source_and_id_is_settled() {
        let mut unsettled = Unsettled::default();
        for (source, sequence) in [("a", 1), ("b", 2), ("a", 3)] {
            unsettled.add(message(source, 7, sequence));
        }
        unsettled.add(message("a", 8, 4));
        let mut settled = |source: &str, msg_id| {
            let taken = unsettled.take(source.as_bytes(), msg_id);
            taken.map(|message| message.sequence)
        };
        assert_eq!(settled("a", 9), None);
        assert_eq!(settled("c", 7), None);
        assert_eq!(settled("a", 7), Some(1));
        assert_eq!(settled("a", 7), Some(3));
        assert_eq!(settled("a", 7), None);
        assert_eq!(settled("b", 7), Some(2));
        assert_eq!(settled("a", 8), Some(4));
        assert_eq!((unsettled.count, unsettled.by_id.len()), (0, 0));
    }
}
