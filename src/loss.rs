//! How the library marks the events that tell of lost messages.
//!
//! Acknowledged messages that can't be delivered are reported to their senders.
//! Where a sender is gone, the library's `tracing` event is the only word of the
//! loss: it should not be dropped where others may be. It has the target
//! [`TARGET`], the level `WARN` or `ERROR`, and, where they apply, these fields:
//!
//! - [`NAME`]: the name that the messages were for.
//! - [`COUNT`]: how many messages there were, as a `u64`.
//!
//! A program's own subscriber can tell them by [`is_loss`], and compare them with
//! [`Stats::given_up`](crate::Stats::given_up).

/// The target of events that tell of lost messages.
pub const TARGET: &str = "tickwire::loss";
/// The field with the name that the messages were for.
pub const NAME: &str = "target";
/// The field with the number of messages.
pub const COUNT: &str = "count";

/// Returns whether events with this metadata tell of lost messages.
#[must_use]
pub fn is_loss(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.target() == TARGET
}
