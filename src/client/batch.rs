//! Messages that are written together. The sends put their frames side by side, and they
//! leave without another copy.

use std::iter::once;

use super::outgoing::{Outgoing, Queued};
use crate::limits::READ_BUFFER_BYTES;

/// Empty batches that are kept in one place for their memory.
pub(super) const SPARE_BATCHES_MAX: usize = 4;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub items: Vec<Queued>,
    /// The frames of the messages among the items, prefixes included.
    pub bytes: Vec<u8>,
    /// The end of each of these frames.
    pub ends: Vec<usize>,
    /// Nothing more belongs to this batch: its last item is a fence.
    pub is_sealed: bool,
}

impl Batch {
    /// Returns whether a frame of so many bytes belongs to this batch.
    #[inline]
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        !self.is_sealed && (self.bytes.is_empty() || self.bytes.len() + bytes <= READ_BUFFER_BYTES)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts in a message whose frame has so many bytes, which `append` appends.
    #[inline]
    pub(super) fn put(
        &mut self,
        message: Outgoing,
        bytes: usize,
        append: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.bytes.capacity() - self.bytes.len() < bytes {
            self.grow(bytes);
        }
        append(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.items.push(Queued::Message(message));
    }

    pub(super) fn put_copy(&mut self, message: Outgoing, frame: &[u8]) {
        self.put(message, frame.len(), |out| out.extend_from_slice(frame));
    }

    /// The frame of each message.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(start, end)| start..*end);
        ranges.map(|range| self.bytes.get(range).unwrap_or_default())
    }

    /// The frame of message `index`.
    pub(super) fn frame(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(start..*self.ends.get(index)?)
    }

    /// Empties the batch. It keeps its memory, unless one large frame took more than usual.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.is_sealed = false;
        self.ends.clear();
        self.bytes.clear();
        self.bytes.shrink_to(READ_BUFFER_BYTES);
    }

    /// Makes room for so many bytes: twice as much as before, but no more than is used.
    #[cold]
    fn grow(&mut self, bytes: usize) {
        let needed = self.bytes.len() + bytes;
        let most = needed.max(READ_BUFFER_BYTES);
        let capacity = (2 * self.bytes.capacity()).clamp(needed, most);
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }
}
