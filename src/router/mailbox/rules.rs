//! The rules of a queue: its bounds, and the fate of messages beyond them.

#![forbid(unsafe_code)]

use super::queue_state::Capacity;
use crate::limits::QUEUE_RESERVE_DIVISOR;

/// The fate of an event that doesn't fit the queue of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Its sender is paused until there is room, and after `stall_timeout` it is
    /// refused.
    #[default]
    Pause,
    /// It is refused at once.
    Refuse,
    /// It is dropped: its sender is told so in the ack, the target in its
    /// stream.
    Drop,
}

/// The rules of a name's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueRules {
    pub(crate) capacity: Capacity,
    pub(crate) overflow: Overflow,
}

/// The part of a queue that a message may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueuePart {
    /// All but the reserve.
    Ordinary,
    /// All of it: acks and errors never pause, so an eighth is kept for them.
    Whole,
}

impl QueueRules {
    /// The capacity of `part`.
    #[inline]
    pub(super) fn capacity_of(&self, part: QueuePart) -> Capacity {
        match part {
            QueuePart::Whole => self.capacity,
            QueuePart::Ordinary => {
                (self.capacity).part(QUEUE_RESERVE_DIVISOR - 1, QUEUE_RESERVE_DIVISOR)
            }
        }
    }
}
