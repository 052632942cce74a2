//! The subscriptions of one connection.

use std::sync::Arc;

use crate::limits::{SUBSCRIPTION_BYTES_PER_CONNECTION_MAX, SUBSCRIPTIONS_PER_CONNECTION_MAX};
use crate::wire::filter::{Filter, Pointer};
use crate::wire::{ErrorCode, Mode, Refusal, SubscribeRequest};

/// A request for the broadcasts that match a filter.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// A number within the connection; a later subscription with the same id has
    /// another.
    pub(crate) serial: u32,
    id: String,
    pub(crate) filter: Filter,
    pub(crate) delivery: SubscriptionMode,
    bytes: usize,
}

/// The delivery of the messages that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubscriptionMode {
    /// All of them.
    All,
    /// Only the newest for each value of the pointer, of those that wait.
    Latest(Pointer),
}

/// The subscriptions of one connection, in the order of their requests.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Arc<Subscription>>,
    /// The serial of the next subscription.
    next_serial: u32,
}

impl Subscriptions {
    /// Checks that there is room for the subscription of `request`, a message of
    /// `bytes` bytes.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` if there isn't.
    pub(crate) fn check(&self, request: &SubscribeRequest, bytes: usize) -> Result<(), Refusal> {
        let others = self.list.iter().filter(|known| known.id != request.id);
        let (count, others) =
            others.fold((0, 0), |(count, sum), known| (count + 1, sum + known.bytes));
        if count >= SUBSCRIPTIONS_PER_CONNECTION_MAX {
            return Err(exceeded(format!(
                "a connection may have at most {SUBSCRIPTIONS_PER_CONNECTION_MAX} subscriptions"
            )));
        }
        if others + bytes > SUBSCRIPTION_BYTES_PER_CONNECTION_MAX {
            return Err(exceeded(format!(
                "the subscriptions of a connection may have at most \
                 {SUBSCRIPTION_BYTES_PER_CONNECTION_MAX} bytes together, as they were sent"
            )));
        }
        Ok(())
    }

    /// Adds the subscription of `request`, a message of `bytes` bytes. It replaces
    /// one with the same id.
    ///
    /// # Errors
    /// Those of [`Self::check`]; nothing changes then.
    pub(crate) fn add(
        &mut self,
        request: SubscribeRequest,
        bytes: usize,
    ) -> Result<Arc<Subscription>, Refusal> {
        self.check(&request, bytes)?;
        let known = self.position(&request.id);
        let delivery = match (request.mode, request.key) {
            (Mode::Latest, Some(key)) => SubscriptionMode::Latest(key),
            _ => SubscriptionMode::All,
        };
        let subscription = Arc::new(Subscription {
            serial: self.next_serial,
            id: request.id,
            filter: request.filter,
            delivery,
            bytes,
        });
        self.next_serial = self.next_serial.wrapping_add(1);
        match known {
            Some(index) => self.list[index] = Arc::clone(&subscription),
            None => self.list.push(Arc::clone(&subscription)),
        }
        Ok(subscription)
    }

    /// Drops the subscription `id`. Returns whether there was one.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let known = self.position(id);
        if let Some(index) = known {
            self.list.remove(index);
        }
        known.is_some()
    }

    /// A copy of the list, to be shared with senders.
    pub(crate) fn shared(&self) -> Arc<[Arc<Subscription>]> {
        self.list.as_slice().into()
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.list.iter().position(|known| known.id == id)
    }
}

fn exceeded(reason: String) -> Refusal {
    Refusal::new(ErrorCode::LimitExceeded, reason).of_field("payload.id")
}
