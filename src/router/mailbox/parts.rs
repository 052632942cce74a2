//! Parts of a input that go the same way, and what was dropped in between.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use super::drop_notice::DropNotice;
use super::entry_bytes::EntryBytes;
use crate::budget::Budget;
use crate::limits::RUN_PIN_BYTES_MIN;

/// Whether a stretch of a input is large enough to keep the input's block in
/// memory for it: otherwise a queued run of 128 bytes would hold 64 KiB.
pub(crate) fn pins(bytes: usize, block_bytes: usize) -> bool {
    bytes >= RUN_PIN_BYTES_MIN && bytes >= block_bytes / 4
}

/// Parts that follow each other without a gap.
#[derive(Debug, Default, Clone)]
pub(crate) struct Parts {
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) messages: u32,
    pub(crate) bytes: usize,
}

impl Parts {
    /// Adds what follows; neighbours are joined.
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

    /// Whether they are one stretch that [`pins`] its input.
    pub(crate) fn pins(&self, block_bytes: usize) -> bool {
        self.ranges.len() == 1 && pins(self.bytes, block_bytes)
    }

    pub(crate) fn copy_from(&self, input: &[u8], budget: &Arc<Budget>) -> EntryBytes {
        EntryBytes::copy(input, self.ranges.iter().cloned(), self.bytes, budget)
    }
}

/// What one receiver gets of a read, in order: parts, and gaps where something
/// was dropped for it.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Parts, each with the gap behind it.
    earlier: Vec<(Parts, DropNotice)>,
    parts: Parts,
    /// What was dropped behind `parts`.
    gap: Option<DropNotice>,
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
    /// Adds what follows.
    #[inline]
    pub(crate) fn add(&mut self, range: Range<usize>, messages: u32) {
        if let Some(gap) = self.gap.take() {
            self.earlier.push((std::mem::take(&mut self.parts), gap));
        }
        self.parts.add(range, messages);
    }

    /// Notes what was dropped behind all that was added.
    #[cold]
    pub(crate) fn add_dropped(&mut self, gap: DropNotice) {
        DropNotice::note(&mut self.gap, gap);
    }

    /// The parts in their order, each with the gap behind it.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (&Parts, Option<DropNotice>)> {
        let earlier = self.earlier.iter();
        let earlier = earlier.map(|(parts, gap)| (parts, Some(gap.clone())));
        earlier.chain(std::iter::once((&self.parts, self.gap.take())))
    }
}
