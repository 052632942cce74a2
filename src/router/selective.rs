//! What of one read goes to those who have subscriptions, and what of it is
//! kept for snapshots.
//!
//! Each broadcast is looked into once, as it comes by. For whom it matches is
//! noted; room is reserved for all that a run has for a receiver in one step,
//! and queued once, when the read is done. A conflating lane takes its messages
//! at once: which of them it has room for depends on what waits there.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use super::audience::Audience;
use super::conflation::{NewMessage, Pushed};
use super::forward::{Cut, Sending};
use super::parts::{Parts, Pieces};
use super::snapshots::Pass;
use super::subscriptions::{Keys, Subscriber, SubscriptionIndex};
use crate::ids::{ConnectionId, MsgId};
use crate::wire::Slots;
use crate::wire::filter::{Values, View};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Selective {
    /// Who hears the broadcasts of this read, if anybody chooses among them or
    /// something of them is kept.
    audience: Option<Arc<Audience>>,
    /// Which subscriber the sender is, if it is one.
    sender: Option<u32>,
    values: Values,
    /// One for each subscriber.
    batches: Vec<Batch>,
    /// The subscribers for whom the run has something.
    in_run: Vec<u32>,
    /// The subscribers for whom the read has something.
    in_read: Vec<u32>,
    /// Counts the messages, so that each goes to a subscriber once.
    message: u64,
    sizes: Vec<u32>,
    conflated: Conflated,
    kept: KeptFrames,
}

/// What one subscriber gets of a read.
#[derive(Debug, Default)]
struct Batch {
    /// What room is reserved for, and what was dropped.
    pieces: Pieces,
    /// What the run has for it, still without room.
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// The last message that matched, as it was counted.
    message: u64,
    in_read: bool,
}

/// A message that matched.
#[derive(Debug, Clone, Copy)]
struct Pending {
    start: u32,
    size: u32,
    /// Which message of the run it is.
    index: u32,
}

/// What goes to conflating lanes.
#[derive(Debug, Default)]
struct Conflated {
    /// Who gets the message at hand, and by what it is conflated: the place of
    /// the value, and the space of its keys.
    matches: Vec<(u32, Option<(u32, u32)>)>,
    keys: Keys,
    /// Keys of which the message is the newest although it isn't conflated.
    superseding: Keys,
    /// The messages of the run that somebody missed, once for each who did.
    missed: Vec<u32>,
    replaced: u64,
}

/// What is kept of the read.
#[derive(Debug, Default)]
struct KeptFrames {
    /// By which of the pointers, and where the message stands in the window.
    frames: Vec<(u32, Range<usize>)>,
    /// The key of each.
    keys: Keys,
    /// The right to change what is kept, for as long as the read lasts.
    pass: Option<Pass>,
}

/// A broadcast that is looked into.
#[derive(Debug)]
pub(super) struct Broadcast<'a> {
    /// Which message of its run it is.
    pub(super) index: usize,
    /// Where it stands in the window, prefix included.
    pub(super) range: Range<usize>,
    /// The frame, prefix included.
    pub(super) frame: &'a [u8],
    /// The frame without it.
    pub(super) json: &'a [u8],
    /// Where its values stand, if a shape has recognised it.
    pub(super) slots: Option<Slots<'a>>,
    pub(super) msg_id: MsgId,
}

impl Selective {
    /// Whether the broadcasts of this read are to be looked into.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.audience.is_some()
    }

    /// Whether there is anything to forget.
    #[inline]
    pub(super) fn is_in_use(&self) -> bool {
        self.audience.is_some() || self.kept.pass.is_some()
    }

    /// Whether it holds up who wants to know what is kept.
    pub(super) fn holds_pass(&self) -> bool {
        self.kept.pass.is_some()
    }

    /// Sets who hears the broadcasts of this read, and with which right what
    /// is kept of them is changed.
    pub(super) fn set_audience(
        &mut self,
        audience: &Arc<Audience>,
        pass: Option<Pass>,
        sender: ConnectionId,
    ) {
        self.kept.pass = pass;
        let Some(index) = &audience.index else { return };
        self.sender = index.subscriber(sender);
        let subscribers = index.subscribers().len();
        if self.batches.len() < subscribers {
            self.batches.resize_with(subscribers, Batch::default);
        }
        self.audience = Some(Arc::clone(audience));
    }

    /// Looks into a broadcast, and notes for whom it is.
    pub(super) fn look_into(&mut self, broadcast: &Broadcast<'_>, sending: &Sending<'_>) {
        let Self {
            audience,
            sender,
            values,
            batches,
            in_run,
            in_read,
            message,
            conflated,
            kept,
            ..
        } = self;
        let index = audience.as_ref().and_then(|known| known.index.as_deref());
        let Some(index) = index else { return };
        *message += 1;
        let view = values.read(index.probe(), broadcast.json, broadcast.slots);
        let subscribers = index.subscribers();
        index.each_match(&view, |found| {
            let subscriber = found.subscriber;
            if Some(subscriber) == *sender {
                return;
            }
            if subscribers[subscriber as usize].conflates {
                conflated.matches.push((subscriber, found.conflated_by));
                return;
            }
            let batch = &mut batches[subscriber as usize];
            if batch.message == *message {
                return;
            }
            batch.message = *message;
            if batch.pending.is_empty() {
                in_run.push(subscriber);
            }
            batch.pending_bytes += broadcast.range.len();
            batch.pending.push(Pending {
                start: broadcast.range.start as u32,
                size: broadcast.range.len() as u32,
                index: broadcast.index as u32,
            });
        });
        if !conflated.matches.is_empty() {
            conflated.deliver(broadcast, &view, subscribers, sending, |subscriber| {
                touch(batches, in_read, subscriber);
            });
        }
        kept.note(broadcast, &view, index);
    }

    /// Reserves room for what a run has for each subscriber. Counts in `missed`
    /// who missed which message of it, and says how many messages took the
    /// place of older ones.
    pub(super) fn settle(
        &mut self,
        ids: &[MsgId],
        sending: &Sending<'_>,
        missed: &mut Vec<u32>,
    ) -> u64 {
        let Self {
            audience,
            batches,
            in_run,
            in_read,
            sizes,
            conflated,
            ..
        } = self;
        let index = audience.as_ref().and_then(|known| known.index.as_deref());
        let Some(index) = index else { return 0 };
        let mut miss = |index: u32| {
            missed.resize(ids.len(), 0);
            missed[index as usize] += 1;
        };
        for subscriber in in_run.drain(..) {
            let peer = &index.subscribers()[subscriber as usize].peer;
            touch(batches, in_read, subscriber);
            let batch = &mut batches[subscriber as usize];
            sizes.clear();
            sizes.extend(batch.pending.iter().map(|pending| pending.size));
            let total = std::mem::take(&mut batch.pending_bytes);
            // Whoever is gone is no receiver any more.
            let granted = peer.broadcasts.reserve(sizes, total, sending.capacity);
            if let Ok(granted) = granted {
                let (granted, dropped) = batch.pending.split_at(granted);
                for pending in granted {
                    let start = pending.start as usize;
                    batch.pieces.add(start..start + pending.size as usize, 1);
                }
                for pending in dropped {
                    miss(pending.index);
                    batch
                        .pieces
                        .add_gap(sending.gap(ids[pending.index as usize]));
                }
            }
            batch.pending.clear();
        }
        conflated.missed.drain(..).for_each(miss);
        std::mem::take(&mut conflated.replaced)
    }

    /// The parts of the window that are to be queued.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Parts> {
        let batches = (self.in_read.iter()).map(|&index| &self.batches[index as usize]);
        batches.flat_map(|batch| batch.pieces.parts())
    }

    /// Queues everything gathered.
    pub(super) fn commit(&mut self, cut: &Cut<'_>) {
        let index = self.audience.as_ref();
        let Some(index) = index.and_then(|known| known.index.as_deref()) else {
            return;
        };
        for &subscriber in &self.in_read {
            let peer = &index.subscribers()[subscriber as usize].peer;
            if peer.conflates() {
                peer.wake();
            }
            let batch = &mut self.batches[subscriber as usize];
            for (parts, gap) in batch.pieces.take() {
                peer.broadcast_parts(parts, gap, cut);
            }
        }
        if let Some(pass) = &self.kept.pass
            && !self.kept.frames.is_empty()
        {
            pass.keep(&self.kept.frames, &self.kept.keys, cut.window());
        }
    }

    /// Forgets what was gathered.
    pub(super) fn clear(&mut self) {
        for subscriber in self.in_read.drain(..) {
            let batch = &mut self.batches[subscriber as usize];
            batch.pieces.clear();
            batch.in_read = false;
        }
        self.kept.frames.clear();
        self.kept.keys.clear();
        self.kept.pass = None;
        self.audience = None;
    }
}

/// The read has something for the subscriber.
fn touch(batches: &mut [Batch], in_read: &mut Vec<u32>, subscriber: u32) {
    let batch = &mut batches[subscriber as usize];
    if !std::mem::replace(&mut batch.in_read, true) {
        in_read.push(subscriber);
    }
}

impl Conflated {
    /// Puts the message at hand into the lane of each who gets it.
    fn deliver(
        &mut self,
        broadcast: &Broadcast<'_>,
        view: &View<'_>,
        subscribers: &[Subscriber],
        sending: &Sending<'_>,
        mut touch: impl FnMut(u32),
    ) {
        self.matches.sort_unstable();
        for matches in self.matches.chunk_by(|one, other| one.0 == other.0) {
            let subscriber = matches[0].0;
            let Some(lane) = subscribers[subscriber as usize].peer.conflating_lane() else {
                continue;
            };
            self.keys.clear();
            self.superseding.clear();
            // Somebody who wants it whatever comes later, for a subscription
            // asks for all or finds no key in it.
            let mut is_wanted_by_itself = false;
            for (_, conflated_by) in matches {
                is_wanted_by_itself |= match conflated_by {
                    None => true,
                    Some((slot, space)) => {
                        !self.keys.add(*space, view.get(*slot as usize).as_ref())
                    }
                };
            }
            if is_wanted_by_itself {
                std::mem::swap(&mut self.keys, &mut self.superseding);
            }
            let message = NewMessage {
                frame: broadcast.frame,
                keys: &self.keys,
                superseding: &self.superseding,
            };
            touch(subscriber);
            match lane.push(&message, sending.capacity, || sending.gap(broadcast.msg_id)) {
                Pushed::Queued { replaced } => self.replaced += u64::from(replaced),
                Pushed::Dropped => self.missed.push(broadcast.index as u32),
                Pushed::Closed => {}
            }
        }
        self.matches.clear();
    }
}

impl KeptFrames {
    fn note(&mut self, broadcast: &Broadcast<'_>, view: &View<'_>, index: &SubscriptionIndex) {
        for (pointer, kept) in index.kept().iter().enumerate() {
            let value = view.get(kept.slot as usize);
            if self.keys.add(pointer as u32, value.as_ref()) {
                self.frames.push((pointer as u32, broadcast.range.clone()));
            }
        }
    }
}
