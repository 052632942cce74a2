//! Entries that were taken from a queue and are being written.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use smallvec::SmallVec;

use super::flow_window::{self, Ahead};
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

/// What one vectored write is offered.
#[derive(Debug, Default)]
pub(crate) struct Slices<'a>(SmallVec<[IoSlice<'a>; SLICES_MAX]>);

impl<'a> Slices<'a> {
    /// Adds `part` behind the others, unless it is empty. Says whether there
    /// was room.
    pub(crate) fn push(&mut self, part: &'a [u8]) -> bool {
        if part.is_empty() {
            return true;
        }
        let has_room = self.0.len() < SLICES_MAX;
        if has_room {
            self.0.push(IoSlice::new(part));
        }
        has_room
    }

    /// All of them.
    pub(crate) fn as_slice(&self) -> &[IoSlice<'a>] {
        &self.0
    }
}

/// What is left of an entry whose writing was broken off within a frame.
#[derive(Debug, Default)]
pub(crate) struct BrokenOff {
    /// The rest of the frame that was begun, if one was.
    pub(crate) rest: Option<Bytes>,
    /// Frames of the entry that were wholly written.
    pub(crate) messages: usize,
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

    /// Takes entries from `queue`, as many as one write can have.
    pub(crate) fn fill(&mut self, queue: &Queue) {
        if queue.load().is_empty() {
            return;
        }
        while self.entries.len() < SLICES_MAX {
            let Some(entry) = queue.pop() else { break };
            self.entries.push_back(entry);
        }
    }

    /// Takes all entries from `queue`, so that what is added now comes behind
    /// them and before what is queued later.
    pub(crate) fn fill_whole(&mut self, queue: &Queue) {
        self.entries.extend(std::iter::from_fn(|| queue.pop()));
    }

    /// Adds an entry behind those that were taken.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Forgets what is not begun to be written.
    pub(crate) fn forget(&mut self) {
        self.entries.truncate(usize::from(self.is_partial()));
    }

    /// How many entries were taken and are not written.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes entries that `next` gives, as many as one write can have and
    /// `bytes_max` bytes together; the first in any case. Gives back the one that
    /// was too much.
    pub(crate) fn take_some(
        &mut self,
        mut next: impl FnMut() -> Option<Entry>,
        bytes_max: usize,
    ) -> Option<Entry> {
        let mut bytes = 0;
        while self.entries.len() < SLICES_MAX {
            let entry = next()?;
            bytes += entry.bytes.len();
            if bytes > bytes_max && !self.entries.is_empty() {
                return Some(entry);
            }
            self.entries.push_back(entry);
        }
        None
    }

    /// Puts entries in front of the others. To be called only while none is
    /// partly written.
    pub(crate) fn give_back(&mut self, entries: impl IntoIterator<Item = Entry>) {
        debug_assert!(!self.is_partial(), "an entry is being written");
        let mut entries: VecDeque<Entry> = entries.into_iter().collect();
        entries.append(&mut self.entries);
        self.entries = entries;
    }

    /// Takes all entries. To be called only while none is partly written.
    pub(crate) fn take_all(&mut self) -> VecDeque<Entry> {
        debug_assert!(!self.is_partial(), "an entry is being written");
        std::mem::take(&mut self.entries)
    }

    /// Adds what is to be written to `slices`, as far as there is room, and
    /// `most` bytes at most. Says how many bytes that are.
    pub(crate) fn offer<'a>(&'a self, slices: &mut Slices<'a>, most: usize) -> usize {
        let mut bytes = 0;
        let mut skip = self.written;
        for entry in &self.entries {
            let part = &entry.bytes[skip..];
            let part = &part[..part.len().min(most - bytes)];
            skip = 0;
            if !slices.push(part) {
                break;
            }
            bytes += part.len();
        }
        bytes
    }

    /// The frames that are not wholly written, in their order.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = Ahead> + '_ {
        self.entries.iter().enumerate().flat_map(|(index, entry)| {
            let written = if index == 0 { self.written } else { 0 };
            let is_message = entry.holds_messages();
            let frames = wire::frames(&entry.bytes).filter(move |frame| frame.end > written);
            frames.map(move |frame| Ahead {
                bytes: frame.end - frame.start.max(written),
                is_begun: frame.start < written,
                is_message,
            })
        })
    }

    /// Takes away what may not be written yet: all but the rest of a frame that
    /// is begun and `room` messages.
    pub(crate) fn keep(&mut self, room: usize) -> VecDeque<Entry> {
        let mut kept = self.written + flow_window::bytes_within(self.ahead(), room);
        let mut index = 0;
        while let Some(entry) = self.entries.get_mut(index) {
            if kept == 0 {
                break;
            }
            index += 1;
            let bytes = entry.bytes.len();
            if kept < bytes {
                let rest = entry.split_off(kept);
                self.entries.insert(index, rest);
                break;
            }
            kept -= bytes;
        }
        self.entries.split_off(index)
    }

    /// Accounts for `bytes` more that were written, and says how many frames
    /// and how much charge that sets free.
    pub(crate) fn advance(&mut self, bytes: usize) -> (usize, usize) {
        let mut messages = 0;
        let mut charge = 0;
        self.written += bytes;
        while let Some(head) = self.entries.front() {
            if self.written < head.bytes.len() {
                break;
            }
            self.written -= head.bytes.len();
            messages += head.messages as usize;
            charge += head.charge;
            self.entries.pop_front();
        }
        (messages, charge)
    }

    /// Gives back what an idle connection doesn't need.
    pub(crate) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Takes the oldest of its own entries whole. To be called only while none
    /// is partly written.
    pub(crate) fn take_first(&mut self) -> Option<Entry> {
        debug_assert!(!self.is_partial(), "an entry is being written");
        self.entries.pop_front()
    }

    /// Takes the oldest entry whole. To be called only while none is partly
    /// written.
    pub(crate) fn pop(&mut self, queue: &Queue) -> Option<Entry> {
        self.take_first().or_else(|| queue.pop())
    }

    /// Has the first entry start with the first of its frames that is not wholly
    /// written, so that it is partly written only within a frame. Says how many
    /// frames were taken off.
    pub(crate) fn cut(&mut self) -> usize {
        let written = self.written;
        let Some(head) = self.entries.front_mut().filter(|_| written > 0) else {
            return 0;
        };
        let mut whole = 0;
        let mut start = 0;
        for frame in wire::frames(&head.bytes) {
            if frame.end > written {
                break;
            }
            start = frame.end;
            whole += 1;
        }
        head.bytes.advance(start);
        head.messages -= whole;
        self.written -= start;
        whole as usize
    }

    /// Stops writing: the first entry now starts with the first of its frames
    /// that is not wholly written.
    pub(crate) fn break_off(&mut self) -> BrokenOff {
        let messages = self.cut();
        let written = std::mem::take(&mut self.written);
        let head = self.entries.front().filter(|_| written > 0);
        let rest = head.and_then(|head| {
            let begun = wire::frames(&head.bytes).next()?;
            Some(head.bytes.part(written..begun.end))
        });
        BrokenOff { rest, messages }
    }
}
