//! Broadcasts: the connections that hear them, and the way of each message to
//! each of these.

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
