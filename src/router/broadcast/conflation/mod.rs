//! The broadcasts of a connection that has subscribed to the latest only: while
//! it is behind, a newer message replaces the older one with the same key.
//!
//! A connection gets this queue with its first subscription of mode `latest`.
//! From then on all its broadcasts go through it, so that none overtakes
//! another.
//!
//! A key belongs to one subscription. A message that several subscriptions want
//! has a key of each, and waits until every one of them has a newer message.
//!
//! A message can also be *unconflated*: a subscription wants all messages, or
//! finds no key in this one. Such a message replaces nothing, and nothing
//! replaces it. But a later message with one of its keys must not arrive before
//! it, and so must not move up into the slot of an older one.

mod backlog;
mod in_flight;
mod keys;
mod queue;

pub(crate) use backlog::PushOutcome;
pub(crate) use in_flight::ConflatedInFlight;
pub(crate) use queue::{ConflatedQueue, NewMessage};
