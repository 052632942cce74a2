//! Entries that were taken from a queue and are being written.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

use super::queue::{Entry, Queue};
use crate::wire;

/// Most slices handed to one vectored write.
const SLICES_MAX: usize = 64;

/// A non-blocking vectored write: how many bytes were taken, or
/// [`io::ErrorKind::WouldBlock`].
pub type Write<'a> = &'a mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    entries: VecDeque<Entry>,
    /// Bytes of the first entry that are written; always fewer than it has.
    written: usize,
}

/// What a write achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Bytes, those that went ahead included.
    pub(crate) bytes: usize,
    /// Frames of the entries that are wholly written now.
    pub(crate) frames: usize,
    /// What those entries were charged.
    pub(crate) charge: usize,
}

/// What is left of an entry whose writing was broken off within a frame.
#[derive(Debug, Default)]
pub(crate) struct BrokenOff {
    /// The rest of the frame that was begun, if one was.
    pub(crate) rest: Option<Bytes>,
    /// Frames of the entry that were wholly written.
    pub(crate) frames: usize,
}

impl InFlight {
    /// Whether the first entry is partly written: nothing else may go to the
    /// same connection before its rest.
    pub(crate) fn is_partial(&self) -> bool {
        self.written > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Offers `ahead`, and then entries of `queue`, to `write` once. Without
    /// either, nothing is offered.
    pub(crate) fn write(
        &mut self,
        queue: &Queue,
        ahead: &[u8],
        write: Write<'_>,
    ) -> io::Result<Written> {
        while self.entries.len() < SLICES_MAX - 1 {
            let Some(entry) = queue.pop() else { break };
            self.entries.push_back(entry);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut skip = self.written;
        let parts = self.entries.iter().map(|entry| {
            let part = &entry.bytes[skip..];
            skip = 0;
            part
        });
        let ahead_of_all = Some(ahead).filter(|ahead| !ahead.is_empty());
        for (slice, part) in slices.iter_mut().zip(ahead_of_all.into_iter().chain(parts)) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        if count == 0 {
            return Ok(Written::default());
        }
        let bytes = write(&slices[..count])?;
        let (frames, charge) = self.advance(bytes.saturating_sub(ahead.len()));
        Ok(Written {
            bytes,
            frames,
            charge,
        })
    }

    /// Accounts for `bytes` more that were written, and says how many frames
    /// and how much charge that sets free.
    fn advance(&mut self, bytes: usize) -> (usize, usize) {
        let mut frames = 0;
        let mut charge = 0;
        self.written += bytes;
        while let Some(head) = self.entries.front() {
            if self.written < head.bytes.len() {
                break;
            }
            self.written -= head.bytes.len();
            frames += head.frames as usize;
            charge += head.charge;
            self.entries.pop_front();
        }
        (frames, charge)
    }

    /// Gives back what an idle connection doesn't need.
    pub(crate) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Takes the oldest entry whole. To be called only while none is partly
    /// written.
    pub(crate) fn pop(&mut self, queue: &Queue) -> Option<Entry> {
        debug_assert!(!self.is_partial(), "an entry is being written");
        self.entries.pop_front().or_else(|| queue.pop())
    }

    /// Stops writing: the first entry now starts with the first of its frames
    /// that is not wholly written.
    pub(crate) fn break_off(&mut self) -> BrokenOff {
        let written = std::mem::take(&mut self.written);
        let Some(head) = self.entries.front_mut().filter(|_| written > 0) else {
            return BrokenOff::default();
        };
        let mut whole = 0;
        let mut start = 0;
        let mut end = 0;
        for frame in wire::frames(&head.bytes) {
            end = frame.end;
            if end > written {
                break;
            }
            start = end;
            whole += 1;
        }
        let rest = (written > start).then(|| head.bytes.part(written..end));
        head.bytes.advance(start);
        head.frames -= whole;
        BrokenOff {
            rest,
            frames: whole as usize,
        }
    }
}
