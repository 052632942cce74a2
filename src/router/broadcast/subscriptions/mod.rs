//! Subscriptions to broadcasts: what each connection has asked for, and which
//! of them match a message.

mod index;
mod key;

use std::sync::Arc;

pub(crate) use index::{ConflatedBy, DeliveryMode, SubscriptionIndex};
pub(crate) use key::Keys;

use crate::limits::{SUBSCRIPTION_BYTES_PER_CONNECTION_MAX, SUBSCRIPTIONS_PER_CONNECTION_MAX};
use crate::wire::filter::{Filter, Pointer};
use crate::wire::{ErrorCode, Mode, Refusal, SubscribeRequest};

/// What a connection asked for.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// Tells the subscriptions of a connection apart, also those that have the
    /// same id one after the other.
    pub(crate) serial: u32,
    id: String,
    pub(crate) filter: Filter,
    pub(crate) delivery: Delivery,
    /// Bytes of the request.
    bytes: usize,
}

/// How a subscription's matches are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Each of them.
    All,
    /// Of those that wait, the newest for each value of the pointer.
    Latest(Pointer),
}

/// The subscriptions of one connection, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Arc<Subscription>>,
    /// The serial of the next.
    next: u32,
}

impl Subscriptions {
    /// Whether there is room for what `request` asks for, in a message of
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

    /// Adds what `request` asks for, in a message of `bytes` bytes; one with
    /// its id makes room.
    ///
    /// # Errors
    /// What [`Self::check`] finds; nothing changes then.
    pub(crate) fn add(
        &mut self,
        request: SubscribeRequest,
        bytes: usize,
    ) -> Result<Arc<Subscription>, Refusal> {
        self.check(&request, bytes)?;
        let known = self.position(&request.id);
        let delivery = match (request.mode, request.key) {
            (Mode::Latest, Some(key)) => Delivery::Latest(key),
            _ => Delivery::All,
        };
        let subscription = Arc::new(Subscription {
            serial: self.next,
            id: request.id,
            filter: request.filter,
            delivery,
            bytes,
        });
        self.next = self.next.wrapping_add(1);
        match known {
            Some(index) => self.list[index] = Arc::clone(&subscription),
            None => self.list.push(Arc::clone(&subscription)),
        }
        Ok(subscription)
    }

    /// Drops the subscription called `id`. Says whether there was one.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let known = self.position(id);
        if let Some(index) = known {
            self.list.remove(index);
        }
        known.is_some()
    }

    /// All of them, as they are shared with those who broadcast.
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
