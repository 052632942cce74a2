//! Writing the entries of a mailbox to its owner.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;
use smallvec::SmallVec;

use super::Mailbox;
use super::entry::Entry;
use super::flow_window::{self, Ahead};
use super::queue::Queue;
use crate::sync::MutexGuard;
use crate::wire;

/// A frame that is handed out may keep this many bytes alive for each of its own.
const PINNED_PER_BYTE_MAX: usize = 4;
/// Most slices handed to one vectored write.
const SLICES_MAX: usize = 64;

/// A non-blocking vectored write. Returns the number of bytes taken, or
/// [`io::ErrorKind::WouldBlock`].
pub type Write<'a> = &'a mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>;

/// Frames for a participant inside the process.
#[derive(Debug)]
pub struct Taken {
    /// One message or report, or several broadcasts, prefixes included.
    pub frames: Bytes,
    /// It is the server's report of messages that were dropped.
    pub is_report: bool,
}

#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(super) mailbox: &'a Mailbox,
    pub(crate) in_flight: MutexGuard<'a, InFlight>,
}

impl<'a> Delivery<'a> {
    /// Begins a delivery to the owner, and takes entries out of the queue for it.
    pub(super) fn begin(mailbox: &'a Mailbox, mut in_flight: MutexGuard<'a, InFlight>) -> Self {
        in_flight.fill(&mailbox.queue);
        Self { mailbox, in_flight }
    }

    /// Takes the oldest frame, for an owner inside the process, and returns it with
    /// whether others of its entry follow. Those are still the queue's: they go to
    /// the next owner, or are reported.
    pub(crate) fn take_frame(&mut self) -> Option<(Taken, bool)> {
        if let Some(entry) = self.in_flight.take_single() {
            self.mailbox.release(entry.messages as usize, entry.charge);
            let is_report = !entry.holds_messages();
            let frames = match keeps_too_much(entry.bytes.len(), entry.charge) {
                true => Bytes::copy_from_slice(&entry.bytes),
                false => entry.bytes.into(),
            };
            return Some((Taken { frames, is_report }, false));
        }
        let frames = self.in_flight.first_frame()?;
        let others_follow = self.advance(frames.len());
        if others_follow {
            self.cut();
        }
        // A report is an entry of its own.
        let is_report = false;
        Some((Taken { frames, is_report }, others_follow))
    }

    /// Gives back the room of all written frames, also of those at the front of an entry
    /// that is partly written. Returns whether a frame is partly written.
    pub(crate) fn cut(&mut self) -> bool {
        let messages = self.in_flight.cut();
        self.mailbox.release(messages, 0);
        self.in_flight.is_partial()
    }

    /// Accounts for `bytes` that were written: see [`InFlight::is_partial`].
    pub(crate) fn advance(&mut self, bytes: usize) -> bool {
        let (messages, charge) = self.in_flight.advance(bytes);
        self.mailbox.release(messages, charge);
        self.in_flight.is_partial()
    }
}

/// Returns whether a program that keeps a frame of `bytes` bytes would keep much more
/// memory with it than that.
fn keeps_too_much(bytes: usize, charge: usize) -> bool {
    bytes < charge / PINNED_PER_BYTE_MAX
}

/// Entries that were taken from a queue and are being written.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    pub(crate) entries: VecDeque<Entry>,
    /// Bytes of the first entry that are written; always fewer than it has.
    written: usize,
}

/// The slices offered to one vectored write.
#[derive(Debug, Default)]
pub(crate) struct Slices<'a>(pub(crate) SmallVec<[IoSlice<'a>; SLICES_MAX]>);

impl<'a> Slices<'a> {
    /// Adds the parts but for the first `skip` bytes, as far as there is room, and
    /// `most` bytes at most. Returns the bytes added.
    #[inline]
    pub(crate) fn fill(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        mut skip: usize,
        most: usize,
    ) -> usize {
        let mut bytes = 0;
        for part in parts {
            let part = &part[skip..];
            let part = &part[..part.len().min(most - bytes)];
            skip = 0;
            if !self.push(part) {
                break;
            }
            bytes += part.len();
        }
        bytes
    }

    /// Adds `part`, unless it is empty. Returns whether there was room.
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
}

/// The result of breaking off the writing of an entry.
#[derive(Debug, Default)]
pub(crate) struct BrokenOff {
    /// The rest of the frame that was begun, if one was.
    pub(crate) rest: Option<Bytes>,
    /// Messages of the entry that were wholly written.
    pub(crate) messages: usize,
}

impl InFlight {
    /// Returns whether an entry is partly written: its rest must be written next.
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

    /// Takes all entries from `queue`, so that an entry added now comes behind them
    /// and before those that are queued later.
    pub(crate) fn fill_whole(&mut self, queue: &Queue) {
        self.entries.extend(std::iter::from_fn(|| queue.pop()));
    }

    /// Forgets the entries that are not begun.
    pub(crate) fn forget(&mut self) {
        self.entries.truncate(usize::from(self.is_partial()));
    }

    /// Takes entries from `next`: as many as one write can have and `bytes_max`
    /// bytes together, the first in any case. Returns the one that was too much.
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

    /// Puts entries in front of the others. No entry may be partly written.
    pub(crate) fn give_back(&mut self, entries: impl IntoIterator<Item = Entry>) {
        debug_assert!(!self.is_partial(), "an entry is being written");
        let mut entries: VecDeque<Entry> = entries.into_iter().collect();
        entries.append(&mut self.entries);
        self.entries = entries;
    }

    /// Takes all entries. No entry may be partly written.
    pub(crate) fn take_all(&mut self) -> VecDeque<Entry> {
        debug_assert!(!self.is_partial(), "an entry is being written");
        std::mem::take(&mut self.entries)
    }

    /// Adds the next bytes, `most` at most, to `slices`. Returns their number.
    pub(crate) fn offer<'a>(&'a self, slices: &mut Slices<'a>, most: usize) -> usize {
        let parts = self.entries.iter().map(|entry| &entry.bytes[..]);
        slices.fill(parts, self.written, most)
    }

    /// Takes the oldest entry, if it is a single frame that nothing is written of.
    fn take_single(&mut self) -> Option<Entry> {
        let head = self.entries.front()?;
        let frame = wire::frames(&head.bytes).next()?;
        let is_single = self.written == 0 && frame.end == head.bytes.len();
        is_single.then(|| self.entries.pop_front())?
    }

    /// The oldest frame. To be called only while no frame is partly written.
    pub(crate) fn first_frame(&mut self) -> Option<Bytes> {
        debug_assert!(!self.is_partial(), "an entry is being written");
        let head = self.entries.front_mut()?;
        let end = wire::frames(&head.bytes).next()?.end;
        if keeps_too_much(end, head.charge) {
            return Some(Bytes::copy_from_slice(&head.bytes[..end]));
        }
        let mut frame = Bytes::from(head.bytes.share());
        frame.truncate(end);
        Some(frame)
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

    /// Takes away the entries that may not be written yet: all but the rest of a
    /// begun frame and `room` messages.
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

    /// Accounts for `bytes` more. Returns the messages and the charge set free.
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

    /// Frees memory that an idle connection doesn't need.
    pub(crate) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Takes the oldest entry taken before. None may be partly written.
    pub(crate) fn take_first(&mut self) -> Option<Entry> {
        debug_assert!(!self.is_partial(), "an entry is being written");
        self.entries.pop_front()
    }

    /// Like [`Self::take_first`], and from `queue` if none was taken before.
    pub(crate) fn pop(&mut self, queue: &Queue) -> Option<Entry> {
        self.take_first().or_else(|| queue.pop())
    }

    /// Cuts the wholly written frames off the first entry, so that it is partly
    /// written only within a frame. Returns the number of messages cut off.
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

    /// Stops writing: the first entry now starts with the first of its frames that
    /// is not wholly written.
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
