//! The messages that one read forwards: runs gathered by target, then queued as
//! slices of the input, byte for byte.
//!
//! Room is reserved while the frames are taken, in their order, so that each can be
//! answered. The bytes are queued once, at the end of the read.

use std::sync::Arc;

use bytes::{Buf, BytesMut};

use super::storing::Draft;
use crate::ids::ConnectionId;
use crate::router::broadcast::{Audience, BroadcastContext, BroadcastReceiver, FanOut, RunView};
use crate::router::connection::ConnectionHandle;
use crate::router::mailbox::{Cut, Mailbox, Parts, PartsWithDrops, pins};
use crate::router::store::MessageStore;

#[derive(Debug)]
struct NamedBatch {
    mailbox: Arc<Mailbox>,
    /// Whether the sender is told if the messages are given up.
    are_missed: bool,
    parts: PartsWithDrops,
}

/// A connection that gets all broadcasts, as far as they fit.
#[derive(Debug)]
struct Receiver {
    queues: Arc<BroadcastReceiver>,
    /// The parts that this receiver gets, if it doesn't get everything.
    own: Option<PartsWithDrops>,
}

#[derive(Debug, Default)]
pub(crate) struct Forward {
    named: Vec<NamedBatch>,
    /// Buffers of batches that were queued, for the batches that follow.
    spare: Vec<PartsWithDrops>,
    everyone: Parts,
    receivers: Vec<Receiver>,
    /// `receivers` are those of this read.
    pub(super) knows_audience: bool,
    /// The messages for connections with subscriptions.
    pub(super) fan_out: FanOut,
    /// The messages for the store.
    pub(super) draft: Draft,
}

impl Forward {
    /// Finds or begins the parts that a name gets. Room for them must be reserved. The
    /// sender is told if they are given up and `are_missed`.
    #[inline]
    pub(super) fn parts_of(
        &mut self,
        mailbox: &Arc<Mailbox>,
        are_missed: bool,
    ) -> &mut PartsWithDrops {
        let mut batches = self.named.iter();
        let known = batches.rposition(|batch| Arc::ptr_eq(&batch.mailbox, mailbox));
        // Only the last batch of a name may grow: its messages have an order.
        let known = known.filter(|&index| self.named[index].are_missed == are_missed);
        let index = known.unwrap_or_else(|| {
            self.named.push(NamedBatch {
                mailbox: Arc::clone(mailbox),
                are_missed,
                parts: self.spare.pop().unwrap_or_default(),
            });
            self.named.len() - 1
        });
        &mut self.named[index].parts
    }

    /// Sets the receivers of the broadcasts of this read: all but the sender.
    pub(super) fn set_audience(&mut self, audience: &Arc<Audience>, sender: ConnectionId) {
        self.knows_audience = true;
        let others = (audience.receivers.iter()).filter(|receiver| receiver.id() != sender);
        self.receivers.extend(others.map(|receiver| Receiver {
            queues: Arc::clone(receiver),
            own: None,
        }));
        self.fan_out.set_audience(audience, sender);
    }

    /// Adds a run of broadcasts, and returns the number of older messages that it
    /// replaces. Frames that don't fit a receiver's queue are dropped for it:
    /// `missed` then counts, by frame, the receivers that missed it. It is empty if
    /// none did.
    pub(super) fn add_broadcasts(
        &mut self,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        missed: &mut Vec<u32>,
    ) -> u64 {
        missed.clear();
        let (start, sizes) = (run.start, run.sizes);
        for receiver in &mut self.receivers {
            let granted = match receiver.queues.reserve(sizes, run.total, context.capacity) {
                Ok(granted) => granted,
                // The connection is gone.
                Err(_) => {
                    receiver.gets_some_of(&self.everyone);
                    continue;
                }
            };
            if granted < sizes.len() {
                let own = receiver.gets_some_of(&self.everyone);
                let bytes: usize = sizes[..granted].iter().map(|&size| size as usize).sum();
                if granted > 0 {
                    own.add(start..start + bytes, granted as u32);
                }
                missed.resize(sizes.len(), 0);
                for (count, id) in missed.iter_mut().zip(run.ids).skip(granted) {
                    *count += 1;
                    own.add_dropped(context.drop_notice(*id));
                }
            } else if let Some(own) = &mut receiver.own {
                own.add(start..start + run.total, granted as u32);
            }
        }
        self.everyone
            .add(start..start + run.total, sizes.len() as u32);
        match self.fan_out.is_active() {
            true => (self.fan_out).reserve(run, context, missed),
            false => 0,
        }
    }

    /// Queues all gathered messages, and takes `consumed` bytes off the input.
    pub(crate) fn commit(
        &mut self,
        input: &mut BytesMut,
        consumed: usize,
        origin: &Arc<ConnectionHandle>,
        store: Option<&dyn MessageStore>,
    ) {
        let is_empty = self.named.is_empty() && self.everyone.messages == 0;
        if is_empty && self.draft.is_empty() {
            input.advance(consumed);
            self.clear();
            return;
        }
        let block_bytes = input.capacity();
        let budget = &origin.budget;
        let cut = match self.pins(block_bytes) {
            true => Cut::sharing(input.split_to(consumed).freeze(), block_bytes, budget),
            false => Cut::copying(&input[..consumed], budget),
        };
        for batch in &mut self.named {
            let origin = batch.are_missed.then_some(origin);
            for (parts, dropped) in batch.parts.take() {
                if parts.messages > 0 {
                    (batch.mailbox).enqueue(cut.entry(parts, origin), parts.bytes);
                }
                if let Some(dropped) = dropped {
                    batch.mailbox.note_dropped(dropped);
                }
            }
        }
        if self.everyone.messages > 0 {
            self.commit_broadcasts(&cut);
            self.fan_out.commit(&cut);
        }
        if let Some(store) = store.filter(|_| !self.draft.is_empty()) {
            self.draft.submit(&cut, origin, store);
        }
        if !cut.is_shared() {
            input.advance(consumed);
        }
        self.clear();
    }

    /// Returns whether a part of the input is queued as a slice, and not copied.
    fn pins(&self, block_bytes: usize) -> bool {
        self.named.iter().any(|batch| batch.parts.pins(block_bytes))
            || !self.receivers.is_empty() && self.everyone.pins(block_bytes)
            || pins(self.fan_out.longest_stretch, block_bytes)
            || pins(self.draft.bytes(), block_bytes)
    }

    /// Queues the broadcasts for connections without subscriptions.
    fn commit_broadcasts(&mut self, cut: &Cut<'_>) {
        let gets_everything = |receiver: &&Receiver| receiver.own.is_none();
        let mut sharers = self.receivers.iter().filter(gets_everything).count();
        let mut shared = (sharers > 0).then(|| cut.entry(&self.everyone, None));
        for receiver in &mut self.receivers {
            let Some(own) = &mut receiver.own else {
                sharers -= 1;
                // The last receiver takes the entry itself.
                let entry = match &mut shared {
                    Some(entry) if sharers > 0 => Some(entry.share()),
                    _ => shared.take(),
                };
                if let Some(entry) = entry {
                    receiver.queues.broadcast(entry, self.everyone.bytes);
                }
                continue;
            };
            for (parts, dropped) in own.take() {
                receiver.queues.broadcast_parts(parts, dropped, cut);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        for mut batch in self.named.drain(..) {
            batch.parts.clear();
            self.spare.push(batch.parts);
        }
        self.everyone.clear();
        self.receivers.clear();
        self.knows_audience = false;
        if self.fan_out.is_in_use() {
            self.fan_out.clear();
        }
    }
}

impl Receiver {
    /// Lets the receiver get parts of its own from now on; so far it got `everyone`.
    #[cold]
    fn gets_some_of(&mut self, everyone: &Parts) -> &mut PartsWithDrops {
        self.own.get_or_insert_with(|| everyone.clone().into())
    }
}
