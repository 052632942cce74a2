//! The broadcasts of a connection that asked for the latest only: while it is
//! behind, a newer message takes the place of an older one with the same key.
//!
//! A connection has such a lane from its first subscription of mode `latest`
//! on, and all its broadcasts go through it from then on, so that none
//! overtakes another. Keys are those of one subscription: what another one asks
//! for replaces nothing. A message that several subscriptions want waits until
//! each of them has a newer one.
//!
//! The lane is behind a lock that is held for as long as it takes to copy a
//! message in, or to take some out. Nobody holds it while writing.

#![forbid(unsafe_code)]

mod in_flight;
mod keys;

use std::collections::VecDeque;
use std::iter::once;
use std::sync::Arc;

use super::subscriptions::Keys;
use crate::budget::Budget;
use crate::router::mailbox::{Capacity, DropNotice, EntryBytes};
use crate::sync::lock;
use crate::sync::{AtomicUsize, Mutex, Ordering};
pub(crate) use in_flight::ConflatedInFlight;
use keys::{KeyIds, KeyTable};

/// Slots that are taken out for one write.
const TAKEN_MAX: usize = 32;
/// Bytes that are taken out for one write, but for the last message.
const TAKEN_BYTES_MAX: usize = 64 * 1024;
/// Empty places between others that are put up with.
const HOLES_MAX: usize = 64;
/// The first place. Half of them are for what is given back.
const FIRST_PLACE: u64 = 1 << 63;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct ConflatedQueue {
    /// Slots that wait, so that who looks whether there are any needs no lock.
    waiting: AtomicUsize,
    /// What they are charged, and what is being written.
    bytes: AtomicUsize,
    /// Where copies are counted.
    budget: Arc<Budget>,
    state: Mutex<State>,
}

/// A message that comes to a lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewMessage<'a> {
    /// The frame, prefix included.
    pub(crate) frame: &'a [u8],
    /// By what it is conflated. Without keys it replaces nothing and is
    /// replaced by nothing.
    pub(crate) keys: &'a Keys,
    /// Of these keys it is the newest message although it isn't conflated.
    pub(crate) superseding: &'a Keys,
}

/// What came of putting a message into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushOutcome {
    /// It waits, and so many older ones need not be delivered any more.
    Queued { replaced: u32 },
    /// There is no room for it.
    Dropped,
    /// The connection hears nothing more.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// In the order in which they are delivered. A place is empty if what
    /// waited there was replaced at a later one.
    slots: VecDeque<Option<Slot>>,
    holes: usize,
    /// The place of the first slot.
    first: SlotRef,
    keys: KeyTable,
    /// What waits or is being written, and what it is charged.
    messages: usize,
    bytes: usize,
    /// Whether something is out to be written, with its keys.
    is_writing: bool,
    /// The keys of what is out, but for those of which a newer message has come
    /// since that isn't conflated.
    out: Vec<u32>,
}

/// A place in the order; it grows with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotRef(u64);

impl Default for SlotRef {
    fn default() -> Self {
        Self(FIRST_PLACE)
    }
}

/// Something that waits.
#[derive(Debug)]
enum Slot {
    /// A message.
    Message(Message),
    /// What was dropped here.
    DropNotice(Box<DropNotice>),
}

/// A message that waits, or the report of a gap.
#[derive(Debug)]
struct Message {
    frame: EntryBytes,
    /// 0 for what needs no room: a message of a snapshot, or a report.
    charge: usize,
    keys: KeyIds,
}

impl ConflatedQueue {
    /// One whose messages are counted in `budget`.
    pub(crate) fn within(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            ..Self::default()
        }
    }

    /// What waits or is being written, as it is charged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Puts a message into the lane: in the place of what has the same keys, or
    /// behind all others. What doesn't fit leaves a gap.
    pub(crate) fn push(
        &self,
        message: &NewMessage<'_>,
        capacity: Capacity,
        gap: impl FnOnce() -> DropNotice,
    ) -> PushOutcome {
        let NewMessage {
            frame,
            keys,
            superseding,
        } = *message;
        let mut state = lock(&self.state);
        let copy = || EntryBytes::copy(frame, once(0..frame.len()), frame.len(), &self.budget);
        state.supersede(superseding);
        let pushed = state.push(frame.len(), copy, keys, Some(capacity));
        if pushed == PushOutcome::Dropped {
            state.note(gap());
        }
        self.publish(&state);
        pushed
    }

    /// Puts a message of a snapshot into the lane. It takes no room.
    pub(crate) fn push_snapshot(&self, frame: EntryBytes, keys: &Keys) -> PushOutcome {
        let mut state = lock(&self.state);
        let pushed = state.push(0, || frame, keys, None);
        self.publish(&state);
        pushed
    }

    /// Whether anything waits.
    pub(crate) fn has_mail(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// How many messages wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes the next messages out, as many as one write may have.
    #[inline(never)]
    fn take(&self, taken: &mut VecDeque<Message>, most: usize) {
        let mut state = lock(&self.state);
        state.is_writing = true;
        let mut bytes = 0;
        while taken.len() < most && bytes < TAKEN_BYTES_MAX {
            let Some(message) = state.pop() else { break };
            bytes += message.frame.len();
            state.out.extend(message.keys.iter());
            taken.push_back(message);
        }
        self.publish(&state);
    }

    /// Takes back what was taken out and not begun to be written, the last
    /// first. What has been replaced meanwhile is gone; says how much.
    #[inline(never)]
    fn give_back(&self, taken: impl Iterator<Item = Message>) -> u64 {
        let mut state = lock(&self.state);
        let mut replaced = 0;
        for message in taken {
            replaced += u64::from(!state.give_back(message));
        }
        state.is_writing = false;
        state.out.clear();
        self.publish(&state);
        replaced
    }

    /// So many messages were written, which were charged so much.
    fn release(&self, messages: usize, charge: usize) {
        if messages > 0 {
            let mut state = lock(&self.state);
            state.messages -= messages;
            state.bytes -= charge;
            self.publish(&state);
        }
    }

    /// Nothing more is taken in, and what waits is gone.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        *state = State {
            closed: true,
            messages: state.messages,
            bytes: state.bytes,
            ..State::default()
        };
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let waiting = state.slots.len() - state.holes;
        self.waiting.store(waiting, Ordering::Release);
        self.bytes.store(state.bytes, Ordering::Release);
    }
}

impl State {
    /// What comes later with these keys must not come before what comes now.
    fn supersede(&mut self, keys: &Keys) {
        for key in keys.iter() {
            let id = self.keys.id(key);
            self.out.retain(|out| *out != id);
            if let Some(place) = self.keys.place(id) {
                self.detach(id, place);
            }
        }
    }

    fn push(
        &mut self,
        bytes: usize,
        frame: impl FnOnce() -> EntryBytes,
        keys: &Keys,
        capacity: Option<Capacity>,
    ) -> PushOutcome {
        if self.closed {
            return PushOutcome::Closed;
        }
        let mut ids = KeyIds::default();
        for key in keys.iter() {
            ids.push(self.keys.id(key));
        }
        let pushed = match self.replaceable(&ids) {
            Some(place) => self.replace(place, ids, bytes, frame, capacity),
            None => self.append(ids, bytes, frame, capacity),
        };
        if !self.is_writing {
            self.keys.tidy();
        }
        pushed
    }

    /// Where the message waits whose place is free for one with these keys:
    /// nobody who wants it would not have the newer one instead, and it is the
    /// newest of each key. Of a key without a place the newest may stand behind
    /// it, wanted by itself.
    fn replaceable(&self, ids: &KeyIds) -> Option<SlotRef> {
        let mut places = ids.iter().map(|id| self.keys.place(id));
        let place = places.next()??;
        if places.any(|other| other != Some(place)) {
            return None;
        }
        let older = self.message(place)?;
        older
            .keys
            .iter()
            .all(|id| ids.contains(id))
            .then_some(place)
    }

    fn replace(
        &mut self,
        place: SlotRef,
        ids: KeyIds,
        bytes: usize,
        frame: impl FnOnce() -> EntryBytes,
        capacity: Option<Capacity>,
    ) -> PushOutcome {
        let Some(older) = self.message(place) else {
            return PushOutcome::Closed;
        };
        let charged = (usize::from(older.charge > 0), older.charge);
        let (messages, held) = (self.messages - charged.0, self.bytes - charged.1);
        if !capacity.is_none_or(|capacity| fits(messages, held, bytes, capacity)) {
            return PushOutcome::Dropped;
        }
        for id in ids.iter() {
            self.keys.set(id, Some(place));
        }
        let frame = frame();
        let charge = capacity.map_or(0, |_| charge(&frame));
        self.bytes = held + charge;
        self.messages = messages + usize::from(charge > 0);
        let message = Message {
            frame,
            charge,
            keys: ids,
        };
        let index = self.index(place);
        self.slots[index] = Some(Slot::Message(message));
        PushOutcome::Queued { replaced: 1 }
    }

    fn append(
        &mut self,
        ids: KeyIds,
        bytes: usize,
        frame: impl FnOnce() -> EntryBytes,
        capacity: Option<Capacity>,
    ) -> PushOutcome {
        let (messages, held) = (self.messages, self.bytes);
        if !capacity.is_none_or(|capacity| fits(messages, held, bytes, capacity)) {
            return PushOutcome::Dropped;
        }
        let mut replaced = 0;
        for id in ids.iter() {
            if let Some(older) = self.keys.place(id)
                && self.detach(id, older)
            {
                self.remove(older);
                replaced += 1;
            }
        }
        let place = SlotRef(self.first.0 + self.slots.len() as u64);
        for id in ids.iter() {
            self.keys.set(id, Some(place));
        }
        let frame = frame();
        let charge = capacity.map_or(0, |_| charge(&frame));
        self.bytes += charge;
        self.messages += usize::from(charge > 0);
        self.slots.push_back(Some(Slot::Message(Message {
            frame,
            charge,
            keys: ids,
        })));
        self.close_holes();
        PushOutcome::Queued { replaced }
    }

    /// The message at `place` is no longer the newest with this key. Says
    /// whether it is the newest with none.
    fn detach(&mut self, id: u32, place: SlotRef) -> bool {
        self.keys.set(id, None);
        let index = self.index(place);
        match self.slots.get_mut(index) {
            Some(Some(Slot::Message(message))) => {
                message.keys.remove(id);
                message.keys.is_empty()
            }
            _ => false,
        }
    }

    fn remove(&mut self, place: SlotRef) {
        let index = self.index(place);
        if let Some(Some(Slot::Message(message))) = self.slots.get_mut(index).map(Option::take) {
            self.holes += 1;
            self.messages -= usize::from(message.charge > 0);
            self.bytes -= message.charge;
        }
    }

    /// Notes what was dropped behind all that waits.
    fn note(&mut self, gap: DropNotice) {
        match self.slots.back_mut() {
            Some(Some(Slot::DropNotice(known))) => known.extend(&gap),
            _ => self.slots.push_back(Some(Slot::DropNotice(Box::new(gap)))),
        }
    }

    fn pop(&mut self) -> Option<Message> {
        loop {
            let slot = self.slots.pop_front()?;
            self.first.0 += 1;
            match slot {
                None => self.holes -= 1,
                Some(Slot::DropNotice(gap)) => return Some(Message::report(&gap)),
                Some(Slot::Message(message)) => {
                    for id in message.keys.iter() {
                        self.keys.set(id, None);
                    }
                    return Some(message);
                }
            }
        }
    }

    /// Puts a message back in front of all others. Says whether it was worth
    /// that: a newer one may have come with each of its keys.
    fn give_back(&mut self, mut message: Message) -> bool {
        if self.closed {
            return true;
        }
        let place = SlotRef(self.first.0 - 1);
        let keys = message.keys.clone();
        let mut is_wanted = keys.is_empty();
        for id in keys.iter() {
            if self.keys.place(id).is_some() {
                message.keys.remove(id);
                continue;
            }
            is_wanted = true;
            if self.out.contains(&id) {
                self.keys.set(id, Some(place));
            } else {
                // What comes next with this key must not come before the one
                // that is not conflated.
                message.keys.remove(id);
            }
        }
        if !is_wanted {
            self.messages -= usize::from(message.charge > 0);
            self.bytes -= message.charge;
            return false;
        }
        self.first = place;
        self.slots.push_front(Some(Slot::Message(message)));
        true
    }

    fn message(&self, place: SlotRef) -> Option<&Message> {
        match self.slots.get(self.index(place)) {
            Some(Some(Slot::Message(message))) => Some(message),
            _ => None,
        }
    }

    fn index(&self, place: SlotRef) -> usize {
        place.0.wrapping_sub(self.first.0) as usize
    }

    /// Gives empty places up when they are many.
    fn close_holes(&mut self) {
        if self.holes <= HOLES_MAX || self.holes * 2 < self.slots.len() {
            return;
        }
        let slots = std::mem::take(&mut self.slots);
        self.holes = 0;
        for slot in slots.into_iter().flatten() {
            match slot {
                Slot::DropNotice(gap) => self.note(*gap),
                message @ Slot::Message(_) => self.slots.push_back(Some(message)),
            }
        }
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(Slot::Message(message)) = slot {
                let place = SlotRef(self.first.0 + index as u64);
                for id in message.keys.iter() {
                    self.keys.set(id, Some(place));
                }
            }
        }
    }
}

impl Message {
    fn report(gap: &DropNotice) -> Self {
        Self {
            frame: EntryBytes::Slice(gap.report().into()),
            charge: 0,
            keys: KeyIds::default(),
        }
    }

    /// Whether it is the report of a gap.
    fn is_report(&self) -> bool {
        self.charge == 0 && !matches!(self.frame, EntryBytes::Kept(..))
    }
}

/// Whether a message of `bytes` bytes has room beside others. An empty lane
/// takes any one.
fn fits(messages: usize, held: usize, bytes: usize, capacity: Capacity) -> bool {
    capacity.messages > 0 && messages == 0
        || messages < capacity.messages && held + bytes <= capacity.bytes
}

/// What a message holds in memory.
fn charge(frame: &EntryBytes) -> usize {
    frame.copied_bytes().unwrap_or(frame.len()).max(1)
}
