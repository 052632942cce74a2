//! Subscriptions to broadcasts.
//!
//! - `list`: the [`Subscriptions`] of one connection.
//! - `index`: the [`SubscriptionIndex`] over those of all connections, which finds
//!   the ones that match a message.
//! - `key`: the [`Keys`] of conflation and of snapshots.

mod index;
mod key;
mod list;

pub(crate) use index::{ConflatedBy, DeliveryMode, SubscriptionIndex};
pub(crate) use key::Keys;
pub(crate) use list::{Subscription, SubscriptionMode, Subscriptions};
