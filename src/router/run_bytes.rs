//! The bytes of a queued run: a slice of the window that they arrived in, or a
//! copy out of it.
//!
//! Copies are made where several short runs share a read, a few each read; so
//! their buffers are used again. A thread keeps a bounded number of them.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::mem;
use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::{Buf, Bytes};

/// Buffers that a thread keeps for copies to come.
const BUFFERS_KEPT_MAX: usize = 1024;
/// Buffers looked at for one that fits: most copies are of about the same size.
const BUFFERS_TRIED_MAX: usize = 16;
/// Bytes that they may have together.
const BYTES_KEPT_MAX: usize = 1024 * 1024;

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers::new()) };
}

/// The buffers that a thread keeps.
struct Buffers {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    const fn new() -> Self {
        Self {
            buffers: Vec::new(),
            bytes: 0,
        }
    }

    /// An empty buffer for `bytes` bytes. A queued run shall not hold much more
    /// than its bytes, so it is never much larger.
    fn take(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (bytes..=2 * bytes).contains(&buffer.capacity());
        // Those given back last are in the processor's caches.
        let first = self.buffers.len().saturating_sub(BUFFERS_TRIED_MAX);
        let found = first + self.buffers[first..].iter().rposition(fits)?;
        let buffer = self.buffers.swap_remove(found);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        let bytes = self.bytes + buffer.capacity();
        if bytes <= BYTES_KEPT_MAX && self.buffers.len() < BUFFERS_KEPT_MAX {
            buffer.clear();
            self.buffers.push(buffer);
            self.bytes = bytes;
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) enum RunBytes {
    /// Keeps its window in memory.
    Slice(Bytes),
    /// Keeps nothing but itself. Beside it, the bytes taken off its front.
    Copy(Copied, usize),
    /// A frame that is also kept for snapshots, and the bytes taken off its
    /// front.
    Kept(Arc<Vec<u8>>, usize),
}

/// A copy in a buffer that is used again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    buffer: Vec<u8>,
}

impl RunBytes {
    /// A copy of parts of a window, which have `bytes` bytes together.
    pub(crate) fn copy(
        window: &[u8],
        parts: impl IntoIterator<Item = Range<usize>>,
        bytes: usize,
    ) -> Self {
        let mut copied = Copied::with_room(bytes);
        for part in parts {
            copied.buffer.extend_from_slice(&window[part]);
        }
        Self::Copy(copied, 0)
    }

    /// Bytes of memory that are held, if no window is.
    pub(crate) fn copied_bytes(&self) -> Option<usize> {
        match self {
            Self::Slice(_) | Self::Kept(..) => None,
            Self::Copy(copied, _) => Some(copied.buffer.capacity()),
        }
    }

    /// The same bytes once more.
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

    /// A part of it that lives by itself.
    pub(crate) fn part(&self, range: Range<usize>) -> Bytes {
        match self {
            Self::Slice(bytes) => bytes.slice(range),
            _ => Bytes::copy_from_slice(&self[range]),
        }
    }
}

impl Copied {
    /// Nothing yet, with room for `bytes` bytes.
    pub(crate) fn with_room(bytes: usize) -> Self {
        let known = BUFFERS.with_borrow_mut(|buffers| buffers.take(bytes));
        Self {
            buffer: known.unwrap_or_else(|| Vec::with_capacity(bytes)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Adds `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() - self.len() < bytes.len() {
            // Double at least, so that what is added bit by bit isn't moved
            // each time.
            self.move_to_room_for(self.len() + bytes.len().max(self.len()));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// As a queue holds it: in a smaller buffer, if it has much more than it
    /// needs.
    pub(crate) fn finish(mut self) -> RunBytes {
        if self.buffer.capacity() > 2 * self.len() {
            self.move_to_room_for(self.len());
        }
        RunBytes::Copy(self, 0)
    }

    #[cold]
    fn move_to_room_for(&mut self, bytes: usize) {
        let mut other = Self::with_room(bytes);
        other.buffer.extend_from_slice(&self.buffer);
        *self = other;
    }
}

impl Deref for RunBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Copy(copied, start) => &copied.buffer[*start..],
            Self::Kept(frame, start) => &frame[*start..],
        }
    }
}

impl From<RunBytes> for Bytes {
    fn from(run: RunBytes) -> Self {
        match run {
            RunBytes::Slice(bytes) => bytes,
            RunBytes::Copy(mut copied, start) => {
                let mut bytes = Self::from(mem::take(&mut copied.buffer));
                bytes.advance(start);
                bytes
            }
            RunBytes::Kept(frame, start) => Self::copy_from_slice(&frame[start..]),
        }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if self.buffer.capacity() > 0 {
            let buffer = mem::take(&mut self.buffer);
            // A thread that ends has no place for it any more.
            let _ = BUFFERS.try_with(|buffers| buffers.borrow_mut().give(buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;

    #[test]
    fn a_copy_holds_its_parts_and_gives_its_buffer_back() {
        let window = b"0123456789";
        let mut run = RunBytes::copy(window, [1..3, 5..9], 6);
        assert_eq!(&run[..], b"125678");
        run.advance(2);
        assert_eq!(&run[..], b"5678");
        assert_eq!(&run.part(1..3)[..], b"67");
        let address = run.as_ptr() as usize - 2;
        drop(run);
        let again = RunBytes::copy(window, once(0..4), 4);
        assert_eq!(again.as_ptr() as usize, address);
        assert_eq!(&Bytes::from(again)[..], b"0123");
    }

    #[test]
    fn a_small_run_does_not_hold_a_large_buffer() {
        let window = [0; 1_000];
        drop(RunBytes::copy(&window, once(0..1_000), 1_000));
        let small = RunBytes::copy(&window, once(0..10), 10);
        assert!(small.copied_bytes().unwrap() <= 20);
    }

    #[test]
    fn a_copy_that_grows_holds_not_much_more_than_its_bytes() {
        let mut copied = Copied::with_room(10);
        for _ in 0..3 {
            copied.append(&[7; 11]);
        }
        let grown = copied.finish();
        assert_eq!(&grown[..], [7; 33]);
        let mut roomy = Copied::with_room(1_000);
        roomy.append(&[7; 10]);
        let fitted = roomy.finish();
        assert_eq!(&fitted[..], [7; 10]);
        for run in [grown, fitted] {
            assert!(run.copied_bytes().unwrap() <= 2 * run.len());
        }
    }

    #[test]
    fn keeps_a_bounded_number_of_buffers_of_a_bounded_size_together() {
        let window = vec![0; BYTES_KEPT_MAX / 4];
        let large: Vec<_> = (0..9)
            .map(|_| RunBytes::copy(&window, once(0..window.len()), window.len()))
            .collect();
        drop(large);
        BUFFERS.with_borrow(|buffers| assert_eq!(buffers.buffers.len(), 4));
        BUFFERS.set(Buffers::new());
        let many: Vec<_> = (0..2 * BUFFERS_KEPT_MAX)
            .map(|_| RunBytes::copy(&window, once(0..9), 9))
            .collect();
        drop(many);
        BUFFERS.with_borrow(|buffers| {
            assert_eq!(buffers.buffers.len(), BUFFERS_KEPT_MAX);
            assert_eq!(buffers.bytes, BUFFERS_KEPT_MAX * 9);
        });
    }
}
