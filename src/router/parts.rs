//! Parts of a window that go the same way, and what was dropped in between.

use std::ops::Range;
use std::sync::Arc;

use super::budget::Budget;
use super::gap::Gap;
use super::run_bytes::RunBytes;
use crate::limits::RUN_PIN_BYTES_MIN;

/// Whether a stretch of a window is large enough to keep the window's block in
/// memory for it: otherwise a queued run of 128 bytes would hold 64 KiB.
pub(super) fn pins(bytes: usize, block_bytes: usize) -> bool {
    bytes >= RUN_PIN_BYTES_MIN && bytes >= block_bytes / 4
}

/// Parts that follow each other without a gap.
#[derive(Debug, Default, Clone)]
pub(super) struct Parts {
    pub(super) ranges: Vec<Range<usize>>,
    pub(super) frames: u32,
    pub(super) bytes: usize,
}

impl Parts {
    /// Adds what follows; neighbours are joined.
    #[inline]
    pub(super) fn add(&mut self, range: Range<usize>, frames: u32) {
        self.frames += frames;
        self.bytes += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
        self.frames = 0;
        self.bytes = 0;
    }

    /// Whether they are one stretch that [`pins`] its window.
    pub(super) fn pins(&self, block_bytes: usize) -> bool {
        self.ranges.len() == 1 && pins(self.bytes, block_bytes)
    }

    pub(super) fn copy_from(&self, window: &[u8], budget: &Arc<Budget>) -> RunBytes {
        RunBytes::copy(window, self.ranges.iter().cloned(), self.bytes, budget)
    }
}

/// What one receiver gets of a read, in order: parts, and gaps where something
/// was dropped for it.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Parts, each with the gap behind it.
    earlier: Vec<(Parts, Gap)>,
    parts: Parts,
    /// What was dropped behind `parts`.
    gap: Option<Gap>,
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
    pub(super) fn add(&mut self, range: Range<usize>, frames: u32) {
        if let Some(gap) = self.gap.take() {
            self.earlier.push((std::mem::take(&mut self.parts), gap));
        }
        self.parts.add(range, frames);
    }

    /// Notes what was dropped behind all that was added.
    #[cold]
    pub(super) fn add_gap(&mut self, gap: Gap) {
        Gap::note(&mut self.gap, gap);
    }

    /// The parts in their order, each with the gap behind it.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (&Parts, Option<Gap>)> {
        let earlier = self.earlier.iter();
        let earlier = earlier.map(|(parts, gap)| (parts, Some(gap.clone())));
        earlier.chain(std::iter::once((&self.parts, self.gap.take())))
    }
}
