//! An event that waits for room in the queue of its target.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::Mailbox;
use crate::ids::{ConnectionId, MsgId};

/// An event that waits for room.
#[derive(Debug)]
pub struct Pause {
    mailbox: Arc<Mailbox>,
    /// The sender of the event.
    connection: ConnectionId,
    /// Whether the queue is to wake the sender.
    waits_for_room: bool,
    /// Whether freed memory is to wake it as well.
    waits_for_memory: bool,
    /// The event's bytes, prefix included.
    size: u32,
    /// The monotonic time at which the event is to be refused.
    pub deadline: Duration,
    /// The id of the event.
    pub msg_id: MsgId,
}

impl Pause {
    /// Pauses `connection`, until there is room in `mailbox` for its event.
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
            waits_for_room: false,
            waits_for_memory: false,
            size,
            deadline,
            msg_id,
        }
    }

    /// Returns whether the caller should hand the rest of its input in again: the
    /// queue has fallen below three quarters and takes the event, or is closed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        // If memory has become short since the sender began to wait, it must wait
        // for that as well.
        let must_wait_again = !self.waits_for_memory && self.mailbox.budget.is_short();
        must_wait_again || self.mailbox.has_room(self.size)
    }

    /// Has `waker` woken when there may be room again, until the pause is
    /// dropped. The caller must hand the rest of its input in again after this
    /// call.
    pub fn wait(&mut self, waker: &Waker) {
        self.waits_for_room = true;
        self.mailbox.wait_for_room(self.connection, waker);
        if self.mailbox.budget.is_short() {
            self.waits_for_memory = true;
            (self.mailbox.budget).wait_for_room(self.connection, waker);
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.waits_for_room {
            self.mailbox.stop_waiting(self.connection);
        }
        if self.waits_for_memory {
            self.mailbox.budget.stop_waiting(self.connection);
        }
    }
}
