//! Entries of queues, and how the parts of a read become entries.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::drop_notice::DropNotice;
use super::entry_bytes::EntryBytes;
use crate::budget::Budget;
use crate::limits::PIN_BYTES_MIN;
use crate::router::connection::ConnectionHandle;
use crate::wire;

/// Whole frames, length prefixes included.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The frames, side by side.
    pub(crate) bytes: EntryBytes,
    /// The number of messages; the report of a drop is none.
    pub(crate) messages: u32,
    /// The entry's position among those that a group took; otherwise 0.
    pub(crate) order: u64,
    /// Bytes charged for the entry: its own, or more if it pins more.
    pub(crate) charge: usize,
    /// The sender, to be told if the messages are given up. None for broadcasts.
    pub(crate) origin: Option<Arc<ConnectionHandle>>,
    /// Whether the store keeps the messages: then nothing is lost with the entry.
    pub(crate) is_stored: bool,
}

impl Entry {
    pub(super) fn drop_notice(notice: &DropNotice) -> Self {
        let report = notice.report();
        Self {
            messages: 0,
            order: 0,
            charge: report.len(),
            bytes: EntryBytes::Slice(Bytes::from(report)),
            origin: None,
            is_stored: false,
        }
    }

    /// Returns whether the frames are messages, not the report of a drop.
    pub(crate) fn holds_messages(&self) -> bool {
        // A message of a snapshot takes no room, so it isn't counted.
        self.messages > 0 || matches!(self.bytes, EntryBytes::Kept(..))
    }

    /// Splits off the frames behind the first `bytes` bytes, which end with a
    /// frame. The rest bears the whole charge: both share their memory.
    pub(crate) fn split_off(&mut self, bytes: usize) -> Self {
        let frames = wire::frames(&self.bytes).take_while(|frame| frame.end <= bytes);
        let front = frames.count() as u32;
        let mut rest = self.share();
        rest.bytes.advance(bytes);
        rest.messages -= front;
        rest.order += u64::from(front);
        self.bytes = EntryBytes::Slice(self.bytes.part(0..bytes));
        self.messages = front;
        self.charge = 0;
        rest
    }

    /// Makes another entry of the same frames, which share their memory.
    pub(crate) fn share(&mut self) -> Self {
        Self {
            bytes: self.bytes.share(),
            messages: self.messages,
            order: self.order,
            charge: self.charge,
            origin: self.origin.clone(),
            is_stored: self.is_stored,
        }
    }
}

/// A part of an input that the store has taken.
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only a server has a store")
)]
#[derive(Debug, Clone)]
pub(crate) struct StoredBytes {
    /// Counted as long as they are held.
    pub(crate) bytes: Bytes,
    /// The bytes of memory that they keep.
    pub(crate) block_bytes: usize,
}

#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only a server has a store")
)]
impl StoredBytes {
    /// Makes an entry of frames to be delivered: a slice if that is worth it, else a copy.
    pub(crate) fn entry(&self, range: Range<usize>, messages: u32, budget: &Arc<Budget>) -> Entry {
        let (bytes, charge) = if pins(range.len(), self.block_bytes) {
            let charge = self.block_bytes.max(range.len());
            (EntryBytes::Slice(self.bytes.slice(range)), charge)
        } else {
            let length = range.len();
            let bytes = EntryBytes::copy(&self.bytes, [range], length, budget);
            let charge = bytes.copied_bytes().unwrap_or(length);
            (bytes, charge)
        };
        Entry {
            bytes,
            messages,
            order: 0,
            charge,
            origin: None,
            is_stored: true,
        }
    }
}

/// Returns whether a range of `bytes` bytes is large enough to keep its block in
/// memory: otherwise a queued run of 128 bytes would hold 64 KiB.
pub(crate) fn pins(bytes: usize, block_bytes: usize) -> bool {
    bytes >= PIN_BYTES_MIN && bytes >= block_bytes / 4
}

/// Ranges of a read's input between which no message was dropped.
#[derive(Debug, Default, Clone)]
pub(crate) struct Parts {
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) messages: u32,
    pub(crate) bytes: usize,
}

impl Parts {
    /// Adds the next range; adjacent ranges are joined.
    #[inline]
    pub(crate) fn add(&mut self, range: Range<usize>, messages: u32) {
        self.messages += messages;
        self.bytes += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.messages = 0;
        self.bytes = 0;
    }

    /// Returns whether they are one range that [`pins`] its block.
    pub(crate) fn pins(&self, block_bytes: usize) -> bool {
        self.ranges.len() == 1 && pins(self.bytes, block_bytes)
    }
}

/// The parts of a read that one receiver gets, in order, each with the notice of
/// messages dropped behind it.
#[derive(Debug, Default)]
pub(crate) struct PartsWithDrops {
    earlier: Vec<(Parts, DropNotice)>,
    last: Parts,
    /// The notice of messages dropped behind `last`.
    notice: Option<DropNotice>,
}

impl From<Parts> for PartsWithDrops {
    fn from(last: Parts) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }
}

impl PartsWithDrops {
    /// Adds the next range.
    #[inline]
    pub(crate) fn add(&mut self, range: Range<usize>, messages: u32) {
        if let Some(notice) = self.notice.take() {
            self.earlier.push((std::mem::take(&mut self.last), notice));
        }
        self.last.add(range, messages);
    }

    /// Notes messages dropped behind all ranges so far.
    #[cold]
    pub(crate) fn add_dropped(&mut self, notice: DropNotice) {
        DropNotice::note(&mut self.notice, notice);
    }

    /// The parts in their order, each with the notice behind it, which is taken.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (&Parts, Option<DropNotice>)> {
        let earlier = self.earlier.iter();
        let earlier = earlier.map(|(parts, notice)| (parts, Some(notice.clone())));
        earlier.chain(std::iter::once((&self.last, self.notice.take())))
    }

    /// Returns whether some of the parts are one range that [`pins`] its block.
    pub(crate) fn pins(&self, block_bytes: usize) -> bool {
        let mut earlier = self.earlier.iter();
        self.last.pins(block_bytes) || earlier.any(|(parts, _)| parts.pins(block_bytes))
    }

    pub(crate) fn clear(&mut self) {
        self.earlier.clear();
        self.last.clear();
        self.notice = None;
    }
}

/// Makes entries of the parts of one read's input.
pub(crate) struct Cut<'a> {
    input: CutInput<'a>,
    block_bytes: usize,
    /// Counts the bytes that are kept.
    budget: &'a Arc<Budget>,
}

/// The bytes of a read that were routed.
enum CutInput<'a> {
    /// Some part keeps them in memory.
    Shared(Bytes),
    /// All parts are copied out of them.
    Copied(&'a [u8]),
}

impl<'a> Cut<'a> {
    /// Cuts `input`, a part of a block of `block_bytes` that some entry keeps.
    pub(crate) fn sharing(input: Bytes, block_bytes: usize, budget: &'a Arc<Budget>) -> Self {
        Self {
            input: CutInput::Shared(budget.pin(input, block_bytes)),
            block_bytes,
            budget,
        }
    }

    /// Cuts `input`, which no entry keeps in memory.
    pub(crate) fn copying(input: &'a [u8], budget: &'a Arc<Budget>) -> Self {
        Self {
            input: CutInput::Copied(input),
            block_bytes: 0,
            budget,
        }
    }

    /// Returns whether entries may keep the input in memory.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.input, CutInput::Shared(_))
    }

    pub(crate) fn input(&self) -> &[u8] {
        match &self.input {
            CutInput::Shared(input) => input,
            CutInput::Copied(input) => input,
        }
    }

    /// A range as a slice of the input, if it [`pins`] that.
    pub(crate) fn slice(
        &self,
        range: Range<usize>,
        messages: u32,
        origin: Option<&Arc<ConnectionHandle>>,
    ) -> Option<Entry> {
        let CutInput::Shared(input) = &self.input else {
            return None;
        };
        pins(range.len(), self.block_bytes).then(|| Entry {
            // The slice keeps the whole block in memory, whoever else does.
            charge: self.block_bytes.max(range.len()),
            bytes: EntryBytes::Slice(input.slice(range)),
            messages,
            order: 0,
            origin: origin.cloned(),
            is_stored: false,
        })
    }

    /// A range of the input for the store: a slice if that is kept in any case, else a
    /// copy.
    pub(crate) fn stored(&self, range: Range<usize>) -> StoredBytes {
        if let CutInput::Shared(input) = &self.input {
            return StoredBytes {
                bytes: input.slice(range),
                block_bytes: self.block_bytes,
            };
        }
        let bytes = Bytes::copy_from_slice(&self.input()[range]);
        let block_bytes = bytes.len();
        StoredBytes {
            bytes: self.budget.pin(bytes, block_bytes),
            block_bytes,
        }
    }

    /// Makes an entry of `parts`: a slice if that is worth it, else a copy.
    pub(crate) fn entry(&self, parts: &Parts, origin: Option<&Arc<ConnectionHandle>>) -> Entry {
        let slice = match &parts.ranges[..] {
            [range] => self.slice(range.clone(), parts.messages, origin),
            _ => None,
        };
        slice.unwrap_or_else(|| {
            let ranges = parts.ranges.iter().cloned();
            let bytes = EntryBytes::copy(self.input(), ranges, parts.bytes, self.budget);
            Entry {
                charge: bytes.copied_bytes().unwrap_or(parts.bytes),
                bytes,
                messages: parts.messages,
                order: 0,
                origin: origin.cloned(),
                is_stored: false,
            }
        })
    }
}
