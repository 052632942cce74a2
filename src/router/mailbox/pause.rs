//! An event that waits for room in a full queue.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::ids::{ConnectionId, MsgId};
use crate::router::mailbox::Mailbox;

/// An event that waits for room.
#[derive(Debug)]
pub struct Pause {
    mailbox: Arc<Mailbox>,
    /// Whose event it is.
    connection: ConnectionId,
    /// Whether the connection is among those whom the queue wakes.
    waits: bool,
    /// Whether it is also among those whom freed memory wakes.
    waits_for_memory: bool,
    /// The event's bytes, prefix included.
    size: u32,
    /// When, in monotonic time, it is to be refused.
    pub deadline: Duration,
    /// The event.
    pub msg_id: MsgId,
}

impl Pause {
    /// An event of `connection` waits for room in `mailbox`.
    pub(crate) fn new(
        mailbox: &Arc<Mailbox>,
        connection: ConnectionId,
        size: u32,
        deadline: Duration,
        msg_id: MsgId,
    ) -> Self {
        Self {
            mailbox: Arc::clone(mailbox),
            connection,
            waits: false,
            waits_for_memory: false,
            size,
            deadline,
            msg_id,
        }
    }

    /// Whether it is worth handing the rest of the window in again: the queue
    /// has fallen below three quarters and takes the event, or is closed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        // Where memory has become short since it began to wait, it must wait for
        // that as well.
        let misses = !self.waits_for_memory && self.mailbox.is_short_of_memory();
        misses || self.mailbox.has_room(self.size)
    }

    /// Has `waker` woken when there may be room again, until the pause is
    /// dropped. The caller must hand the rest of its window in again after this
    /// call.
    pub fn wait(&mut self, waker: &Waker) {
        self.waits = true;
        self.mailbox.wait_for_room(self.connection, waker);
        if self.mailbox.is_short_of_memory() {
            self.waits_for_memory = true;
            self.mailbox.wait_for_memory(self.connection, waker);
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.waits {
            self.mailbox.stop_waiting(self.connection);
        }
        if self.waits_for_memory {
            self.mailbox.stop_waiting_for_memory(self.connection);
        }
    }
}
