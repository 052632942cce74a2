//! An event that waits for room in a full queue.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::outbox::Outbox;
use crate::ids::{ConnectionId, MsgId};

/// An event that waits for room.
#[derive(Debug)]
pub struct Pause {
    pub(super) outbox: Arc<Outbox>,
    /// Whose event it is.
    pub(super) connection: ConnectionId,
    /// Whether the connection is among those whom the queue wakes.
    pub(super) waits: bool,
    /// Whether it is also among those whom freed memory wakes.
    pub(super) waits_for_memory: bool,
    /// The event's bytes, prefix included.
    pub(super) size: u32,
    /// When, in monotonic time, it is to be refused.
    pub deadline: Duration,
    /// The event.
    pub msg_id: MsgId,
}

impl Pause {
    /// Whether it is worth handing the rest of the window in again: the queue
    /// has fallen below three quarters and takes the event, or is closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        // Where memory has become short since it began to wait, it must wait for
        // that as well.
        let misses = !self.waits_for_memory && self.outbox.is_short_of_memory();
        misses || self.outbox.has_room(self.size)
    }

    /// Has `waker` woken when there may be room again, until the pause is
    /// dropped. The caller must hand the rest of its window in again after this
    /// call.
    pub fn wait(&mut self, waker: &Waker) {
        self.waits = true;
        self.outbox.wait_for_room(self.connection, waker);
        if self.outbox.is_short_of_memory() {
            self.waits_for_memory = true;
            self.outbox.wait_for_memory(self.connection, waker);
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.waits {
            self.outbox.stop_waiting(self.connection);
        }
        if self.waits_for_memory {
            self.outbox.stop_waiting_for_memory(self.connection);
        }
    }
}
