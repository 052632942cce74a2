//! Broadcasts: the connections that hear them, and the way of each message to
//! each of these.
//!
//! - `subscriptions`: the subscriptions of a connection, and the index that finds
//!   those that match a message.
//! - `receiver`: the [`BroadcastReceiver`], all queues of broadcasts for one
//!   connection.
//! - `conflation`: the queue of a connection that has subscribed to the latest
//!   only.
//! - `audience`: all connections that hear broadcasts, as of one moment.
//! - `snapshots`: the last broadcast for each value of a key, for late
//!   subscribers.
//! - `run`: a run of broadcasts on its way to all receivers.
//! - `fan_out`: the broadcasts of one read, sorted by subscriber and queued.

mod audience;
mod conflation;
mod fan_out;
mod receiver;
mod run;
mod snapshots;
mod subscriptions;

pub(crate) use audience::{Audience, Hearers};
pub(crate) use conflation::{ConflatedInFlight, ConflatedQueue};
pub(crate) use fan_out::FanOut;
pub(crate) use receiver::BroadcastReceiver;
pub(crate) use run::{BroadcastContext, RunView};
pub(crate) use snapshots::Snapshots;
pub(crate) use subscriptions::{Keys, Subscription, SubscriptionMode, Subscriptions};
