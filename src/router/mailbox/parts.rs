//! The parts of a read that go the same way, with notices of messages dropped in
//! between.

use std::ops::Range;

use super::drop_notice::DropNotice;
use crate::limits::PIN_BYTES_MIN;

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
pub(crate) struct Pieces {
    earlier: Vec<(Parts, DropNotice)>,
    parts: Parts,
    /// The notice of messages dropped behind `parts`.
    notice: Option<DropNotice>,
}

impl From<Parts> for Pieces {
    fn from(parts: Parts) -> Self {
        Self {
            parts,
            ..Self::default()
        }
    }
}

impl Pieces {
    /// Adds the next range.
    #[inline]
    pub(crate) fn add(&mut self, range: Range<usize>, messages: u32) {
        if let Some(notice) = self.notice.take() {
            (self.earlier).push((std::mem::take(&mut self.parts), notice));
        }
        self.parts.add(range, messages);
    }

    /// Notes messages dropped behind all ranges so far.
    #[cold]
    pub(crate) fn add_dropped(&mut self, notice: DropNotice) {
        DropNotice::note(&mut self.notice, notice);
    }

    /// The parts in their order, each with the notice behind it.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (&Parts, Option<DropNotice>)> {
        let earlier = self.earlier.iter();
        let earlier = earlier.map(|(parts, notice)| (parts, Some(notice.clone())));
        earlier.chain(std::iter::once((&self.parts, self.notice.take())))
    }
}
