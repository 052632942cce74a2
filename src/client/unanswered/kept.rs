//! The frames of messages under way, in the batches in which they were first written, for
//! a connection that has to write them again.

use std::collections::VecDeque;
use std::mem;

use super::super::batch::Batch;

/// Empty batches that are kept for their memory.
const SPARES_MAX: usize = 8;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Kept {
    batches: VecDeque<Written>,
    /// Bytes of frames in all batches.
    bytes: usize,
    spares: Vec<Batch>,
}

/// A batch whose messages have the positions from `first` on.
#[derive(Debug)]
struct Written {
    first: u64,
    batch: Batch,
}

impl Kept {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a batch whose messages have positions from `first` on, behind all others, and
    /// puts an empty one in its place.
    pub(super) fn push(&mut self, first: u64, batch: &mut Batch) {
        let spare = self.spares.pop().unwrap_or_default();
        let batch = mem::replace(batch, spare);
        self.bytes += batch.bytes.len();
        self.batches.push_back(Written { first, batch });
    }

    /// The frame of the message at `position`.
    pub(super) fn frame(&self, position: u64) -> Option<&[u8]> {
        let behind = self.batches.partition_point(|it| it.first <= position);
        let Written { first, batch } = self.batches.get(behind.checked_sub(1)?)?;
        batch.frame(usize::try_from(position - first).ok()?)
    }

    /// Lets go of the batches with no message at `position` or behind it.
    #[inline]
    pub(super) fn drop_before(&mut self, position: u64) {
        while let Some(Written { first, batch }) = self.batches.front()
            && first + batch.ends.len() as u64 <= position
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(Written { mut batch, .. }) = self.batches.pop_front() else {
            return;
        };
        self.bytes -= batch.bytes.len();
        if self.spares.len() < SPARES_MAX {
            batch.clear();
            self.spares.push(batch);
        }
    }

    /// Lets go of all.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }
}
