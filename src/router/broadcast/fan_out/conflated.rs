//! What goes to those who want the latest only.

use std::sync::Arc;

use super::batch::MessageSpan;
use crate::router::broadcast::conflation::{NewMessage, PushOutcome};
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::broadcast::subscriptions::{ConflatedBy, Keys};
use crate::router::broadcast::{BroadcastContext, RunView};
use crate::wire::filter::View;

/// What goes to conflating lanes.
#[derive(Debug, Default)]
pub(super) struct ConflatedFanOut {
    /// Who gets the message at hand, and by what it is conflated.
    pub(super) matches: Vec<(u32, ConflatedBy)>,
    keys: Keys,
    /// Keys of which the message is the newest although it isn't conflated.
    superseding: Keys,
    waiting: Waiting,
    replaced: u64,
}

/// The subscribers for whom something was put into their lanes, each once.
#[derive(Debug, Default)]
struct Waiting {
    list: Vec<u32>,
    is_listed: Vec<bool>,
}

impl Waiting {
    fn add(&mut self, subscriber: u32) {
        let place = subscriber as usize;
        if self.is_listed.len() <= place {
            self.is_listed.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.is_listed[place], true) {
            self.list.push(subscriber);
        }
    }
}

impl ConflatedFanOut {
    #[inline]
    pub(super) fn has_matches(&self) -> bool {
        !self.matches.is_empty()
    }

    /// Puts the message at hand into the lane of each who gets it. Notes its
    /// place in the run in `missed` for each who has no room for it.
    #[inline(never)]
    pub(super) fn deliver(
        &mut self,
        place: MessageSpan,
        view: View<'_>,
        run: RunView<'_>,
        subscribers: &[Arc<BroadcastReceiver>],
        context: &BroadcastContext<'_>,
        missed: &mut Vec<u32>,
    ) {
        let Some(&msg_id) = run.ids.get(place.index as usize) else {
            return;
        };
        self.matches.sort_unstable();
        for matches in self.matches.chunk_by(|one, other| one.0 == other.0) {
            let subscriber = matches[0].0;
            let receiver = &subscribers[subscriber as usize];
            let Some(lane) = receiver.conflated_queue() else {
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
                frame: &run.input[place.range()],
                keys: &self.keys,
                superseding: &self.superseding,
            };
            self.waiting.add(subscriber);
            let capacity =
                receiver.capacity_of_conflated(lane, place.range().len(), context.capacity);
            match lane.push(&message, capacity, || context.gap(msg_id)) {
                PushOutcome::Queued { replaced } => self.replaced += u64::from(replaced),
                PushOutcome::Dropped => missed.push(place.index),
                PushOutcome::Closed => {}
            }
            receiver.release_share();
        }
        self.matches.clear();
    }
    /// Whether anybody is to be woken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.list.is_empty()
    }

    /// Wakes those for whom something was put into their lanes.
    pub(super) fn wake(&mut self, subscribers: &[Arc<BroadcastReceiver>]) {
        for subscriber in self.waiting.list.drain(..) {
            self.waiting.is_listed[subscriber as usize] = false;
            subscribers[subscriber as usize].handle.wake();
        }
    }

    /// How many messages took the place of older ones since this was last asked.
    pub(super) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }
}
