//! The fan-out of broadcasts to subscribers and to snapshots.
//!
//! A read often has one or two messages for each of a hundred subscribers. So a
//! [`Batch`] for each subscriber gathers the matches of a few reads, and
//! [`FanOut::flush`] queues them as one entry.
//!
//! Messages for a conflated queue are not gathered: whether they fit depends on
//! the messages that wait there.

mod batch;
mod conflated;

use std::ops::Range;
use std::sync::Arc;

use super::audience::Audience;
use super::snapshots::{Pass, Snapshots};
use super::subscriptions::{DeliveryMode, Keys, SubscriptionIndex};
use crate::ids::ConnectionId;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::broadcast::run::{BroadcastContext, RunView};
use crate::router::mailbox::Cut;
use crate::wire::Slots;
use crate::wire::filter::{Values, View};
use batch::{Batch, DroppedMessages, MessageSpan};
use conflated::ConflatedFanOut;

#[derive(Debug, Default)]
pub(crate) struct FanOut {
    /// The audience of this read and of all that is gathered; `None` without
    /// subscribers and snapshots.
    audience: Option<Arc<Audience>>,
    /// The connection that broadcasts.
    sender: Option<ConnectionId>,
    /// The sender as a subscriber, if it is one: it hears nothing of its own.
    own_index: Option<u32>,
    values: Values,
    /// The batches, one for each subscriber.
    batches: Vec<Batch>,
    /// The subscribers of the run with their messages, but for conflated ones.
    matched: Vec<(u32, MessageSpan)>,
    /// The subscribers that the run has messages for.
    in_run: Vec<u32>,
    /// The subscribers with a stretch of the input that may be queued as a slice
    /// of it. Some may be here twice.
    with_stretch: Vec<u32>,
    /// The subscribers with a batch that is not empty.
    waiting: Vec<u32>,
    /// The size of the longest stretch that may be queued as a slice of the input.
    pub(crate) longest_stretch: usize,
    dropped: DroppedMessages,
    conflated: ConflatedFanOut,
    kept: KeptFrames,
}

/// The messages of the read that are kept for snapshots.
#[derive(Debug, Default)]
struct KeptFrames {
    /// For each, the index of its pointer and its range in the input.
    frames: Vec<(u32, Range<usize>)>,
    /// For each, its key.
    keys: Keys,
    /// The right to change the snapshots, until all that is gathered is queued.
    pass: Option<Pass>,
}

impl FanOut {
    /// Whether the broadcasts of this read are to be matched.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.audience.is_some()
    }

    /// Whether there is anything for [`Self::clear`] to do.
    #[inline]
    pub(crate) fn is_in_use(&self) -> bool {
        self.is_active() || self.holds_pass()
    }

    /// Whether messages are gathered for subscribers.
    pub(crate) fn is_gathering(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it holds a pass, for which subscribers to snapshots wait.
    pub(crate) fn holds_pass(&self) -> bool {
        self.kept.pass.is_some()
    }

    /// Gets the right to change the snapshots for `sender`, if there are any.
    pub(crate) fn get_pass(&mut self, snapshots: &Arc<Snapshots>, sender: ConnectionId) {
        if self.sender.replace(sender) != Some(sender) {
            self.flush();
        }
        // A second pass might wait for a subscriber that waits for the first.
        if self.kept.pass.is_none() {
            self.kept.pass = snapshots.pass(sender);
        }
    }

    pub(crate) fn set_audience(&mut self, audience: &Arc<Audience>, sender: ConnectionId) {
        if (self.audience.as_ref()).is_some_and(|known| Arc::ptr_eq(known, audience)) {
            return;
        }
        // Before this read: a subscriber may get its broadcasts through another
        // queue from now on.
        self.queue_gathered();
        self.audience = None;
        let Some(index) = &audience.index else { return };
        self.own_index = index.subscriber(sender);
        let subscribers = index.subscribers.len();
        if self.batches.len() < subscribers {
            self.batches.resize_with(subscribers, Batch::default);
        }
        self.audience = Some(Arc::clone(audience));
    }

    /// Matches a broadcast, the last message of `run`, which stands in the input
    /// at `frame`. `slots` are the places of its values, if a shape has just
    /// recognised it.
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
        let span = MessageSpan {
            start: frame.start as u32,
            end: frame.end as u32,
            index: run.ids.len().saturating_sub(1) as u32,
        };
        let json = &run.input[frame.start + FRAME_PREFIX_BYTES..frame.end];
        let view = self.values.read(&index.probe, json, slots);
        let own_index = self.own_index;
        let (matched, conflated) = (&mut self.matched, &mut self.conflated);
        index.each_match(view, |subscriber, mode| {
            if Some(subscriber) != own_index {
                match mode {
                    DeliveryMode::Plain => matched.push((subscriber, span)),
                    DeliveryMode::Conflated(by) => conflated.matches.push((subscriber, by)),
                }
            }
        });
        if !conflated.matches.is_empty() {
            let (missed, context) = (&mut self.dropped.missed, context());
            conflated.deliver(span, view, run, &index.subscribers, &context, missed);
        }
        if !index.kept.is_empty() {
            self.kept.note(span, view, index);
        }
    }

    /// Reserves room for the messages of a run, subscriber by subscriber. Adds to
    /// `missed`, for each message, the number of subscribers that it was dropped
    /// for. Returns how many older messages were replaced in conflated queues.
    pub(crate) fn reserve(
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
        let subscribers = &index.subscribers;
        // All at once, not message by message: independent steps in a row overlap
        // in the processor.
        for (subscriber, span) in matched.drain(..) {
            let batch = &mut batches[subscriber as usize];
            if batch.is_empty() {
                waiting.push(subscriber);
            }
            let is_first = batch.add(span, |batch| {
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
                self.with_stretch.push(subscriber);
                self.longest_stretch = self.longest_stretch.max(batch.stretch_bytes());
            }
        }
        if !self.dropped.missed.is_empty() {
            missed.resize(run.ids.len(), 0);
            for index in self.dropped.missed.drain(..) {
                missed[index as usize] += 1;
            }
        }
        std::mem::take(&mut self.conflated.replaced)
    }

    /// Queues the stretches that are slices of the input, gathers the others, and
    /// keeps messages for snapshots.
    pub(crate) fn commit(&mut self, cut: &Cut<'_>) {
        let index = self.audience.as_ref();
        let Some(index) = index.and_then(|known| known.index.as_deref()) else {
            return;
        };
        self.dropped.queue();
        for subscriber in self.with_stretch.drain(..) {
            let receiver = &index.subscribers[subscriber as usize];
            self.batches[subscriber as usize].commit(receiver, cut);
        }
        if let Some(pass) = &self.kept.pass
            && !self.kept.frames.is_empty()
        {
            pass.keep(&self.kept.frames, &self.kept.keys, cut.input());
        }
    }

    /// Forgets the read. Gathered messages stay.
    pub(crate) fn clear(&mut self) {
        self.longest_stretch = 0;
        self.kept.frames.clear();
        self.kept.keys.clear();
        if self.waiting.is_empty() && !self.conflated.is_waiting() {
            self.release_audience();
        }
    }

    /// Queues all that is gathered.
    pub(crate) fn flush(&mut self) {
        self.queue_gathered();
        self.release_audience();
    }

    fn release_audience(&mut self) {
        self.kept.pass = None;
        self.audience = None;
    }

    fn queue_gathered(&mut self) {
        let index = self.audience.as_ref();
        let Some(index) = index.and_then(|known| known.index.as_deref()) else {
            return;
        };
        for subscriber in self.waiting.drain(..) {
            let receiver = &index.subscribers[subscriber as usize];
            self.batches[subscriber as usize].queue(receiver);
        }
        self.conflated.wake(&index.subscribers);
    }
}

impl KeptFrames {
    #[inline(never)]
    fn note(&mut self, span: MessageSpan, view: View<'_>, index: &SubscriptionIndex) {
        for (pointer, &slot) in (0..).zip(&index.kept) {
            let value = view.get(slot as usize);
            if self.keys.add(pointer, value.as_ref()) {
                self.frames.push((pointer, span.range()));
            }
        }
    }
}
