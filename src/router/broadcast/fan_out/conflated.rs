//! The fan-out to subscribers that want the latest only.

use std::sync::Arc;

use super::batch::MessageSpan;
use crate::router::broadcast::conflation::{NewMessage, PushOutcome};
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::broadcast::run::{BroadcastContext, RunView};
use crate::router::broadcast::subscriptions::{ConflatedBy, Keys};
use crate::wire::filter::View;

/// The matches of the current message, and the subscribers to be woken.
#[derive(Debug, Default)]
pub(super) struct ConflatedFanOut {
    /// The subscribers of the current message, and the key of each subscription.
    pub(super) matches: Vec<(u32, ConflatedBy)>,
    keys: Keys,
    waiting: Waiting,
    /// Messages that were replaced in this run.
    pub(super) replaced: u64,
}

/// The subscribers to be woken, each once.
#[derive(Debug, Default)]
struct Waiting {
    list: Vec<u32>,
    is_listed: Vec<bool>,
}

impl Waiting {
    fn add(&mut self, subscriber: u32) {
        let index = subscriber as usize;
        if self.is_listed.len() <= index {
            self.is_listed.resize(index + 1, false);
        }
        if !std::mem::replace(&mut self.is_listed[index], true) {
            self.list.push(subscriber);
        }
    }
}

impl ConflatedFanOut {
    /// Pushes the current message into the queue of each subscriber. Adds its
    /// index in the run to `missed` for each queue without room.
    #[inline(never)]
    pub(super) fn deliver(
        &mut self,
        span: MessageSpan,
        view: View<'_>,
        run: RunView<'_>,
        subscribers: &[Arc<BroadcastReceiver>],
        context: &BroadcastContext<'_>,
        missed: &mut Vec<u32>,
    ) {
        let Some(&msg_id) = run.ids.get(span.index as usize) else {
            return;
        };
        self.matches.sort_unstable();
        for matches in self.matches.chunk_by(|one, other| one.0 == other.0) {
            let subscriber = matches[0].0;
            let receiver = &subscribers[subscriber as usize];
            let Some(queue) = receiver.conflated_queue() else {
                continue;
            };
            self.keys.clear();
            // Not if a subscription wants all messages, or finds no key in this.
            let mut is_conflated = true;
            for (_, conflated_by) in matches {
                is_conflated &= match conflated_by {
                    None => false,
                    Some((slot, space)) => self.keys.add(*space, view.get(*slot as usize).as_ref()),
                };
            }
            let message = NewMessage {
                frame: &run.input[span.range()],
                keys: &self.keys,
                is_conflated,
            };
            self.waiting.add(subscriber);
            let capacity =
                receiver.capacity_of_conflated(queue, span.range().len(), context.capacity);
            match queue.push(&message, capacity, || context.drop_notice(msg_id)) {
                PushOutcome::Queued { replaced } => self.replaced += u64::from(replaced),
                PushOutcome::Dropped => missed.push(span.index),
                PushOutcome::Closed => {}
            }
            receiver.release_share();
        }
        self.matches.clear();
    }

    /// Whether a subscriber is to be woken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.list.is_empty()
    }

    /// Wakes the subscribers that messages were pushed for.
    pub(super) fn wake(&mut self, subscribers: &[Arc<BroadcastReceiver>]) {
        for subscriber in self.waiting.list.drain(..) {
            self.waiting.is_listed[subscriber as usize] = false;
            subscribers[subscriber as usize].handle.wake();
        }
    }
}
