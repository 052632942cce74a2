//! How the library marks the events that tell of lost messages.
//!
//! Messages that were acknowledged and can't be delivered are reported to their
//! senders. Where the sender is gone, the library's `tracing` event is the only
//! word of the loss. So these events should not be dropped where others may be.
//! All of them have the target [`TARGET`], the level `WARN` or `ERROR`, and,
//! where they apply, these fields:
//!
//! - [`NAME`]: the name that the messages were for.
//! - [`COUNT`]: how many messages there were, as a `u64`.
//!
//! A program's own subscriber can tell them by [`is_loss`], sum them up by name
//! where there are many, and compare them with
//! [`Stats::given_up`](crate::Stats::given_up). A filter such as
//! `warn,tickwire::loss=info` names the target like any other.

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
