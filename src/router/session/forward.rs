//! What one read forwards: runs gathered per target, then queued as slices of
//! the input they arrived in, byte for byte.
//!
//! Room is reserved while the frames are looked at, in their order, so that
//! each can be answered; the bytes are queued once, when the read is done.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, BytesMut};

use crate::ids::ConnectionId;
use crate::router::broadcast::{Audience, BroadcastContext, BroadcastReceiver, FanOut, RunView};
use crate::router::connection::ConnectionHandle;
use crate::router::mailbox::{Cut, DropNotice, Mailbox, Parts, Pieces, pins};

#[derive(Debug)]
struct NamedBatch {
    mailbox: Arc<Mailbox>,
    parts: Parts,
    /// What was dropped for the same name behind these parts.
    gap: Option<DropNotice>,
}

#[derive(Debug)]
struct Receiver {
    queues: Arc<BroadcastReceiver>,
    /// What this receiver gets if that isn't everything.
    own: Option<Pieces>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Forward {
    named: Vec<NamedBatch>,
    /// Buffers of batches that were queued, for those that follow.
    spare: Vec<Parts>,
    everyone: Parts,
    receivers: Vec<Receiver>,
    /// Whether `receivers` stand for this read.
    audience_known: bool,
    /// What goes to those who have subscriptions.
    pub(super) fan_out: FanOut,
}

impl Forward {
    /// Adds `frames` frames, for which room in `mailbox` is reserved.
    #[inline]
    pub(crate) fn add_named(&mut self, mailbox: &Arc<Mailbox>, range: Range<usize>, messages: u32) {
        let parts = match self.latest(mailbox) {
            Some(index) if self.named[index].gap.is_none() => &mut self.named[index].parts,
            _ => &mut self.begin_batch(mailbox).parts,
        };
        parts.add(range, messages);
    }

    /// Notes what was dropped for a name behind all that was added for it.
    #[cold]
    pub(crate) fn add_dropped(&mut self, mailbox: &Arc<Mailbox>, gap: DropNotice) {
        let batch = match self.latest(mailbox) {
            Some(index) => &mut self.named[index],
            None => self.begin_batch(mailbox),
        };
        DropNotice::note(&mut batch.gap, gap);
    }

    #[inline]
    fn latest(&self, mailbox: &Arc<Mailbox>) -> Option<usize> {
        let mut batches = self.named.iter();
        batches.rposition(|batch| Arc::ptr_eq(&batch.mailbox, mailbox))
    }

    fn begin_batch(&mut self, mailbox: &Arc<Mailbox>) -> &mut NamedBatch {
        self.named.push(NamedBatch {
            mailbox: Arc::clone(mailbox),
            parts: self.spare.pop().unwrap_or_default(),
            gap: None,
        });
        self.named.last_mut().expect("just pushed")
    }

    /// Whether the audience of this read was already set.
    pub(crate) fn knows_audience(&self) -> bool {
        self.audience_known
    }

    /// Sets who hears the broadcasts of this read: all but the sender.
    pub(super) fn set_audience(&mut self, audience: &Arc<Audience>, sender: ConnectionId) {
        self.audience_known = true;
        let others = audience
            .receivers
            .iter()
            .filter(|receiver| receiver.id() != sender);
        self.receivers.extend(others.map(|receiver| Receiver {
            queues: Arc::clone(receiver),
            own: None,
        }));
        self.fan_out.set_audience(audience, sender);
    }

    /// Adds a run of broadcasts. What doesn't fit a receiver's lane is dropped
    /// for it; `missed` then says, by frame, how many receivers missed it, and
    /// is empty when none did. Says how many messages took the place of older
    /// ones.
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
                // It is gone: no receiver any more.
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

    /// Queues everything gathered, and takes the first `consumed` bytes off
    /// the input.
    pub(crate) fn commit(
        &mut self,
        input: &mut BytesMut,
        consumed: usize,
        origin: &Arc<ConnectionHandle>,
    ) {
        if self.named.is_empty() && self.everyone.messages == 0 {
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
            if batch.parts.messages > 0 {
                let entry = cut.entry(&batch.parts, Some(origin));
                batch.mailbox.enqueue(entry, batch.parts.bytes);
            }
            if let Some(gap) = batch.gap.take() {
                batch.mailbox.note_dropped(gap);
            }
        }
        if self.everyone.messages > 0 {
            self.commit_broadcasts(&cut);
            self.fan_out.commit(&cut);
        }
        if !cut.is_shared() {
            input.advance(consumed);
        }
        self.clear();
    }

    /// Whether a part of the input is queued as a slice of it.
    fn pins(&self, block_bytes: usize) -> bool {
        let named = self.named.iter().map(|batch| &batch.parts);
        let everyone = (!self.receivers.is_empty()).then_some(&self.everyone);
        let mut parts = named.chain(everyone);
        parts.any(|parts| parts.pins(block_bytes)) || pins(self.fan_out.longest(), block_bytes)
    }

    fn commit_broadcasts(&mut self, cut: &Cut<'_>) {
        let gets_everything = |receiver: &&Receiver| receiver.own.is_none();
        let mut sharers = self.receivers.iter().filter(gets_everything).count();
        let mut shared = (sharers > 0).then(|| cut.entry(&self.everyone, None));
        for receiver in &mut self.receivers {
            let Some(own) = &mut receiver.own else {
                sharers -= 1;
                // For the last one nothing needs to be shared any more.
                let entry = match &mut shared {
                    Some(entry) if sharers > 0 => Some(entry.share()),
                    _ => shared.take(),
                };
                if let Some(entry) = entry {
                    receiver.queues.broadcast(entry, self.everyone.bytes);
                }
                continue;
            };
            for (parts, gap) in own.take() {
                receiver.queues.broadcast_parts(parts, gap, cut);
            }
        }
    }

    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        for mut batch in self.named.drain(..) {
            batch.parts.clear();
            self.spare.push(batch.parts);
        }
        self.everyone.clear();
        self.receivers.clear();
        self.audience_known = false;
        if self.fan_out.is_in_use() {
            self.fan_out.clear();
        }
    }
}

impl Receiver {
    /// From now on it gets not all that everyone gets; so far it did.
    #[cold]
    fn gets_some_of(&mut self, everyone: &Parts) -> &mut Pieces {
        self.own.get_or_insert_with(|| everyone.clone().into())
    }
}
