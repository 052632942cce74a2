//! The matches of one subscriber in a few reads.
//!
//! Matches that stand side by side in the input form a stretch. Room is reserved
//! for a whole stretch in one step. A large stretch is queued as a slice of the
//! input. Others are gathered as a copy, which is queued as one entry.

use std::ops::Range;
use std::sync::Arc;

use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::broadcast::run::{BroadcastContext, RunView};
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
    /// The bytes gathered the last time: as many have room from the start.
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
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.stretch.frames == 0 && self.gathered_frames == 0
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
        let Stretch {
            open_start,
            open_frames,
            open_index,
            ..
        } = self.stretch;
        if open_frames == 0 {
            return;
        }
        let first = open_index as usize;
        let sizes = &run.sizes[first..first + open_frames as usize];
        let total = (self.stretch.end - open_start) as usize;
        match receiver.reserve(sizes, total, context.capacity) {
            Ok(granted) if granted == sizes.len() => self.stretch.open_frames = 0,
            Ok(granted) => self.drop_from(first + granted, receiver, run, context, dropped),
            // The connection hears nothing more.
            Err(_) => self.stretch.cut_open(),
        }
    }

    /// Drops the open messages from `index` on, as the queue has room only for
    /// those before.
    #[cold]
    fn drop_from(
        &mut self,
        index: usize,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        let open = self.stretch;
        let first = open.open_index as usize;
        self.stretch.cut_open();
        self.stretch.frames += (index - first) as u32;
        self.stretch.end += run.sizes[first..index].iter().sum::<u32>();
        let mut notice = None;
        for index in index..first + open.open_frames as usize {
            dropped.missed.push(index as u32);
            DropNotice::note(&mut notice, context.drop_notice(run.ids[index]));
        }
        // The notice stands behind all that isn't dropped.
        self.gather(receiver, run.input);
        if let Some(notice) = notice {
            dropped.pending.push(PendingNotice {
                receiver: Arc::clone(receiver),
                entry: self.take_entry(),
                notice,
            });
        }
    }

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
                *self = Self::default();
                receiver.broadcast(slice, (end - start) as usize);
            }
            None => self.gather(receiver, cut.input()),
        }
    }

    /// Queues the gathered messages, if there are any.
    pub(super) fn queue(&mut self, receiver: &BroadcastReceiver) {
        queue(receiver, self.take_entry());
    }

    /// Takes the gathered messages as an entry, if there are any.
    fn take_entry(&mut self) -> Option<Entry> {
        let frames = std::mem::take(&mut self.gathered_frames);
        if frames == 0 {
            return None;
        }
        self.usual_bytes = self.gathered.len() as u32;
        let bytes = std::mem::take(&mut self.gathered).finish();
        Some(Entry {
            charge: bytes.copied_bytes().unwrap_or(bytes.len()),
            bytes,
            messages: frames,
            order: 0,
            origin: None,
            is_stored: false,
        })
    }
}

/// Queues an entry, if there is one; its bytes are reserved.
fn queue(receiver: &BroadcastReceiver, entry: Option<Entry>) {
    if let Some(entry) = entry {
        let reserved_bytes = entry.bytes.len();
        receiver.broadcast(entry, reserved_bytes);
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
    notice: DropNotice,
}

impl DroppedMessages {
    /// Queues the notices, each behind its entry.
    #[inline]
    pub(super) fn queue(&mut self) {
        for pending in self.pending.drain(..) {
            queue(&pending.receiver, pending.entry);
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
