//! Who hears broadcasts, and how each of them gets what it has asked for.

#![forbid(unsafe_code)]

pub(crate) mod audience;
pub(crate) mod conflation;
pub(crate) mod fan_out;
pub(crate) mod receiver;
pub(crate) mod snapshots;
pub(crate) mod subscriptions;

use crate::ids::{MsgId, Name};
use crate::router::mailbox::{Capacity, DropNotice};

/// What is the same for all messages of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BroadcastContext<'a> {
    /// The server's own name.
    pub(crate) server: &'a Name,
    /// What a connection's broadcasts may take.
    pub(crate) capacity: Capacity,
    /// In milliseconds since the epoch.
    pub(crate) unix_ms: i64,
}

impl BroadcastContext<'_> {
    /// A broadcast was dropped for one receiver.
    #[cold]
    pub(crate) fn gap(&self, msg_id: MsgId) -> DropNotice {
        DropNotice::new(self.server, None, msg_id, self.unix_ms)
    }
}

/// The messages of a run, and the bytes that they came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunView<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) ids: &'a [MsgId],
    pub(crate) sizes: &'a [u32],
    /// Where the first stands in the input.
    pub(crate) start: usize,
    /// Bytes of all.
    pub(crate) total: usize,
}
