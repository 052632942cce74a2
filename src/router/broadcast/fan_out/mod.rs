//! What of one read goes to those who have subscriptions, and what of it is
//! kept for snapshots.
//!
//! Each broadcast is looked into once, as it comes by. A read may have a message
//! or two for each of a hundred subscribers, so for each a [`Batch`] gathers what
//! it gets of a few reads, and [`FanOut::flush`] queues that as one entry. A
//! conflating lane takes its messages at once: which of them it has room for
//! depends on what waits there.

#![forbid(unsafe_code)]

mod batch;
mod conflated;

use std::ops::Range;
use std::sync::Arc;

use super::audience::Audience;
use super::snapshots::{Pass, Snapshots};
use super::subscriptions::{DeliveryMode, Keys, SubscriptionIndex};
use crate::ids::ConnectionId;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::broadcast::{BroadcastContext, RunView};
use crate::router::mailbox::Cut;
#[cfg(test)]
use crate::router::mailbox::Reservation;
use crate::wire::Slots;
use crate::wire::filter::{Values, View};
use batch::{Batch, DroppedMessages, MessageSpan};
use conflated::ConflatedFanOut;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct FanOut {
    /// Who hears the broadcasts of this read and of what is gathered, if
    /// anybody chooses among them or something of them is kept.
    audience: Option<Arc<Audience>>,
    /// Whose broadcasts they are.
    sender: Option<ConnectionId>,
    /// Which subscriber the sender is, if it is one.
    own: Option<u32>,
    values: Values,
    /// One for each subscriber.
    batches: Vec<Batch>,
    /// For whom each message of the run is that is not conflated.
    matched: Vec<(u32, MessageSpan)>,
    /// The subscribers for whom the run has something.
    in_run: Vec<u32>,
    /// The subscribers for whom something stands in the input that may be
    /// queued as a slice of it. Some may be here twice.
    standing: Vec<u32>,
    /// The subscribers for whom something is gathered, or stands in the input.
    waiting: Vec<u32>,
    /// Bytes of the longest stretch of the input that a batch has held.
    longest: usize,
    dropped: DroppedMessages,
    conflated: ConflatedFanOut,
    kept: KeptFrames,
}

/// What is kept of the read.
#[derive(Debug, Default)]
struct KeptFrames {
    /// By which of the pointers, and where the message stands in the input.
    frames: Vec<(u32, Range<usize>)>,
    /// The key of each.
    keys: Keys,
    /// The right to change what is kept, until what is gathered is queued.
    pass: Option<Pass>,
}

impl FanOut {
    /// Whether the broadcasts of this read are to be looked into.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.audience.is_some()
    }

    /// Whether there is anything to forget.
    #[inline]
    pub(crate) fn is_in_use(&self) -> bool {
        self.audience.is_some() || self.kept.pass.is_some()
    }

    /// Whether something is gathered for subscribers.
    pub(crate) fn is_gathering(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Room in the lane of a connection that is reserved for nothing yet.
    #[cfg(test)]
    pub(crate) fn reserved_ahead(&self, id: ConnectionId) -> Reservation {
        let index = self
            .audience
            .as_ref()
            .and_then(|known| known.index.as_ref());
        let place = index.and_then(|index| index.subscriber(id));
        let batch = place.and_then(|place| self.batches.get(place as usize));
        batch.map(Batch::surplus).unwrap_or_default()
    }

    /// Whether it holds up who wants to know what is kept.
    pub(crate) fn holds_pass(&self) -> bool {
        self.kept.pass.is_some()
    }

    /// Gets the right to change what is kept of the broadcasts of `sender`, if
    /// anything is.
    pub(crate) fn get_pass(&mut self, snapshots: &Arc<Snapshots>, sender: ConnectionId) {
        if self.sender.replace(sender) != Some(sender) {
            self.flush();
        }
        // Who waits until no pass is out lets nobody have another.
        if self.kept.pass.is_none() {
            self.kept.pass = snapshots.pass(sender);
        }
    }

    /// Sets who hears the broadcasts of this read.
    pub(crate) fn set_audience(&mut self, audience: &Arc<Audience>, sender: ConnectionId) {
        let known = self.audience.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(known, audience)) {
            return;
        }
        // Those who hear it now in another way must not get it earlier.
        self.queue_gathered();
        self.audience = None;
        let Some(index) = &audience.index else { return };
        self.own = index.subscriber(sender);
        let subscribers = index.subscribers().len();
        if self.batches.len() < subscribers {
            self.batches.resize_with(subscribers, Batch::default);
        }
        self.audience = Some(Arc::clone(audience));
    }

    /// Looks into the last message of a run, a broadcast, and notes for whom it
    /// is. `slots` tell where its values stand, if a shape has just recognised
    /// it.
    #[inline]
    pub(crate) fn match_subscribers<'a>(
        &mut self,
        run: RunView<'_>,
        frame: &Range<usize>,
        slots: Option<Slots<'_>>,
        context: impl FnOnce() -> BroadcastContext<'a>,
    ) {
        let index = self.audience.as_ref();
        let Some(index) = index.and_then(|known| known.index.as_deref()) else {
            return;
        };
        let place = MessageSpan {
            start: frame.start as u32,
            end: frame.end as u32,
            index: run.ids.len().saturating_sub(1) as u32,
        };
        let json = &run.input[frame.start + FRAME_PREFIX_BYTES..frame.end];
        let view = self.values.read(index.probe(), json, slots);
        let (own, matched, conflated) = (self.own, &mut self.matched, &mut self.conflated);
        index.each_match(view, |subscriber, way| {
            if Some(subscriber) != own {
                match way {
                    DeliveryMode::Plain => matched.push((subscriber, place)),
                    DeliveryMode::Conflated(by) => conflated.matches.push((subscriber, by)),
                }
            }
        });
        if conflated.has_matches() {
            let (missed, context) = (&mut self.dropped.missed, context());
            conflated.deliver(place, view, run, index.subscribers(), &context, missed);
        }
        if !index.kept().is_empty() {
            self.kept.note(place, view, index);
        }
    }

    /// Reserves room for what a run has for each subscriber. Counts in `missed`
    /// who missed which message of it, and says how many messages took the
    /// place of older ones.
    pub(crate) fn settle(
        &mut self,
        run: RunView<'_>,
        context: &BroadcastContext<'_>,
        missed: &mut Vec<u32>,
    ) -> u64 {
        let Self {
            audience,
            batches,
            matched,
            in_run,
            waiting,
            ..
        } = self;
        let index = audience.as_ref().and_then(|known| known.index.as_deref());
        let Some(index) = index else { return 0 };
        let subscribers = index.subscribers();
        // Not at once when each was looked into: what doesn't wait for the
        // message before is done side by side.
        for (subscriber, place) in matched.drain(..) {
            let batch = &mut batches[subscriber as usize];
            if batch.is_empty() {
                waiting.push(subscriber);
            }
            let is_first = batch.add(place, |batch| {
                let receiver = &subscribers[subscriber as usize];
                batch.close(receiver, run, context, &mut self.dropped);
            });
            if is_first {
                in_run.push(subscriber);
            }
        }
        for subscriber in in_run.drain(..) {
            let receiver = &subscribers[subscriber as usize];
            let batch = &mut batches[subscriber as usize];
            batch.reserve(receiver, run, context, &mut self.dropped);
            if !batch.gather_more(receiver, run.input) {
                self.standing.push(subscriber);
                self.longest = self.longest.max(batch.stretch_bytes());
            }
        }
        if !self.dropped.missed.is_empty() {
            missed.resize(run.ids.len(), 0);
            for place in self.dropped.missed.drain(..) {
                missed[place as usize] += 1;
            }
        }
        self.conflated.take_replaced()
    }

    /// Bytes of the longest stretch of the input that may be queued as a slice.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Queues what keeps the input in memory, and gathers the rest.
    pub(crate) fn commit(&mut self, cut: &Cut<'_>) {
        let index = self.audience.as_ref();
        let Some(index) = index.and_then(|known| known.index.as_deref()) else {
            return;
        };
        self.dropped.queue();
        for subscriber in self.standing.drain(..) {
            let receiver = &index.subscribers()[subscriber as usize];
            self.batches[subscriber as usize].commit(receiver, cut);
        }
        if let Some(pass) = &self.kept.pass
            && !self.kept.frames.is_empty()
        {
            pass.keep(&self.kept.frames, &self.kept.keys, cut.input());
        }
    }

    /// Forgets the read. What is gathered stays.
    pub(crate) fn clear(&mut self) {
        self.longest = 0;
        self.kept.frames.clear();
        self.kept.keys.clear();
        if self.waiting.is_empty() && !self.conflated.is_waiting() {
            self.kept.pass = None;
            self.audience = None;
        }
    }

    /// Queues what is gathered.
    pub(crate) fn flush(&mut self) {
        self.queue_gathered();
        self.kept.pass = None;
        self.audience = None;
    }

    fn queue_gathered(&mut self) {
        let index = self.audience.as_ref();
        let Some(index) = index.and_then(|known| known.index.as_deref()) else {
            return;
        };
        for subscriber in self.waiting.drain(..) {
            let receiver = &index.subscribers()[subscriber as usize];
            self.batches[subscriber as usize].queue(receiver);
        }
        self.conflated.wake(index.subscribers());
    }
}

impl KeptFrames {
    #[inline(never)]
    fn note(&mut self, place: MessageSpan, view: View<'_>, index: &SubscriptionIndex) {
        for (pointer, kept) in index.kept().iter().enumerate() {
            let value = view.get(kept.slot as usize);
            if self.keys.add(pointer as u32, value.as_ref()) {
                self.frames.push((pointer as u32, place.range()));
            }
        }
    }
}
