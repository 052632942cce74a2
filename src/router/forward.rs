//! What one read forwards: runs gathered per target, then queued as slices of
//! the window they arrived in, byte for byte.
//!
//! Room is reserved while the frames are looked at, in their order, so that
//! each can be answered; the bytes are queued once, when the read is done.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::gap::Gap;
use super::outbox::Outbox;
use super::peer::Peer;
use super::queue::{Capacity, Entry};
use super::registry::Audience;
use super::run_bytes::RunBytes;
use crate::ids::ConnectionId;
use crate::limits::RUN_PIN_BYTES_MIN;

/// Parts of a window that go the same way.
#[derive(Debug, Default, Clone)]
struct Parts {
    ranges: Vec<Range<usize>>,
    frames: u32,
    bytes: usize,
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
    own: Option<Parts>,
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
}

impl Parts {
    fn add(&mut self, range: Range<usize>, frames: u32) {
        self.frames += frames;
        self.bytes += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    fn clear(&mut self) {
        self.ranges.clear();
        self.frames = 0;
        self.bytes = 0;
    }

    /// One stretch that is large enough to keep its window in memory for it:
    /// otherwise a queued run of 128 bytes would hold 64 KiB.
    fn pins(&self, block_bytes: usize) -> bool {
        self.ranges.len() == 1 && self.bytes >= RUN_PIN_BYTES_MIN && self.bytes >= block_bytes / 4
    }

    fn copy_from(&self, window: &[u8]) -> RunBytes {
        RunBytes::copy(window, self.ranges.iter().cloned(), self.bytes)
    }
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
    pub(crate) fn set_audience(&mut self, audience: &Audience, sender: ConnectionId) {
        self.audience_known = true;
        let others = audience.peers.iter().filter(|peer| peer.id() != sender);
        self.receivers.extend(others.map(|peer| Receiver {
            peer: Arc::clone(peer),
            own: None,
        }));
    }

    /// Adds a run of broadcasts that starts at `start`. What doesn't fit a
    /// receiver's lane is dropped for it; `missed` then says, by frame, how
    /// many receivers missed it, and is empty when none did.
    pub(crate) fn add_broadcasts(
        &mut self,
        start: usize,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
        missed: &mut Vec<u32>,
    ) {
        missed.clear();
        for receiver in &mut self.receivers {
            let granted = match receiver.peer.broadcasts.reserve(sizes, total, capacity) {
                Ok(granted) => granted,
                // It is gone: no receiver any more.
                Err(_) => {
                    receiver.own.get_or_insert_with(|| self.everyone.clone());
                    continue;
                }
            };
            if granted < sizes.len() {
                receiver.own.get_or_insert_with(|| self.everyone.clone());
                missed.resize(sizes.len(), 0);
                for count in &mut missed[granted..] {
                    *count += 1;
                }
            }
            if let Some(own) = &mut receiver.own
                && granted > 0
            {
                let bytes: usize = sizes[..granted].iter().map(|&size| size as usize).sum();
                own.add(start..start + bytes, granted as u32);
            }
        }
        self.everyone.add(start..start + total, sizes.len() as u32);
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
        let mut named = self.named.iter().map(|batch| &batch.parts);
        let is_pinned =
            named.any(|parts| parts.pins(block_bytes)) || self.everyone.pins(block_bytes);
        let cut = Cut {
            block_bytes,
            window: if is_pinned {
                window.split_to(consumed).freeze()
            } else {
                Bytes::new()
            },
        };
        let unpinned: &[u8] = if is_pinned { &[] } else { &window[..consumed] };
        for batch in &mut self.named {
            if batch.parts.frames > 0 {
                let entry = cut.entry(&batch.parts, unpinned, Some(Arc::clone(origin)));
                batch.outbox.enqueue(entry, batch.parts.bytes);
            }
            if let Some(gap) = batch.gap.take() {
                batch.outbox.note_gap(gap);
            }
        }
        if self.everyone.frames > 0 {
            self.commit_broadcasts(&cut, unpinned);
        }
        if !is_pinned {
            window.advance(consumed);
        }
        self.clear();
    }

    fn commit_broadcasts(&mut self, cut: &Cut, unpinned: &[u8]) {
        let gets_everything = |receiver: &&Receiver| receiver.own.is_none();
        let mut sharers = self.receivers.iter().filter(gets_everything).count();
        let mut shared = (sharers > 0).then(|| cut.entry(&self.everyone, unpinned, None));
        for receiver in &self.receivers {
            let (entry, bytes) = match &receiver.own {
                None => {
                    sharers -= 1;
                    // For the last one nothing needs to be shared any more.
                    let entry = match &mut shared {
                        Some(entry) if sharers > 0 => Some(entry.share()),
                        _ => shared.take(),
                    };
                    (entry, self.everyone.bytes)
                }
                Some(own) if own.frames > 0 => (Some(cut.entry(own, unpinned, None)), own.bytes),
                Some(_) => continue,
            };
            if let Some(entry) = entry {
                receiver.peer.broadcast(entry, bytes);
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
    }
}

/// How the parts of a window become entries.
struct Cut {
    /// The consumed window, if any part pins it.
    window: Bytes,
    block_bytes: usize,
}

impl Cut {
    fn entry(&self, parts: &Parts, unpinned: &[u8], origin: Option<Arc<Peer>>) -> Entry {
        if !self.window.is_empty() && parts.pins(self.block_bytes) {
            return Entry {
                bytes: RunBytes::Slice(self.window.slice(parts.ranges[0].clone())),
                frames: parts.frames,
                order: 0,
                // The slice keeps the whole block in memory, whoever else does.
                charge: self.block_bytes.max(parts.bytes),
                origin,
            };
        }
        let source = if self.window.is_empty() {
            unpinned
        } else {
            &self.window
        };
        let bytes = parts.copy_from(source);
        Entry {
            charge: bytes.copied_bytes().unwrap_or(parts.bytes),
            bytes,
            frames: parts.frames,
            order: 0,
            origin,
        }
    }
}
