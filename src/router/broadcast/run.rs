//! A run of broadcasts on its way to all receivers.

use crate::ids::{MsgId, Name};
use crate::router::mailbox::DropNotice;
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
