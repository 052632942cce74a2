//! The messages that wait for a slow receiver, in the order of their delivery.
//!
//! A message stands in a slot. Replaced in its slot, it keeps its place in the
//! order; replaced by a message further behind, it leaves its slot vacant.

use std::collections::VecDeque;

use super::keys::{KeyIds, KeyTable, SlotRef};
use crate::router::broadcast::subscriptions::Keys;
use crate::router::mailbox::queue_state::Capacity;
use crate::router::mailbox::{DropNotice, EntryBytes};

/// Vacant slots that are tolerated before the others move up.
const VACANT_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    is_closed: bool,
    /// The slots in the order of delivery; a vacant one is `None`.
    slots: VecDeque<Option<Slot>>,
    vacant: usize,
    /// The first slot.
    first: SlotRef,
    keys: KeyTable,
    /// The messages that wait or are in flight, but for those without a charge.
    pub(super) messages: usize,
    /// The charge of all that waits or is in flight.
    pub(super) bytes: usize,
    pub(super) is_writing: bool,
    /// The keys of the messages in flight. A key is taken out when an unconflated
    /// message with it arrives.
    in_flight: Vec<u32>,
}

#[derive(Debug)]
enum Slot {
    Message(Message),
    /// The report of messages that were dropped here.
    DropNotice(Box<DropNotice>),
}

/// A message, or the report of a drop once it is taken out.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) frame: EntryBytes,
    /// The bytes charged for it; 0 for a message of a snapshot and a report,
    /// which need no room.
    pub(super) charge: usize,
    /// The keys of which it is the newest message.
    keys: KeyIds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushOutcome {
    /// The message waits, and this many older ones are gone.
    Queued { replaced: u32 },
    /// There is no room for the message.
    Dropped,
    /// The connection hears no more broadcasts.
    Closed,
}

impl Backlog {
    /// Pushes a message of `bytes` bytes, made by `frame`, that is the newest of
    /// its keys. It needs no room if `capacity` is `None`.
    pub(super) fn push(
        &mut self,
        bytes: usize,
        frame: impl FnOnce() -> EntryBytes,
        keys: &Keys,
        capacity: Option<Capacity>,
    ) -> PushOutcome {
        if self.is_closed {
            return PushOutcome::Closed;
        }
        let mut ids = KeyIds::default();
        for key in keys.iter() {
            ids.push(self.keys.id(key));
        }
        let replaceable = self.replaceable(&ids);
        let older = replaceable.and_then(|slot| self.message(slot));
        let freed = older.map_or(0, |older| older.charge);
        let has_room = capacity.is_none_or(|capacity| self.has_room(bytes, freed, capacity));
        let mut pushed = PushOutcome::Dropped;
        if has_room {
            self.discharge(freed);
            let replaced = match replaceable {
                Some(slot) => {
                    let message = self.charge(ids, frame, slot, capacity);
                    let index = self.index(slot);
                    self.slots[index] = Some(Slot::Message(message));
                    1
                }
                None => self.append(ids, frame, capacity),
            };
            pushed = PushOutcome::Queued { replaced };
        }
        if !self.is_writing {
            self.keys.tidy();
        }
        pushed
    }

    /// Detaches each of `keys` from the message that waits with it, because an
    /// unconflated message with these keys comes now. A later message with one
    /// of them can then replace no message in front of it.
    pub(super) fn detach_keys(&mut self, keys: &Keys) {
        for key in keys.iter() {
            let id = self.keys.id(key);
            self.in_flight.retain(|other| *other != id);
            if let Some(slot) = self.keys.newest(id) {
                self.detach(id, slot);
            }
        }
    }

    /// Finds the slot into which a newer message with the keys `ids` can move:
    /// the one there is the newest of every one of these keys, and has no
    /// others.
    fn replaceable(&self, ids: &KeyIds) -> Option<SlotRef> {
        let mut slots = ids.iter().map(|id| self.keys.newest(id));
        let slot = slots.next()??;
        let has_no_others = |older: &Message| older.keys.iter().all(|id| ids.contains(id));
        let is_newest_of_all = slots.all(|other| other == Some(slot));
        (is_newest_of_all && has_no_others(self.message(slot)?)).then_some(slot)
    }

    /// Appends a message. Returns how many older ones it replaced.
    fn append(
        &mut self,
        ids: KeyIds,
        frame: impl FnOnce() -> EntryBytes,
        capacity: Option<Capacity>,
    ) -> u32 {
        let mut replaced = 0;
        for id in ids.iter() {
            if let Some(older) = self.keys.newest(id)
                && self.detach(id, older)
            {
                self.remove(older);
                replaced += 1;
            }
        }
        let slot = SlotRef(self.first.0 + self.slots.len() as u64);
        let message = self.charge(ids, frame, slot, capacity);
        self.slots.push_back(Some(Slot::Message(message)));
        self.compact();
        replaced
    }

    /// Makes the message that belongs into `slot`, and charges the backlog for
    /// it.
    fn charge(
        &mut self,
        keys: KeyIds,
        frame: impl FnOnce() -> EntryBytes,
        slot: SlotRef,
        capacity: Option<Capacity>,
    ) -> Message {
        for id in keys.iter() {
            self.keys.set_newest(id, Some(slot));
        }
        let frame = frame();
        let charge = capacity.map_or(0, |_| held_bytes(&frame));
        self.messages += usize::from(charge > 0);
        self.bytes += charge;
        Message {
            frame,
            charge,
            keys,
        }
    }

    fn discharge(&mut self, charge: usize) {
        self.messages -= usize::from(charge > 0);
        self.bytes -= charge;
    }

    /// Whether a message of `bytes` bytes fits once a message charged `freed` is
    /// gone. An empty backlog takes any one message.
    fn has_room(&self, bytes: usize, freed: usize, capacity: Capacity) -> bool {
        let messages = self.messages - usize::from(freed > 0);
        capacity.messages > 0 && messages == 0
            || messages < capacity.messages && self.bytes - freed + bytes <= capacity.bytes
    }

    /// Takes a key from the message in `slot`, which is no longer the newest of
    /// it. Returns whether that was its last key.
    fn detach(&mut self, id: u32, slot: SlotRef) -> bool {
        self.keys.set_newest(id, None);
        let index = self.index(slot);
        match self.slots.get_mut(index) {
            Some(Some(Slot::Message(message))) => {
                message.keys.remove(id);
                message.keys.is_empty()
            }
            _ => false,
        }
    }

    fn remove(&mut self, slot: SlotRef) {
        let index = self.index(slot);
        if let Some(Some(Slot::Message(message))) = self.slots.get_mut(index).map(Option::take) {
            self.vacant += 1;
            self.discharge(message.charge);
        }
    }

    /// Notes a drop behind all that waits.
    pub(super) fn note_dropped(&mut self, notice: DropNotice) {
        match self.slots.back_mut() {
            Some(Some(Slot::DropNotice(known))) => known.extend(&notice),
            _ => (self.slots).push_back(Some(Slot::DropNotice(Box::new(notice)))),
        }
    }

    pub(super) fn take(&mut self) -> Option<Message> {
        loop {
            let slot = self.slots.pop_front()?;
            self.first.0 += 1;
            match slot {
                None => self.vacant -= 1,
                Some(Slot::DropNotice(notice)) => return Some(Message::report(&notice)),
                Some(Slot::Message(message)) => {
                    for id in message.keys.iter() {
                        self.keys.set_newest(id, None);
                        self.in_flight.push(id);
                    }
                    return Some(message);
                }
            }
        }
    }

    /// Puts an unwritten message back in front of all others, unless each of its
    /// keys has a newer one by now. Returns false if it was replaced so.
    pub(super) fn give_back(&mut self, mut message: Message) -> bool {
        if self.is_closed {
            return true;
        }
        let slot = SlotRef(self.first.0 - 1);
        let keys = message.keys.clone();
        let mut is_wanted = keys.is_empty();
        for id in keys.iter() {
            if self.keys.newest(id).is_some() {
                message.keys.remove(id);
                continue;
            }
            is_wanted = true;
            if self.in_flight.contains(&id) {
                self.keys.set_newest(id, Some(slot));
            } else {
                // An unconflated message has come: see `detach_keys`.
                message.keys.remove(id);
            }
        }
        if !is_wanted {
            self.discharge(message.charge);
            return false;
        }
        self.first = slot;
        self.slots.push_front(Some(Slot::Message(message)));
        true
    }

    pub(super) fn end_write(&mut self) {
        self.is_writing = false;
        self.in_flight.clear();
    }

    /// Drops all that waits, and refuses everything from now on.
    pub(super) fn close(&mut self) {
        *self = Self {
            is_closed: true,
            messages: self.messages,
            bytes: self.bytes,
            ..Self::default()
        };
    }

    /// The number of messages and notices that wait.
    pub(super) fn waiting(&self) -> usize {
        self.slots.len() - self.vacant
    }

    fn message(&self, slot: SlotRef) -> Option<&Message> {
        match self.slots.get(self.index(slot)) {
            Some(Some(Slot::Message(message))) => Some(message),
            _ => None,
        }
    }

    fn index(&self, slot: SlotRef) -> usize {
        slot.0.wrapping_sub(self.first.0) as usize
    }

    /// Removes the vacant slots if they are many.
    fn compact(&mut self) {
        if self.vacant <= VACANT_MAX || self.vacant * 2 < self.slots.len() {
            return;
        }
        let slots = std::mem::take(&mut self.slots);
        self.vacant = 0;
        for slot in slots.into_iter().flatten() {
            match slot {
                Slot::DropNotice(notice) => self.note_dropped(*notice),
                message @ Slot::Message(_) => self.slots.push_back(Some(message)),
            }
        }
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(Slot::Message(message)) = slot {
                let slot = SlotRef(self.first.0 + index as u64);
                for id in message.keys.iter() {
                    self.keys.set_newest(id, Some(slot));
                }
            }
        }
    }
}

impl Message {
    fn report(notice: &DropNotice) -> Self {
        Self {
            frame: EntryBytes::Slice(notice.report().into()),
            charge: 0,
            keys: KeyIds::default(),
        }
    }

    pub(super) fn is_report(&self) -> bool {
        self.charge == 0 && !matches!(self.frame, EntryBytes::Kept(..))
    }
}

fn held_bytes(frame: &EntryBytes) -> usize {
    frame.copied_bytes().unwrap_or(frame.len()).max(1)
}
