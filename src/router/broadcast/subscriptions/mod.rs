//! Subscriptions to broadcasts.

mod index;
mod key;
mod list;

pub(crate) use index::{ConflatedBy, DeliveryMode, SubscriptionIndex};
pub(crate) use key::Keys;
pub(crate) use list::{Subscription, SubscriptionMode, Subscriptions};
