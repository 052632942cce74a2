//! The contents of a queue and its bounds, in messages and bytes.

use crate::budget::Allowance;
use crate::config::{Overflow, RouterConfig};
use crate::limits::{QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, QUEUE_RESERVE_DIVISOR};

/// The most that a queue may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Capacity {
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
}

impl From<&RouterConfig> for Capacity {
    fn from(config: &RouterConfig) -> Self {
        Self {
            bytes: config.queue_bytes,
            messages: config.queue_messages,
        }
    }
}

impl Capacity {
    /// `dividend` of `divisor` equal parts of this capacity.
    pub(crate) fn part(self, dividend: usize, divisor: usize) -> Self {
        Self {
            bytes: self.bytes / divisor * dividend,
            messages: self.messages / divisor * dividend,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueRules {
    pub(crate) capacity: Capacity,
    pub(crate) overflow: Overflow,
    /// Whether the store keeps the messages of the name until they are settled.
    pub(crate) durable: bool,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueState(pub(crate) u64);

const BYTES_BITS: u32 = 38;
const MESSAGES_BITS: u32 = 23;
const ONE_MESSAGE: u64 = 1 << BYTES_BITS;
/// No reservation succeeds.
pub(crate) const CLOSED: u64 = 1 << 63;
/// Entries that are queued or may yet come are to be swept.
pub(crate) const ENDED: u64 = 1 << 62;
/// A drop waits to be reported.
pub(crate) const DROPPED: u64 = 1 << 61;

// The word has room for a full queue, one more message of any size, and the
// memory that its entries pin beyond their bytes.
const _: () = assert!(QUEUE_BYTES_MAX as u64 * 8 <= 1 << BYTES_BITS);
const _: () = assert!((QUEUE_MESSAGES_MAX as u64) * 2 <= 1 << MESSAGES_BITS);
const _: () = assert!(BYTES_BITS + MESSAGES_BITS <= 61);

impl QueueState {
    /// A number of messages and of bytes, as the word has them.
    pub(crate) fn of(messages: usize, bytes: usize) -> u64 {
        messages as u64 * ONE_MESSAGE + bytes as u64
    }

    pub(crate) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    pub(crate) fn has_ended(self) -> bool {
        self.0 & ENDED != 0
    }

    pub(crate) fn has_dropped(self) -> bool {
        self.0 & DROPPED != 0
    }

    /// Returns whether there is nothing to deliver or about to be queued.
    pub(crate) fn is_empty(self) -> bool {
        self.0 & !(CLOSED | ENDED) == 0
    }

    pub(crate) fn bytes(self) -> usize {
        (self.0 & (ONE_MESSAGE - 1)) as usize
    }

    pub(crate) fn messages(self) -> usize {
        ((self.0 & (DROPPED - 1)) >> BYTES_BITS) as usize
    }

    /// Returns whether `allowance` admits a message of `size` bytes to this queue,
    /// where the account holds `charged` bytes.
    pub(crate) fn takes(self, size: u32, allowance: Allowance, charged: usize) -> bool {
        let others = charged.saturating_sub(self.bytes());
        allowance.takes(size as usize, self.bytes(), others, self.messages() == 0)
    }

    pub(crate) fn is_below(self, capacity: Capacity) -> bool {
        self.bytes() < capacity.bytes && self.messages() < capacity.messages
    }
}
