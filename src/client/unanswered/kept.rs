//! The frames of messages under way, for a connection that has to write them again: in the
//! batches in which they were first written, or by themselves.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::super::batch::{Batch, SPARE_BATCHES_MAX};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Kept {
    batches: VecDeque<Written>,
    /// Bytes of frames in all batches.
    batch_bytes: usize,
    /// Frames by themselves, by position.
    copies: BTreeMap<u64, Box<[u8]>>,
    spares: Vec<Batch>,
}

/// A batch whose messages have the positions from `first` on.
#[derive(Debug)]
struct Written {
    first: u64,
    batch: Batch,
}

impl Kept {
    /// Bytes of frames in batches, also of those that nobody needs any more.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Keeps a batch whose messages have positions from `first` on, behind all others, and
    /// puts an empty one in its place.
    pub(super) fn push(&mut self, first: u64, batch: &mut Batch) {
        let spare = self.spares.pop().unwrap_or_default();
        let batch = mem::replace(batch, spare);
        self.batch_bytes += batch.bytes.len();
        self.batches.push_back(Written { first, batch });
    }

    /// Keeps a frame by itself, in place of any other of its position.
    pub(super) fn put(&mut self, position: u64, frame: &[u8]) {
        self.copies.insert(position, frame.into());
    }

    /// The frame of the message at `position`.
    pub(super) fn frame(&self, position: u64) -> Option<&[u8]> {
        if let Some(copy) = self.copies.get(&position) {
            return Some(copy);
        }
        let behind = self.batches.partition_point(|it| it.first <= position);
        let Written { first, batch } = self.batches.get(behind.checked_sub(1)?)?;
        batch.frame(usize::try_from(position - first).ok()?)
    }

    /// Lets go of the frame of a message that was answered; `first` is the position of the
    /// first message under way. A batch goes when no message of it is left.
    #[inline]
    pub(super) fn remove(&mut self, position: u64, first: u64) {
        if !self.copies.is_empty() {
            self.copies.remove(&position);
        }
        self.drop_before(first);
    }

    /// Lets go of the batches with no message from `first` on.
    #[inline]
    pub(super) fn drop_before(&mut self, first: u64) {
        while let Some(it) = self.batches.front()
            && it.first + it.batch.ends.len() as u64 <= first
        {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(Written { mut batch, .. }) = self.batches.pop_front() else {
            return;
        };
        self.batch_bytes -= batch.bytes.len();
        if self.spares.len() < SPARE_BATCHES_MAX {
            batch.clear();
            self.spares.push(batch);
        }
    }

    /// Lets go of all batches; the frames at `positions` are copied out.
    #[cold]
    pub(super) fn copy_out(&mut self, positions: impl Iterator<Item = u64>) {
        for position in positions {
            if !self.copies.contains_key(&position)
                && let Some(copy) = self.frame(position).map(Box::from)
            {
                self.copies.insert(position, copy);
            }
        }
        while !self.batches.is_empty() {
            self.drop_first();
        }
    }
}
