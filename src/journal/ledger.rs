//! Which messages of which name are settled. The writer keeps it as records come, and
//! recovery makes it again from them.
//!
//! The messages of a name are numbered: their *sequence*. It begins with 1, and again
//! with 1 once all of them are settled.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Lsn;
use super::record::{Content, Record, Run};
use super::settlement::{Checkpoint, Settled};

/// The unsettled messages of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The first message that is not settled.
    pub(super) first: u64,
    /// The number that the next message gets.
    pub(super) next: u64,
    /// No unsettled message stands before this record.
    pub(super) from: Lsn,
    /// Ranges behind `first` that are settled as well: the first message, to the number
    /// behind the last and the record of the last. They neither overlap nor touch.
    pub(super) settled: BTreeMap<u64, (u64, Lsn)>,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Backlog {
    fn new(from: Lsn) -> Self {
        Self {
            first: 1,
            next: 1,
            from,
            settled: BTreeMap::new(),
            frames: 0,
            bytes: 0,
        }
    }

    /// The number of messages that are not settled.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Their bytes, with their length prefixes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// No unsettled message stands before this record.
    #[must_use]
    pub fn from(&self) -> Lsn {
        self.from
    }

    fn is_settled(&self, sequence: u64) -> bool {
        let before = self.settled.range(..=sequence).next_back();
        sequence < self.first || before.is_some_and(|(_, (end, _))| sequence < *end)
    }

    /// Adds the messages of the record `lsn`. Numbers that are left out belong to
    /// records that were lost.
    fn add(&mut self, lsn: Lsn, sequence: u64, frames: usize, bytes: usize) {
        if sequence > self.next {
            self.mark(self.next..sequence, lsn);
        }
        self.next = sequence.saturating_add(frames as u64);
        self.frames = self.frames.saturating_add(frames as u64);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Settles a range, if it is unsettled as a whole.
    fn settle(&mut self, settled: &Settled) {
        let Range { start, end } = settled.messages;
        let overlaps = self.settled.range(..end).next_back();
        let is_open = overlaps.is_none_or(|(_, (behind, _))| *behind <= start);
        // Of a message that was settled before the name was counted anew.
        let is_late = settled.lsn < self.from;
        if start < end && self.first <= start && end <= self.next && is_open && !is_late {
            self.mark(start..end, settled.lsn);
            self.frames = self.frames.saturating_sub(end - start);
            self.bytes = self.bytes.saturating_sub(settled.bytes);
        }
    }

    /// The messages that are not settled.
    fn unsettled(&self) -> impl Iterator<Item = Range<u64>> {
        let ends = self.settled.values().map(|&(end, _)| end);
        let starts = std::iter::once(self.first).chain(ends);
        let behind = self.settled.keys().copied();
        let behind = behind.chain(std::iter::once(self.next));
        let ranges = starts.zip(behind).map(|(start, end)| start..end);
        ranges.filter(|range| !range.is_empty())
    }

    /// Notes all messages as settled that `lost` has as unsettled.
    fn forget(&mut self, lost: &Self) {
        for messages in lost.unsettled() {
            self.mark(messages, lost.from);
        }
        self.frames = self.frames.saturating_sub(lost.frames);
        self.bytes = self.bytes.saturating_sub(lost.bytes);
    }

    /// Notes messages as settled. The last of them is in the record `lsn`, or in another
    /// one that was lost, in front of all messages that follow.
    fn mark(&mut self, messages: Range<u64>, mut lsn: Lsn) {
        let Range { mut start, mut end } = messages;
        if let Some((behind, of_last)) = self.settled.remove(&end) {
            (end, lsn) = (behind, of_last.max(lsn));
        }
        let before = self.settled.range(..start).next_back();
        if let Some((&first, &(_, of_last))) = before.filter(|(_, (behind, _))| *behind == start) {
            self.settled.remove(&first);
            (start, lsn) = (first, of_last.max(lsn));
        }
        if start == self.first {
            (self.first, self.from) = (end, self.from.max(lsn));
        } else {
            self.settled.insert(start, (end, lsn));
        }
    }
}

/// The backlogs of all names that have one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    names: BTreeMap<Box<[u8]>, Backlog>,
}

impl Ledger {
    /// The backlog of a name; `None` if all its messages are settled.
    #[must_use]
    pub fn backlog(&self, name: &[u8]) -> Option<&Backlog> {
        self.names.get(name)
    }

    /// The names that have a backlog.
    pub fn backlogs(&self) -> impl ExactSizeIterator<Item = (&[u8], &Backlog)> {
        self.names.iter().map(|(name, backlog)| (&**name, backlog))
    }

    /// Returns whether a message of the record `lsn`, the one with this number, is
    /// settled.
    #[must_use]
    pub fn is_settled(&self, name: &[u8], lsn: Lsn, sequence: u64) -> bool {
        let backlog = self.names.get(name);
        backlog.is_none_or(|backlog| lsn < backlog.from || backlog.is_settled(sequence))
    }

    /// No unsettled message stands before this record. `None` if there is none.
    #[must_use]
    pub fn oldest(&self) -> Option<Lsn> {
        self.names.values().map(|backlog| backlog.from).min()
    }

    /// The number that the next message for a name gets.
    #[must_use]
    pub fn next_sequence(&self, name: &[u8]) -> u64 {
        self.names.get(name).map_or(1, |backlog| backlog.next)
    }

    /// Adds the messages of the record `lsn`.
    pub(super) fn add(&mut self, run: &Run<'_>, lsn: Lsn) {
        let backlog = match self.names.get_mut(run.target) {
            // Numbered anew: all before is settled, in a record that was lost.
            Some(backlog) if run.sequence < backlog.next => {
                *backlog = Backlog::new(lsn);
                backlog
            }
            Some(backlog) => backlog,
            None => {
                let name = self.names.entry(run.target.into());
                name.or_insert_with(|| Backlog::new(lsn))
            }
        };
        backlog.add(lsn, run.sequence, run.index.len(), run.frames.len());
    }

    /// Settles ranges of a name's messages. A range that is settled already, if only in
    /// part, is dropped whole.
    pub(super) fn settle(&mut self, name: &[u8], ranges: impl Iterator<Item = Settled>) {
        let Some(backlog) = self.names.get_mut(name) else {
            return;
        };
        for range in ranges {
            backlog.settle(&range);
        }
        if backlog.first == backlog.next {
            self.names.remove(name);
        }
    }

    /// Takes a record into account. Records come in their order, from the first of the
    /// journal on, or from any before the last checkpoint.
    pub(super) fn apply(&mut self, record: &Record<'_>) {
        match &record.content {
            Content::Run(run) => self.add(run, record.header.lsn),
            Content::Settlement(settlement) => self.settle(settlement.name, settlement.ranges()),
            Content::Checkpoint(checkpoint) => *self = checkpoint.ledger(),
            Content::Mark { .. } | Content::Gap(_) => {}
        }
    }

    /// Takes out the messages of a run, if they are unsettled.
    pub(super) fn remove(&mut self, run: &Run<'_>, lsn: Lsn) {
        let mut sequence = run.sequence;
        for (frame, _) in run.index.frames() {
            let next = sequence.saturating_add(1);
            if !self.is_settled(run.target, lsn, sequence) {
                let settled = Settled {
                    messages: sequence..next,
                    lsn,
                    bytes: frame.len() as u64,
                };
                self.settle(run.target, std::iter::once(settled));
            }
            sequence = next;
        }
    }

    /// Takes out all messages that are left in `lost`, a part of those here. `first` is the
    /// first record that is there.
    pub(super) fn forget(&mut self, lost: &Self, first: Lsn) {
        for (name, backlog) in &mut self.names {
            if let Some(lost) = lost.names.get(name) {
                backlog.forget(lost);
            }
            backlog.from = backlog.from.max(first);
        }
        self.names.retain(|_, backlog| backlog.first < backlog.next);
    }

    /// A ledger of these backlogs.
    pub(super) fn of(names: BTreeMap<Box<[u8]>, Backlog>) -> Self {
        Self { names }
    }

    /// The content of a checkpoint.
    pub(super) fn encode(&self) -> Vec<u8> {
        Checkpoint::encode(self)
    }
}
