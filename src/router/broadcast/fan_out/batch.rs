//! What one subscriber gets of a few reads.
//!
//! A message that matches is joined to its neighbours. Room is reserved for all
//! that stand side by side in a run, in one step, and where there is plenty, at
//! once for as much as the subscriber usually gets. A large stretch is queued as
//! a slice of its input; anything else is gathered as a copy, until it is
//! queued as one entry.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::broadcast::{BroadcastContext, RunView};
use crate::router::mailbox::{Copied, Cut, DropNotice, Entry, Reservation};

/// See the [module](self). In a line of the processor's cache of its own: there
/// are many, and a message meets few of them.
///
/// Its numbers are `u32` for that reason: neither a input nor what is gathered
/// out of a few has 4 GiB.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Batch {
    /// What is copied out of this read and of those before.
    gathered: Copied,
    gathered_messages: u32,
    /// What room is reserved for: what is gathered, what has room of the
    /// stretch, and perhaps more.
    reserved_messages: u32,
    reserved_bytes: u32,
    /// Bytes that were gathered the last time.
    usual_bytes: u32,
    stretch: Stretch,
}

/// Messages side by side in the input that match. The last of them, those of
/// the run at hand, may still be without room: they are *open*.
#[derive(Debug, Default, Clone, Copy)]
struct Stretch {
    start: u32,
    end: u32,
    messages: u32,
    open_start: u32,
    open_messages: u32,
    /// Which message of its run the first that is open is.
    open_index: u32,
}

impl Stretch {
    fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Cuts off the messages that are open.
    fn cut_open(&mut self) {
        self.messages -= std::mem::take(&mut self.open_messages);
        self.end = self.open_start;
    }
}

/// A message that matches.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageSpan {
    /// Where it stands in the input, prefix included.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Which message of its run it is.
    pub(super) index: u32,
}

impl MessageSpan {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Batch {
    /// Whether it has nothing for the subscriber.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.stretch.messages == 0 && self.reserved_messages == 0
    }

    /// A message matches. One that does so twice is taken once. If it doesn't
    /// stand beside what matched before, `close` is called for that:
    /// [`Self::close`]. Gives true if it is the first of its run.
    #[inline]
    pub(super) fn add(&mut self, place: MessageSpan, close: impl FnOnce(&mut Self)) -> bool {
        let stretch = &self.stretch;
        let is_first = stretch.open_messages == 0;
        if !is_first && stretch.open_index + stretch.open_messages > place.index {
            return false;
        }
        if stretch.messages > 0 && stretch.end != place.start {
            close(self);
        }
        let stretch = &mut self.stretch;
        if stretch.messages == 0 {
            stretch.start = place.start;
        }
        if stretch.open_messages == 0 {
            stretch.open_start = place.start;
            stretch.open_index = place.index;
        }
        stretch.end = place.end;
        stretch.messages += 1;
        stretch.open_messages += 1;
        is_first
    }

    /// Nothing more will stand beside what has matched.
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

    /// Reserves room for what is open. What there is none for is added to
    /// `dropped`.
    #[inline]
    pub(super) fn reserve(
        &mut self,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        let messages = self.gathered_messages + self.stretch.messages;
        let bytes = self.gathered.len() as u32 + self.stretch.len();
        if messages > self.reserved_messages || bytes > self.reserved_bytes {
            self.reserve_more(messages, bytes, receiver, run, context, dropped);
        }
        self.stretch.open_messages = 0;
    }

    /// Sees to it that there is room for `frames` and `bytes` together.
    fn reserve_more(
        &mut self,
        messages: u32,
        bytes: u32,
        receiver: &Arc<BroadcastReceiver>,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        dropped: &mut DroppedMessages,
    ) {
        // As much as usual, and as many as that are at this size.
        let ahead = u64::from(self.usual_bytes.saturating_sub(bytes));
        let messages_ahead = u64::from(messages) * ahead / u64::from(bytes.max(1));
        let more = Reservation {
            messages: (messages as usize + messages_ahead as usize)
                .saturating_sub(self.reserved_messages as usize),
            bytes: (bytes as usize + ahead as usize).saturating_sub(self.reserved_bytes as usize),
        };
        match receiver.reserve_whole(more, context.capacity) {
            Ok(true) => {
                self.reserved_messages += more.messages as u32;
                self.reserved_bytes += more.bytes as u32;
            }
            Ok(false) => self.reserve_what_fits(receiver, run, context, dropped),
            // It is gone: no receiver any more.
            Err(_) => self.stretch.cut_open(),
        }
    }

    /// The lane is nearly full: reserves room for those of the open messages that
    /// fit, from the first on, and notes that the others are dropped.
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
        let sizes = &run.sizes[first..first + open.open_messages as usize];
        let total = (open.end - open.open_start) as usize;
        let granted = receiver.reserve(sizes, total, context.capacity);
        let Ok(granted) = granted else { return };
        let bytes: u32 = sizes[..granted].iter().sum();
        self.stretch.end += bytes;
        self.stretch.messages += granted as u32;
        self.reserved_messages += granted as u32;
        self.reserved_bytes += bytes;
        if granted == sizes.len() {
            return;
        }
        let mut gap = None;
        for index in first + granted..first + sizes.len() {
            dropped.missed.push(index as u32);
            DropNotice::note(&mut gap, context.gap(run.ids[index]));
        }
        // Its report stands behind all that isn't dropped.
        self.gather(receiver, run.input);
        if let Some(gap) = gap {
            let (entry, room) = self.take_entry();
            dropped.pieces.push(Piece {
                receiver: Arc::clone(receiver),
                entry,
                room,
                gap,
            });
        }
    }

    /// The room that is reserved for nothing yet.
    pub(super) fn surplus(&self) -> Reservation {
        let messages = self.gathered_messages + self.stretch.messages;
        let bytes = self.gathered.len() as u32 + self.stretch.len();
        Reservation {
            messages: (self.reserved_messages - messages) as usize,
            bytes: (self.reserved_bytes - bytes) as usize,
        }
    }

    fn take_surplus(&mut self) -> Reservation {
        let surplus = self.surplus();
        self.reserved_messages -= surplus.messages as u32;
        self.reserved_bytes -= surplus.bytes as u32;
        surplus
    }

    /// Bytes that stand side by side.
    pub(super) fn stretch_bytes(&self) -> usize {
        self.stretch.len() as usize
    }

    /// Gathers the stretch, all of which has room, if something is gathered
    /// already: then it can't be queued as a slice. Says whether it did.
    #[inline]
    pub(super) fn gather_more(&mut self, receiver: &BroadcastReceiver, input: &[u8]) -> bool {
        let gathers = self.gathered_messages > 0;
        if gathers {
            self.gather(receiver, input);
        }
        gathers
    }

    /// Copies the stretch, all of which has room.
    fn gather(&mut self, receiver: &BroadcastReceiver, input: &[u8]) {
        // Field by field, as they were written: read together they would have to
        // wait until each had reached the cache.
        let Stretch {
            start,
            end,
            messages,
            ..
        } = self.stretch;
        if messages == 0 {
            return;
        }
        self.stretch.messages = 0;
        self.stretch.end = start;
        if self.gathered_messages == 0 {
            let room = (end - start).max(self.usual_bytes) as usize;
            self.gathered = Copied::with_room(room, &receiver.handle.budget);
        }
        self.gathered_messages += messages;
        (self.gathered).append(&input[start as usize..end as usize]);
    }

    /// The input is done with: queues the stretch as a slice of it, if that is
    /// all there is, or gathers it.
    #[inline]
    pub(super) fn commit(&mut self, receiver: &BroadcastReceiver, cut: &Cut<'_>) {
        let Stretch {
            start,
            end,
            messages,
            ..
        } = self.stretch;
        let slice = match self.gathered_messages {
            0 => cut.slice(start as usize..end as usize, messages, None),
            _ => None,
        };
        match slice {
            Some(slice) => {
                // Gives back what was reserved ahead.
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

    /// Queues what is gathered, if anything is, and gives back the room that
    /// nothing was found for.
    pub(super) fn queue(&mut self, receiver: &BroadcastReceiver) {
        let (entry, room) = self.take_entry();
        queue_within(receiver, entry, room);
    }

    /// Takes what is gathered, if anything is, and all the room but that of the
    /// stretch.
    fn take_entry(&mut self) -> (Option<Entry>, Reservation) {
        let room = Reservation {
            messages: (self.reserved_messages - self.stretch.messages) as usize,
            bytes: (self.reserved_bytes - self.stretch.len()) as usize,
        };
        self.reserved_messages = self.stretch.messages;
        self.reserved_bytes = self.stretch.len();
        let messages = std::mem::take(&mut self.gathered_messages);
        if messages == 0 {
            return (None, room);
        }
        self.usual_bytes = self.gathered.len() as u32;
        let bytes = std::mem::take(&mut self.gathered).finish();
        let entry = Entry {
            charge: bytes.copied_bytes().unwrap_or(bytes.len()),
            bytes,
            messages,
            order: 0,
            origin: None,
        };
        (Some(entry), room)
    }
}

/// Queues an entry, if there is one, and gives back what it leaves of the room.
fn queue_within(receiver: &BroadcastReceiver, entry: Option<Entry>, room: Reservation) {
    match entry {
        Some(entry) => receiver.broadcast_within(entry, room),
        None => receiver.release(room.messages, room.bytes),
    }
}

/// What was dropped of a run, and what is to be queued before it is reported.
#[derive(Debug, Default)]
pub(super) struct DroppedMessages {
    /// The messages that somebody missed, by their place in the run, once for
    /// each who did.
    pub(super) missed: Vec<u32>,
    pieces: Vec<Piece>,
}

/// What one subscriber gets before the report of what was dropped for it.
#[derive(Debug)]
struct Piece {
    receiver: Arc<BroadcastReceiver>,
    entry: Option<Entry>,
    room: Reservation,
    gap: DropNotice,
}

impl DroppedMessages {
    /// Queues what was gathered before something was dropped, and the reports.
    #[inline]
    pub(super) fn queue(&mut self) {
        for piece in self.pieces.drain(..) {
            queue_within(&piece.receiver, piece.entry, piece.room);
            piece.receiver.miss_broadcasts(piece.gap);
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
