//! Requests about broadcasts: `subscribe`, `unsubscribe`, `broadcasts` of `hello`.

use std::sync::Arc;

use crate::limits::{FRAME_PREFIX_BYTES, SNAPSHOT_WAITING_MAX};
use crate::router::broadcast::{Keys, Subscription, SubscriptionMode};
use crate::router::mailbox::KeptFrame;
use crate::router::session::Session;
use crate::wire::filter::{Field, Pointer, Probe, Values};
use crate::wire::{ErrorCode, Mode, Refusal, SubscribeRequest, UnsubscribeRequest};

impl Session {
    /// Begins a subscription, from the next broadcast on. The session must hold no
    /// pass: a snapshot would wait for the messages gathered of this read.
    pub(super) fn subscribe(&mut self, json: &[u8]) -> Result<(), Refusal> {
        let request = SubscribeRequest::read(json)?;
        let conflates = request.mode == Mode::Latest;
        let snapshot_by = request.key.clone().filter(|_| request.snapshot);
        if snapshot_by.is_some()
            && self.output.waiting_broadcasts(&self.receiver) > SNAPSHOT_WAITING_MAX
        {
            return Err(Refusal::new(
                ErrorCode::LimitExceeded,
                "too much of earlier snapshots waits to be read: read it first",
            )
            .of_field("payload.snapshot"));
        }
        let Some(key) = snapshot_by else {
            self.subscriptions.add(request, json.len())?;
            self.announce_subscriptions(conflates);
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        let snapshots = &shared.snapshots;
        let taken = snapshots.exclusively(|| {
            let hearers = &shared.registry.hearers;
            let room = self.subscriptions.check(&request, json.len());
            room.and_then(|()| snapshots.keep(&key, || hearers.keep(key.clone())))?;
            let subscription = self.subscriptions.add(request, json.len())?;
            self.announce_subscriptions(conflates);
            // Broadcasts that are queued already are older than the snapshot.
            self.output.broadcasts.fill_whole(&self.receiver.queue);
            let frames = snapshots.take(&key, self.receiver.id());
            Ok::<_, Refusal>((subscription, frames))
        });
        let (subscription, frames) = taken?;
        if !self.wants_no_broadcasts {
            self.deliver_snapshot(&subscription, &key, frames);
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, json: &[u8]) -> Result<(), Refusal> {
        let request = UnsubscribeRequest::read(json)?;
        if !self.subscriptions.remove(&request.id) {
            return Err(Refusal::new(
                ErrorCode::InvalidPayload,
                "this connection has no subscription with this id",
            )
            .of_field("payload.id"));
        }
        self.announce_subscriptions(false);
        Ok(())
    }

    /// Sets whether it wants no broadcasts, whatever it owns and subscribes to.
    pub(super) fn want_no_broadcasts(&mut self, none: bool) {
        if none != self.wants_no_broadcasts {
            self.wants_no_broadcasts = none;
            let hearers = &self.shared.registry.hearers;
            hearers.want_none(&self.receiver, none);
        }
    }

    /// Announces the present subscriptions to all senders of broadcasts.
    fn announce_subscriptions(&self, conflates: bool) {
        if conflates {
            self.receiver.start_conflating();
        }
        let hearers = &self.shared.registry.hearers;
        hearers.subscribe(&self.receiver, self.subscriptions.shared());
    }

    /// Queues the matching frames of a snapshot, before all later broadcasts.
    fn deliver_snapshot(
        &mut self,
        subscription: &Subscription,
        key: &Pointer,
        frames: Vec<KeptFrame>,
    ) {
        let probe = Probe::new(
            (subscription.filter.conditions().iter())
                .map(|condition| condition.field().clone())
                .chain([Field::At(key.clone())]),
        );
        let mut values = Values::default();
        let mut keys = Keys::default();
        for frame in frames {
            let view = values.read(&probe, &frame[FRAME_PREFIX_BYTES..], None);
            let value_of = |field: &Field| view.get(probe.position(field)?);
            if !subscription.filter.matches(value_of) {
                continue;
            }
            keys.clear();
            if matches!(subscription.delivery, SubscriptionMode::Latest(_)) {
                let value = value_of(&Field::At(key.clone()));
                keys.add(subscription.serial, value.as_ref());
            }
            self.output.add_snapshot(&self.receiver, frame, &keys);
        }
    }
}
