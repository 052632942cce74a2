//! A queue as plain as it can be: the numbers of messages, in the entries in
//! which they were queued.

use std::collections::VecDeque;
use std::ops::{Add, RangeInclusive};

use crate::router::mailbox::queue_state::{self, Capacity};

/// The load of a queue, counted as the router counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Load {
    fn is_below(self, capacity: Capacity) -> bool {
        self.bytes < capacity.bytes && self.messages < capacity.messages
    }
}

impl From<queue_state::QueueState> for Load {
    fn from(load: queue_state::QueueState) -> Self {
        Self {
            messages: load.messages(),
            bytes: load.bytes(),
        }
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Most bytes of the report of a drop.
const REPORT_BYTES_MAX: usize = 1_024;

/// Frames that were queued together and are released together, and the drops
/// behind them.
#[derive(Debug, Default)]
pub(super) struct Entry {
    frames: VecDeque<usize>,
    /// The bytes that the frames are charged, at least and at most.
    charge: (usize, usize),
    /// Frames that were written, and are not released before the others are.
    written: usize,
    /// Messages that were dropped.
    missed: VecDeque<usize>,
    /// Whether it is of several reads and may have been queued as several: then
    /// written frames may be released before the others.
    joined: bool,
}

/// The next item of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Message(usize),
    /// To be told that this one, and perhaps more, was dropped.
    Missed(usize),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// The load that the router last told, and the room reserved since.
    load: Load,
    /// How often the queue fell below half, was emptied, or lost its owner.
    reliefs: u64,
    /// `reliefs`, and the router's own count, when the router was last asked.
    asked: (u64, u64),
    /// Messages since then, of which the receiver was told that they were
    /// dropped.
    told: usize,
    /// A group has shared it since it was last empty: nothing is known of the
    /// order in which frames leave, and little of when they are released.
    shared: bool,
    /// A member has written one of several copies of a message since it was last
    /// empty. Which one isn't known, and so not which entry is done.
    had_copies: bool,
    /// The last entry may still grow.
    gathers: bool,
    /// Whether the next drop is told together with the last one.
    gap_is_open: bool,
}

impl Entry {
    pub(super) fn new(frames: &[usize], charge: RangeInclusive<usize>) -> Self {
        Self {
            frames: frames.iter().copied().collect(),
            charge: (*charge.start(), *charge.end()),
            ..Self::default()
        }
    }

    /// Messages and bytes that it is charged, at least and at most.
    fn charge(&self) -> (Load, Load) {
        let reports = self.missed.len() * REPORT_BYTES_MAX;
        let messages = self.frames.len() + self.written;
        let least = match (self.frames.len(), self.joined && self.written > 0) {
            (0, _) => {
                return (
                    Load::default(),
                    Load {
                        messages: 0,
                        bytes: reports,
                    },
                );
            }
            (messages, true) => Load { messages, bytes: 0 },
            (_, false) => Load {
                messages,
                bytes: self.charge.0,
            },
        };
        let bytes = self.charge.1 + reports;
        (least, Load { messages, bytes })
    }
}

impl Queue {
    /// Whether a frame of `size` bytes is taken now.
    pub(super) fn fits(&self, size: usize, capacity: Capacity) -> bool {
        let Load { messages, bytes } = self.load;
        messages == 0 || messages < capacity.messages && bytes + size <= capacity.bytes
    }

    pub(super) fn reserve(&mut self, size: usize) {
        self.load.messages += 1;
        self.load.bytes += size;
    }

    /// Bytes that it is charged, as far as known.
    pub(super) fn bytes(&self) -> usize {
        self.load.bytes
    }

    /// Whether anything is queued, or is about to be.
    pub(super) fn holds_anything(&self) -> bool {
        self.load.messages > 0 || !self.is_empty()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        self.gathers = false;
        self.gap_is_open = false;
    }

    /// The frames are queued with those that were gathered since
    /// [`Self::flush`], unless something was dropped behind those.
    pub(super) fn gather(&mut self, entry: Entry) {
        let last = self.entries.back_mut().filter(|_| self.gathers);
        match last.filter(|last| last.missed.is_empty()) {
            Some(last) => {
                last.frames.extend(entry.frames);
                last.charge.0 += entry.charge.0;
                last.charge.1 += entry.charge.1;
                last.joined = true;
            }
            None => self.entries.push_back(entry),
        }
        self.gathers = true;
        self.gap_is_open = false;
    }

    /// Queues the gathered messages.
    pub(super) fn flush(&mut self) {
        self.gathers = false;
    }

    /// Messages were dropped behind all that is queued.
    pub(super) fn miss(&mut self, messages: &[usize]) {
        let last = self.entries.back_mut();
        match last.filter(|last| self.gap_is_open || last.missed.is_empty()) {
            Some(last) => last.missed.extend(messages),
            None => self.entries.push_back(Entry {
                missed: messages.iter().copied().collect(),
                ..Entry::default()
            }),
        }
        self.gap_is_open = true;
    }

    /// Learns from the router whether it still gathers drops.
    pub(super) fn observe_gap(&mut self, is_open: bool) {
        self.gap_is_open &= is_open;
    }

    pub(super) fn front(&self) -> Option<Item> {
        let entry = self.entries.front()?;
        let message = entry.frames.front().copied().map(Item::Message);
        message.or_else(|| entry.missed.front().copied().map(Item::Missed))
    }

    /// From now on a group shares it.
    pub(super) fn share(&mut self) {
        self.shared = true;
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// A member has written one of several copies of a message.
    pub(super) fn note_copies(&mut self) {
        self.had_copies = true;
    }

    /// All that is queued, in its order.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> + '_ {
        self.entries.iter().flat_map(|entry| {
            let frames = entry.frames.iter().copied().map(Item::Message);
            frames.chain(entry.missed.iter().copied().map(Item::Missed))
        })
    }

    /// The items that may be partly written.
    pub(super) fn first_items(&self) -> impl Iterator<Item = Item> + '_ {
        let count = if self.shared { usize::MAX } else { 1 };
        self.items().take(count)
    }

    /// Up to `count` messages that were dropped in one place, from `first` on.
    pub(super) fn missed_from(&self, first: usize, count: usize) -> Vec<usize> {
        let mut entries = self.entries.iter();
        let place = |entry: &Entry| entry.missed.iter().position(|&number| number == first);
        let found = entries.find_map(|entry| Some((entry, place(entry)?)));
        let missed = found
            .into_iter()
            .flat_map(|(entry, place)| entry.missed.iter().skip(place));
        missed.copied().take(count).collect()
    }

    /// The receiver was told that `count` messages from `first` on were dropped.
    /// Gives as many of them as were, in this place.
    pub(super) fn pull_missed(&mut self, first: usize, count: usize) -> Vec<usize> {
        let holds = |entry: &Entry| entry.missed.iter().position(|&number| number == first);
        let mut entries = self.entries.iter().enumerate();
        let found = entries.find_map(|(index, entry)| Some((index, holds(entry)?)));
        let Some((index, place)) = found else {
            return Vec::new();
        };
        let entry = &mut self.entries[index];
        let end = entry.missed.len().min(place + count);
        let missed: Vec<_> = entry.missed.drain(place..end).collect();
        self.told += missed.len();
        if entry.frames.is_empty() && entry.missed.is_empty() {
            self.entries.remove(index);
        }
        missed
    }

    /// Notes that a member has written a message, wherever it stands. Returns
    /// whether it was there. If the member is `limited` in the number of its
    /// messages, each is released by itself.
    pub(super) fn pull(&mut self, number: usize, limited: bool) -> bool {
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let frames = &mut entry.frames;
            let Some(place) = frames.iter().position(|&known| known == number) else {
                continue;
            };
            frames.remove(place);
            entry.written += usize::from(!limited || self.shared || entry.joined);
            if entry.frames.is_empty() && entry.missed.is_empty() {
                self.entries.remove(index);
            }
            return true;
        }
        false
    }

    /// Releases the written messages of the first entry from now on.
    pub(super) fn cut(&mut self) {
        if let Some(entry) = self.entries.front_mut().filter(|_| !self.shared)
            && !entry.joined
            && !entry.frames.is_empty()
        {
            entry.written = 0;
        }
    }

    /// Ends a write that was broken off: written messages are released.
    pub(super) fn break_off(&mut self, capacity: Capacity) {
        let Some(entry) = self.entries.front_mut().filter(|_| !self.shared) else {
            return;
        };
        let written = std::mem::take(&mut entry.written);
        if !entry.frames.is_empty() {
            let before = self.load;
            self.load.messages -= written;
            self.note_release(before, capacity);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes a relief: each sum of stalls of this queue begins anew.
    pub(super) fn relieve(&mut self) {
        self.reliefs += 1;
    }

    pub(super) fn reliefs(&self) -> u64 {
        self.reliefs
    }

    /// The frames that are queued, in their order.
    pub(super) fn frames(&self) -> impl Iterator<Item = usize> + '_ {
        self.entries
            .iter()
            .flat_map(|entry| entry.frames.iter().copied())
    }

    /// Holds the load that the router counts against the queued messages.
    pub(super) fn observe(&mut self, load: Load, capacity: Capacity) {
        let before = self.load;
        let mut least = Load::default();
        let mut most = Load::default();
        for entry in &self.entries {
            let (its_least, its_most) = entry.charge();
            least = least + its_least;
            most = most + its_most;
        }
        if self.shared {
            least = Load {
                messages: self.frames().count(),
                bytes: 0,
            };
        }
        if self.had_copies {
            // Written messages may be part of an entry that isn't done.
            most.messages = most.messages.max(before.messages);
            most.bytes = most.bytes.max(before.bytes);
        }
        assert!(
            (least.messages..=most.messages).contains(&load.messages)
                && (least.bytes..=most.bytes).contains(&load.bytes),
            "charge: {load:?}, where it is to be {least:?} to {most:?}"
        );
        self.load = load;
        self.shared &= !self.is_empty();
        self.had_copies &= !self.is_empty();
        self.note_release(before, capacity);
    }

    /// Holds the number of reliefs that the router counts against the loads.
    ///
    /// A write that makes room may also charge the queue for the report of a
    /// drop. Then the queue may have been below half for a moment that no load
    /// shows, and the router is believed.
    pub(super) fn observe_relief(&mut self, relieved: u64, capacity: Capacity) {
        let missed = self.entries.iter().map(|entry| entry.missed.len());
        let reports = missed.sum::<usize>() + std::mem::take(&mut self.told);
        let lowest = Load {
            bytes: (self.load.bytes).saturating_sub(reports * REPORT_BYTES_MAX),
            ..self.load
        };
        let shows = self.reliefs != self.asked.0;
        let happened = relieved != self.asked.1;
        if happened && !shows {
            let may_be_hidden = reports > 0 && lowest.is_below(capacity.part(2, 4));
            assert!(may_be_hidden, "stalls: a relief that nothing explains");
            self.reliefs += 1;
        }
        assert!(happened || !shows, "stalls: a relief goes unnoticed");
        self.asked = (self.reliefs, relieved);
    }

    fn note_release(&mut self, before: Load, capacity: Capacity) {
        let half = capacity.part(2, 4);
        let released = self.load.messages < before.messages || self.load.bytes < before.bytes;
        let was_below = before.is_below(half);
        if released && self.load.is_below(half) && (!was_below || self.load.messages == 0) {
            self.reliefs += 1;
        }
    }
}
