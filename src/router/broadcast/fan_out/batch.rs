//! The matches of one subscriber in a few reads.
//!
//! Matches that stand side by side in the input form a stretch. Room is reserved
//! for a whole stretch in one step; where there is plenty, for as much as the
//! subscriber usually gets. A large stretch is queued as a slice of the input.
//! Others are gathered as a copy, which is queued as one entry.

use std::ops::Range;
use std::sync::Arc;

use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::broadcast::run::{BroadcastContext, RunView};
use crate::router::mailbox::queue_state::Reservation;
use crate::router::mailbox::{Copied, Cut, DropNotice, Entry};

/// See the [module](self). It fills one line of the processor's cache: there are
/// many batches, and a message meets few of them.
///
/// Hence the numbers are `u32`: neither an input nor a batch has 4 GiB.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Batch {
    /// The messages copied out of this read and earlier ones.
    gathered: Copied,
    gathered_frames: u32,
    /// The reserved room: for gathered messages, for those of the stretch that
    /// are not open, and perhaps ahead.
    reserved_frames: u32,
    reserved_bytes: u32,
    /// The size of the last entry.
    usual_bytes: u32,
    stretch: Stretch,
}

/// Matches side by side in the input. The last of them, those of the current run,
/// may have no room yet: they are *open*.
#[derive(Debug, Default, Clone, Copy)]
struct Stretch {
    start: u32,
    end: u32,
    frames: u32,
    open_start: u32,
    open_frames: u32,
    /// The index of the first open message in its run.
    open_index: u32,
}

impl Stretch {
    fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Cuts off the open messages.
    fn cut_open(&mut self) {
        self.frames -= std::mem::take(&mut self.open_frames);
        self.end = self.open_start;
    }
}

/// A match.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageSpan {
    /// The start and the end in the input, prefix included.
    pub(super) start: u32,
    pub(super) end: u32,
    /// The index of the message in its run.
    pub(super) index: u32,
}

impl MessageSpan {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Batch {
    /// Whether it has no messages and no room.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.stretch.frames == 0 && self.reserved_frames == 0
    }

    /// Adds a match, once if it comes twice. If it doesn't stand beside the
    /// stretch, the stretch is ended by `close`, which calls [`Self::close`].
    /// Returns whether it is the first match of its run.
    #[inline]
    pub(super) fn add(&mut self, span: MessageSpan, close: impl FnOnce(&mut Self)) -> bool {
        let stretch = &self.stretch;
        let is_first = stretch.open_frames == 0;
        if !is_first && stretch.open_index + stretch.open_frames > span.index {
            return false;
        }
        if stretch.frames > 0 && stretch.end != span.start {
            close(self);
        }
        let stretch = &mut self.stretch;
        if stretch.frames == 0 {
            stretch.start = span.start;
        }
        if stretch.open_frames == 0 {
            stretch.open_start = span.start;
            stretch.open_index = span.index;
        }
        stretch.end = span.end;
        stretch.frames += 1;
        stretch.open_frames += 1;
        is_first
    }

    /// Ends the stretch: reserves room for it and gathers it.
    #[inline]
    pub(super) fn close(
        &mut self,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        self.reserve(receiver, run, context, dropped);
        self.gather(receiver, run.input);
    }

    /// Reserves room for the open messages. Those that don't fit are added to
    /// `dropped`.
    #[inline]
    pub(super) fn reserve(
        &mut self,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        let frames = self.gathered_frames + self.stretch.frames;
        let bytes = self.gathered.len() as u32 + self.stretch.len();
        if frames > self.reserved_frames || bytes > self.reserved_bytes {
            self.reserve_more(frames, bytes, receiver, run, context, dropped);
        }
        self.stretch.open_frames = 0;
    }

    /// Reserves room up to `frames` and `bytes` in all, and ahead if there is
    /// plenty.
    fn reserve_more(
        &mut self,
        frames: u32,
        bytes: u32,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        // As many bytes as usual, and as many messages as these are at this size.
        let ahead = u64::from(self.usual_bytes.saturating_sub(bytes));
        let frames_ahead = u64::from(frames) * ahead / u64::from(bytes.max(1));
        let more = Reservation {
            messages: (frames as usize + frames_ahead as usize)
                .saturating_sub(self.reserved_frames as usize),
            bytes: (bytes as usize + ahead as usize).saturating_sub(self.reserved_bytes as usize),
        };
        match receiver.reserve_whole(more, context.capacity) {
            Ok(true) => {
                self.reserved_frames += more.messages as u32;
                self.reserved_bytes += more.bytes as u32;
            }
            Ok(false) => self.reserve_what_fits(receiver, run, context, dropped),
            // The connection hears nothing more.
            Err(_) => self.stretch.cut_open(),
        }
    }

    /// Reserves room for the open messages that fit, from the first on, and notes
    /// the drop of the others. Called when the queue is nearly full.
    #[cold]
    fn reserve_what_fits(
        &mut self,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        let open = self.stretch;
        self.stretch.cut_open();
        let surplus = self.take_surplus();
        receiver.release(surplus.messages, surplus.bytes);
        let first = open.open_index as usize;
        let sizes = &run.sizes[first..first + open.open_frames as usize];
        let total = (open.end - open.open_start) as usize;
        let granted = receiver.reserve(sizes, total, context.capacity);
        let Ok(granted) = granted else { return };
        let bytes: u32 = sizes[..granted].iter().sum();
        self.stretch.end += bytes;
        self.stretch.frames += granted as u32;
        self.reserved_frames += granted as u32;
        self.reserved_bytes += bytes;
        if granted == sizes.len() {
            return;
        }
        let mut notice = None;
        for index in first + granted..first + sizes.len() {
            dropped.missed.push(index as u32);
            DropNotice::note(&mut notice, context.drop_notice(run.ids[index]));
        }
        // The notice stands behind all that isn't dropped.
        self.gather(receiver, run.input);
        if let Some(notice) = notice {
            let (entry, room) = self.take_entry();
            dropped.pending.push(PendingNotice {
                receiver: Arc::clone(receiver),
                entry,
                room,
                notice,
            });
        }
    }

    /// The room that is reserved ahead.
    pub(super) fn surplus(&self) -> Reservation {
        let frames = self.gathered_frames + self.stretch.frames;
        let bytes = self.gathered.len() as u32 + self.stretch.len();
        Reservation {
            messages: (self.reserved_frames - frames) as usize,
            bytes: (self.reserved_bytes - bytes) as usize,
        }
    }

    fn take_surplus(&mut self) -> Reservation {
        let surplus = self.surplus();
        self.reserved_frames -= surplus.messages as u32;
        self.reserved_bytes -= surplus.bytes as u32;
        surplus
    }

    /// The size of the stretch.
    pub(super) fn stretch_bytes(&self) -> usize {
        self.stretch.len() as usize
    }

    /// Gathers the stretch if other messages are gathered already: it can't be
    /// queued as a slice then. Returns whether it did.
    #[inline]
    pub(super) fn gather_more(&mut self, receiver: &BroadcastReceiver, input: &[u8]) -> bool {
        let gathers = self.gathered_frames > 0;
        if gathers {
            self.gather(receiver, input);
        }
        gathers
    }

    /// Copies the stretch, which has room.
    fn gather(&mut self, receiver: &BroadcastReceiver, input: &[u8]) {
        // Field by field, as they were written: a load of several fields would
        // wait until each store had reached the cache.
        let Stretch {
            start, end, frames, ..
        } = self.stretch;
        if frames == 0 {
            return;
        }
        self.stretch.frames = 0;
        self.stretch.end = start;
        if self.gathered_frames == 0 {
            let room = (end - start).max(self.usual_bytes) as usize;
            self.gathered = Copied::with_room(room, &receiver.handle.budget);
        }
        self.gathered_frames += frames;
        (self.gathered).append(&input[start as usize..end as usize]);
    }

    /// Ends the read: queues the stretch as a slice of the input if that is
    /// possible, else gathers it.
    #[inline]
    pub(super) fn commit(&mut self, receiver: &BroadcastReceiver, cut: &Cut<'_>) {
        let Stretch {
            start, end, frames, ..
        } = self.stretch;
        let slice = match self.gathered_frames {
            0 => cut.slice(start as usize..end as usize, frames, None),
            _ => None,
        };
        match slice {
            Some(slice) => {
                // Gives back the room reserved ahead.
                self.queue(receiver);
                *self = Self {
                    usual_bytes: self.usual_bytes,
                    ..Self::default()
                };
                receiver.broadcast(slice, (end - start) as usize);
            }
            None => self.gather(receiver, cut.input()),
        }
    }

    /// Queues the gathered messages and gives back unused room.
    pub(super) fn queue(&mut self, receiver: &BroadcastReceiver) {
        let (entry, room) = self.take_entry();
        queue_within(receiver, entry, room);
    }

    /// Takes the gathered messages as an entry, if there are any, and all room
    /// but that of the stretch.
    fn take_entry(&mut self) -> (Option<Entry>, Reservation) {
        let room = Reservation {
            messages: (self.reserved_frames - self.stretch.frames) as usize,
            bytes: (self.reserved_bytes - self.stretch.len()) as usize,
        };
        self.reserved_frames = self.stretch.frames;
        self.reserved_bytes = self.stretch.len();
        let frames = std::mem::take(&mut self.gathered_frames);
        if frames == 0 {
            return (None, room);
        }
        self.usual_bytes = self.gathered.len() as u32;
        let bytes = std::mem::take(&mut self.gathered).finish();
        let entry = Entry {
            charge: bytes.copied_bytes().unwrap_or(bytes.len()),
            bytes,
            messages: frames,
            order: 0,
            origin: None,
        };
        (Some(entry), room)
    }
}

/// Queues an entry, if there is one, and gives back the rest of the room.
fn queue_within(receiver: &BroadcastReceiver, entry: Option<Entry>, room: Reservation) {
    match entry {
        Some(entry) => receiver.broadcast_within(entry, room),
        None => receiver.release(room.messages, room.bytes),
    }
}

/// The messages of a run that were dropped, and the notices of them.
#[derive(Debug, Default)]
pub(super) struct DroppedMessages {
    /// The index of each dropped message in the run, once for each subscriber.
    pub(super) missed: Vec<u32>,
    pending: Vec<PendingNotice>,
}

/// The notice for one subscriber, and the entry that it must get before.
#[derive(Debug)]
struct PendingNotice {
    receiver: Arc<BroadcastReceiver>,
    entry: Option<Entry>,
    room: Reservation,
    notice: DropNotice,
}

impl DroppedMessages {
    /// Queues the notices, each behind its entry.
    #[inline]
    pub(super) fn queue(&mut self) {
        for pending in self.pending.drain(..) {
            queue_within(&pending.receiver, pending.entry, pending.room);
            pending.receiver.miss_broadcasts(pending.notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_line_of_the_cache() {
        assert_eq!(size_of::<Batch>(), 64);
    }
}
