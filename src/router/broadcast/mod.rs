//! Broadcasts: the connections that hear them, and the way of each message to
//! each of these.
//!
//! - `subscriptions`: the subscriptions of a connection, and the index that finds
//!   those that match a message.
//! - `receiver`: a [`BroadcastReceiver`](receiver::BroadcastReceiver), the queues
//!   of broadcasts for one connection.
//! - `conflation`: the queue of a connection that has subscribed to the latest
//!   only.
//! - `audience`: all connections that hear broadcasts, as of one moment.
//! - `snapshots`: the last broadcast for each value of a key, for late
//!   subscribers.
//! - `fan_out`: the broadcasts of one read, sorted by subscriber and queued.

#![forbid(unsafe_code)]

pub(crate) mod audience;
pub(crate) mod conflation;
pub(crate) mod fan_out;
pub(crate) mod receiver;
pub(crate) mod snapshots;
pub(crate) mod subscriptions;

use crate::ids::{MsgId, Name};
use crate::router::mailbox::drop_notice::DropNotice;
use crate::router::mailbox::queue_state::Capacity;

/// Facts that all messages of a read share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BroadcastContext<'a> {
    /// The server's own name.
    pub(crate) server: &'a Name,
    /// The room for the broadcasts of one connection.
    pub(crate) capacity: Capacity,
    /// The time in milliseconds since the epoch.
    pub(crate) unix_ms: i64,
}

impl BroadcastContext<'_> {
    /// The notice that a receiver gets of a dropped broadcast.
    #[cold]
    pub(crate) fn drop_notice(&self, msg_id: MsgId) -> DropNotice {
        DropNotice::new(self.server, None, msg_id, self.unix_ms)
    }
}

/// The messages of a run, and the input that holds them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunView<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) ids: &'a [MsgId],
    pub(crate) sizes: &'a [u32],
    /// The start of the first message in the input.
    pub(crate) start: usize,
    /// The sum of `sizes`.
    pub(crate) total: usize,
}
