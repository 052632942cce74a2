//! The bytes of an entry: a slice of the input that they arrived in, or a copy
//! out of it.
//!
//! Copies are made where several short runs share a read. Their buffers are used
//! again; a thread keeps a bounded number of them.

use std::cell::RefCell;
use std::mem;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::budget::{Budget, Held, Purpose};

/// Buffers that a thread keeps for copies to come.
const BUFFERS_KEPT_MAX: usize = 1024;
/// Buffers looked at for one that fits: most copies are of about the same size.
const BUFFERS_TRIED_MAX: usize = 16;
/// Bytes that the kept buffers may have together.
const BYTES_KEPT_MAX: usize = 1024 * 1024;

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers::new()) };
}

struct Buffers {
    #[allow(
        clippy::vec_box,
        reason = "a batch has the box in its line of the cache, and it is used again"
    )]
    buffers: Vec<Box<Buffer>>,
    bytes: usize,
}

/// A buffer that is used again.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    /// Counts the buffer while it is in use. It stays with the buffer, so that
    /// threads don't contend for its reference count.
    budget: Arc<Budget>,
}

impl Buffers {
    const fn new() -> Self {
        Self {
            buffers: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes an empty buffer for `bytes` bytes. It is never much larger, for an
    /// entry shall not hold much more than its bytes.
    fn take(&mut self, bytes: usize) -> Option<Box<Buffer>> {
        let range = bytes..=2 * bytes;
        let fits = |buffer: &Buffer| range.contains(&buffer.bytes.capacity());
        // The buffers given back last are in the processor's caches.
        let first = self.buffers.len().saturating_sub(BUFFERS_TRIED_MAX);
        let found = first
            + self.buffers[first..]
                .iter()
                .rposition(|buffer| fits(buffer))?;
        let buffer = self.buffers.swap_remove(found);
        self.bytes -= buffer.bytes.capacity();
        Some(buffer)
    }

    fn give(&mut self, mut buffer: Box<Buffer>) {
        let bytes = self.bytes + buffer.bytes.capacity();
        if bytes <= BYTES_KEPT_MAX && self.buffers.len() < BUFFERS_KEPT_MAX {
            buffer.bytes.clear();
            self.buffers.push(buffer);
            self.bytes = bytes;
        }
    }
}

/// A frame that is kept for snapshots, prefix included.
pub(crate) type KeptFrame = Arc<Frame>;

/// The bytes of a frame, counted as long as the store of snapshots or a receiver
/// has them.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    held: Option<Held>,
}

impl Frame {
    /// Copies `bytes`, and counts `overhead` bytes more.
    pub(crate) fn new(bytes: &[u8], overhead: usize, budget: &Arc<Budget>) -> Self {
        Self {
            bytes: bytes.to_vec(),
            held: Some(Held::new(budget, bytes.len() + overhead)),
        }
    }

    /// Replaces the bytes by those of `frame`, if these fill half of the buffer.
    /// Returns whether they do.
    pub(crate) fn replace(&mut self, frame: &[u8], overhead: usize) -> bool {
        let fits = self.bytes.capacity() / 2 <= frame.len();
        if fits {
            self.bytes.clear();
            self.bytes.reserve_exact(frame.len());
            self.bytes.extend_from_slice(frame);
            if let Some(held) = &mut self.held {
                held.set(self.bytes.capacity() + overhead);
            }
        }
        fits
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Debug)]
pub(crate) enum EntryBytes {
    /// A slice, which keeps its input in memory.
    Slice(Bytes),
    /// A copy, and the number of bytes taken off its front.
    Copy(Copied, usize),
    /// A frame that is also kept for snapshots, and the number of bytes taken off
    /// its front.
    Kept(KeptFrame, usize),
}

/// A copy in a buffer that is used again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Copied(Option<Box<Buffer>>);

impl EntryBytes {
    /// Copies `ranges` of an input, which have `bytes` bytes together.
    pub(crate) fn copy(
        input: &[u8],
        ranges: impl IntoIterator<Item = Range<usize>>,
        bytes: usize,
        budget: &Arc<Budget>,
    ) -> Self {
        let mut copied = Copied::with_room(bytes, budget);
        for range in ranges {
            copied.append(&input[range]);
        }
        Self::Copy(copied, 0)
    }

    /// Bytes of memory that a copy holds.
    pub(crate) fn copied_bytes(&self) -> Option<usize> {
        match self {
            Self::Slice(_) | Self::Kept(..) => None,
            Self::Copy(copied, _) => Some(copied.capacity()),
        }
    }

    /// Makes another handle to the same bytes.
    pub(crate) fn share(&mut self) -> Self {
        let bytes = match mem::replace(self, Self::Slice(Bytes::new())) {
            Self::Slice(bytes) => bytes,
            other => other.into(),
        };
        *self = Self::Slice(bytes.clone());
        Self::Slice(bytes)
    }

    /// Takes `count` bytes off the front.
    pub(crate) fn advance(&mut self, count: usize) {
        match self {
            Self::Slice(bytes) => bytes.advance(count),
            Self::Copy(_, start) | Self::Kept(_, start) => *start += count,
        }
    }

    /// A part of the bytes that lives by itself.
    pub(crate) fn part(&self, range: Range<usize>) -> Bytes {
        match self {
            Self::Slice(bytes) => bytes.slice(range),
            _ => Bytes::copy_from_slice(&self[range]),
        }
    }
}

impl Copied {
    /// Makes an empty copy with room for `bytes` bytes.
    pub(crate) fn with_room(bytes: usize, budget: &Arc<Budget>) -> Self {
        let known = BUFFERS.with_borrow_mut(|buffers| buffers.take(bytes));
        let mut buffer = known.unwrap_or_else(|| {
            Box::new(Buffer {
                bytes: Vec::with_capacity(bytes),
                budget: Arc::clone(budget),
            })
        });
        if !Arc::ptr_eq(&buffer.budget, budget) {
            buffer.budget = Arc::clone(budget);
        }
        budget.count(Purpose::Queued, buffer.bytes.capacity() as isize);
        Self(Some(buffer))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |buffer| &buffer.bytes)
    }

    fn capacity(&self) -> usize {
        let buffer = self.0.as_ref();
        buffer.map_or(0, |buffer| buffer.bytes.capacity())
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Adds `bytes`. To be called only for a copy that was made with room.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        debug_assert!(self.0.is_some(), "nothing has room");
        if self.capacity() - self.len() < bytes.len() {
            // Double at least, so that small additions don't move the bytes
            // each time.
            self.move_to_room_for(self.len() + bytes.len().max(self.len()));
        }
        if let Some(buffer) = &mut self.0 {
            buffer.bytes.extend_from_slice(bytes);
        }
    }

    /// Finishes the copy for a queue: in a smaller buffer, if its own is much too
    /// large.
    pub(crate) fn finish(mut self) -> EntryBytes {
        if self.capacity() > 2 * self.len() {
            self.move_to_room_for(self.len());
        }
        EntryBytes::Copy(self, 0)
    }

    #[cold]
    fn move_to_room_for(&mut self, bytes: usize) {
        let Some(buffer) = &self.0 else { return };
        let mut other = Self::with_room(bytes, &buffer.budget);
        if let Some(other) = &mut other.0 {
            other.bytes.extend_from_slice(&buffer.bytes);
        }
        *self = other;
    }
}

impl Deref for EntryBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Copy(copied, start) => &copied.bytes()[*start..],
            Self::Kept(frame, start) => &frame[*start..],
        }
    }
}

impl From<EntryBytes> for Bytes {
    fn from(bytes: EntryBytes) -> Self {
        match bytes {
            EntryBytes::Slice(bytes) => bytes,
            EntryBytes::Copy(copied, start) => {
                // Counted until the last part of it is dropped.
                let mut bytes = Self::from_owner(copied);
                bytes.advance(start);
                bytes
            }
            EntryBytes::Kept(frame, start) => Self::copy_from_slice(&frame[start..]),
        }
    }
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            let bytes = buffer.bytes.capacity();
            buffer.budget.count(Purpose::Queued, -(bytes as isize));
            // A thread that ends keeps no buffers any more.
            let _ = BUFFERS.try_with(|buffers| buffers.borrow_mut().give(buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;

    fn copy(
        input: &[u8],
        parts: impl IntoIterator<Item = Range<usize>>,
        bytes: usize,
    ) -> EntryBytes {
        EntryBytes::copy(input, parts, bytes, &Arc::default())
    }

    #[test]
    fn a_copy_holds_its_parts_and_gives_its_buffer_back() {
        let input = b"0123456789";
        let mut run = copy(input, [1..3, 5..9], 6);
        assert_eq!(&run[..], b"125678");
        run.advance(2);
        assert_eq!(&run[..], b"5678");
        assert_eq!(&run.part(1..3)[..], b"67");
        let address = run.as_ptr() as usize - 2;
        drop(run);
        let again = copy(input, once(0..4), 4);
        assert_eq!(again.as_ptr() as usize, address);
        assert_eq!(&Bytes::from(again)[..], b"0123");
    }

    #[test]
    fn a_small_run_does_not_hold_a_large_buffer() {
        let input = [0; 1_000];
        drop(copy(&input, once(0..1_000), 1_000));
        let small = copy(&input, once(0..10), 10);
        assert!(small.copied_bytes().unwrap() <= 20);
    }

    #[test]
    fn a_copy_that_grows_holds_not_much_more_than_its_bytes() {
        let mut copied = Copied::with_room(10, &Arc::default());
        for _ in 0..3 {
            copied.append(&[7; 11]);
        }
        let grown = copied.finish();
        assert_eq!(&grown[..], [7; 33]);
        let mut roomy = Copied::with_room(1_000, &Arc::default());
        roomy.append(&[7; 10]);
        let fitted = roomy.finish();
        assert_eq!(&fitted[..], [7; 10]);
        for run in [grown, fitted] {
            assert!(run.copied_bytes().unwrap() <= 2 * run.len());
        }
    }

    #[test]
    fn keeps_a_bounded_number_of_buffers_of_a_bounded_size_together() {
        let input = vec![0; BYTES_KEPT_MAX / 4];
        let large: Vec<_> = (0..9)
            .map(|_| copy(&input, once(0..input.len()), input.len()))
            .collect();
        drop(large);
        BUFFERS.with_borrow(|buffers| assert_eq!(buffers.buffers.len(), 4));
        BUFFERS.set(Buffers::new());
        let many: Vec<_> = (0..2 * BUFFERS_KEPT_MAX)
            .map(|_| copy(&input, once(0..9), 9))
            .collect();
        drop(many);
        BUFFERS.with_borrow(|buffers| {
            assert_eq!(buffers.buffers.len(), BUFFERS_KEPT_MAX);
            assert_eq!(buffers.bytes, BUFFERS_KEPT_MAX * 9);
        });
    }
}
