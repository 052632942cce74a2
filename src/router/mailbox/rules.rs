//! The rules of a queue: its bounds, and the fate of messages beyond them.

use super::queue_state::Capacity;
use crate::config::Overflow;
use crate::limits::QUEUE_RESERVE_DIVISOR;

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
