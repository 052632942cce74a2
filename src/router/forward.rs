//! What one read forwards: runs gathered per target, then queued as slices of
//! the window they arrived in, byte for byte.
//!
//! Room is reserved while the frames are looked at, in their order, so that
//! each can be answered; the bytes are queued once, when the read is done.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::audience::Audience;
use super::budget::Budget;
use super::gap::Gap;
use super::load::Capacity;
use super::outbox::Outbox;
use super::parts::{Parts, Pieces, pins};
use super::peer::Peer;
use super::queue::Entry;
use super::run::Run;
use super::run_bytes::RunBytes;
use super::selective::{Selective, Source};
use crate::ids::{ConnectionId, MsgId, Name};

/// What is the same for all messages of a read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending<'a> {
    /// The server's own name.
    pub(super) server: &'a Name,
    /// What a connection's broadcasts may take.
    pub(super) capacity: Capacity,
    /// In milliseconds since the epoch.
    pub(super) unix_ms: i64,
}

impl Sending<'_> {
    /// A broadcast was dropped for one receiver.
    #[cold]
    pub(super) fn gap(&self, msg_id: MsgId) -> Gap {
        Gap::new(self.server, None, msg_id, self.unix_ms)
    }
}

#[derive(Debug)]
struct NamedBatch {
    outbox: Arc<Outbox>,
    parts: Parts,
    /// What was dropped for the same name behind these parts.
    gap: Option<Gap>,
}

#[derive(Debug)]
struct Receiver {
    peer: Arc<Peer>,
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
    pub(super) selective: Selective,
}

impl Forward {
    /// Adds `frames` frames, for which room in `outbox` is reserved.
    #[inline]
    pub(crate) fn add_named(&mut self, outbox: &Arc<Outbox>, range: Range<usize>, frames: u32) {
        let parts = match self.latest(outbox) {
            Some(index) if self.named[index].gap.is_none() => &mut self.named[index].parts,
            _ => &mut self.begin_batch(outbox).parts,
        };
        parts.add(range, frames);
    }

    /// Notes what was dropped for a name behind all that was added for it.
    #[cold]
    pub(crate) fn add_gap(&mut self, outbox: &Arc<Outbox>, gap: Gap) {
        let batch = match self.latest(outbox) {
            Some(index) => &mut self.named[index],
            None => self.begin_batch(outbox),
        };
        Gap::note(&mut batch.gap, gap);
    }

    #[inline]
    fn latest(&self, outbox: &Arc<Outbox>) -> Option<usize> {
        let mut batches = self.named.iter();
        batches.rposition(|batch| Arc::ptr_eq(&batch.outbox, outbox))
    }

    fn begin_batch(&mut self, outbox: &Arc<Outbox>) -> &mut NamedBatch {
        self.named.push(NamedBatch {
            outbox: Arc::clone(outbox),
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
        let others = audience.peers.iter().filter(|peer| peer.id() != sender);
        self.receivers.extend(others.map(|peer| Receiver {
            peer: Arc::clone(peer),
            own: None,
        }));
        self.selective.set_audience(audience, sender);
    }

    /// Adds a run of broadcasts. What doesn't fit a receiver's lane is dropped
    /// for it; `missed` then says, by frame, how many receivers missed it, and
    /// is empty when none did. Says how many messages took the place of older
    /// ones.
    pub(super) fn add_broadcasts(
        &mut self,
        run: &Run,
        window: &[u8],
        sending: &Sending<'_>,
        missed: &mut Vec<u32>,
    ) -> u64 {
        missed.clear();
        let (start, sizes) = (run.start, &run.sizes[..]);
        for receiver in &mut self.receivers {
            let granted = match receiver.peer.reserve(sizes, run.total, sending.capacity) {
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
                for (count, id) in missed.iter_mut().zip(&run.ids).skip(granted) {
                    *count += 1;
                    own.add_gap(sending.gap(*id));
                }
            } else if let Some(own) = &mut receiver.own {
                own.add(start..start + run.total, granted as u32);
            }
        }
        self.everyone
            .add(start..start + run.total, sizes.len() as u32);
        match self.selective.is_active() {
            true => (self.selective).settle(Source { run, window }, sending, missed),
            false => 0,
        }
    }

    /// Queues everything gathered, and takes the first `consumed` bytes off
    /// the window.
    pub(crate) fn commit(&mut self, window: &mut BytesMut, consumed: usize, origin: &Arc<Peer>) {
        if self.named.is_empty() && self.everyone.frames == 0 {
            window.advance(consumed);
            self.clear();
            return;
        }
        let block_bytes = window.capacity();
        let budget = &origin.budget;
        let cut = Cut {
            block_bytes,
            budget,
            window: if self.pins(block_bytes) {
                let done = window.split_to(consumed).freeze();
                Window::Shared(budget.pin(done, block_bytes))
            } else {
                Window::Copied(&window[..consumed])
            },
        };
        for batch in &mut self.named {
            if batch.parts.frames > 0 {
                let entry = cut.entry(&batch.parts, Some(origin));
                batch.outbox.enqueue(entry, batch.parts.bytes);
            }
            if let Some(gap) = batch.gap.take() {
                batch.outbox.note_gap(gap);
            }
        }
        if self.everyone.frames > 0 {
            self.commit_broadcasts(&cut);
            self.selective.commit(&cut);
        }
        if matches!(cut.window, Window::Copied(_)) {
            window.advance(consumed);
        }
        self.clear();
    }

    /// Whether a part of the window is queued as a slice of it.
    fn pins(&self, block_bytes: usize) -> bool {
        let named = self.named.iter().map(|batch| &batch.parts);
        let everyone = (!self.receivers.is_empty()).then_some(&self.everyone);
        let mut parts = named.chain(everyone);
        parts.any(|parts| parts.pins(block_bytes)) || pins(self.selective.longest(), block_bytes)
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
                    receiver.peer.broadcast(entry, self.everyone.bytes);
                }
                continue;
            };
            for (parts, gap) in own.take() {
                receiver.peer.broadcast_parts(parts, gap, cut);
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
        if self.selective.is_in_use() {
            self.selective.clear();
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

/// How the parts of a window become entries.
pub(super) struct Cut<'a> {
    window: Window<'a>,
    block_bytes: usize,
    /// Where what is kept of it is counted.
    budget: &'a Arc<Budget>,
}

/// The bytes of a read that are done with.
enum Window<'a> {
    /// Some part keeps them in memory.
    Shared(Bytes),
    /// All parts are copied out of them.
    Copied(&'a [u8]),
}

impl Cut<'_> {
    /// All that was read.
    pub(super) fn window(&self) -> &[u8] {
        match &self.window {
            Window::Shared(window) => window,
            Window::Copied(window) => window,
        }
    }

    /// A stretch as a slice of the window, if it is large enough to keep that in
    /// memory.
    pub(super) fn slice(
        &self,
        range: Range<usize>,
        frames: u32,
        origin: Option<&Arc<Peer>>,
    ) -> Option<Entry> {
        let Window::Shared(window) = &self.window else {
            return None;
        };
        pins(range.len(), self.block_bytes).then(|| Entry {
            // The slice keeps the whole block in memory, whoever else does.
            charge: self.block_bytes.max(range.len()),
            bytes: RunBytes::Slice(window.slice(range)),
            frames,
            order: 0,
            origin: origin.cloned(),
        })
    }

    pub(super) fn entry(&self, parts: &Parts, origin: Option<&Arc<Peer>>) -> Entry {
        let slice = match &parts.ranges[..] {
            [range] => self.slice(range.clone(), parts.frames, origin),
            _ => None,
        };
        slice.unwrap_or_else(|| {
            let bytes = parts.copy_from(self.window(), self.budget);
            Entry {
                charge: bytes.copied_bytes().unwrap_or(parts.bytes),
                bytes,
                frames: parts.frames,
                order: 0,
                origin: origin.cloned(),
            }
        })
    }
}
