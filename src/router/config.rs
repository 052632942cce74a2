//! What a router is told when it is made.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::Duration;

use crate::ids::Name;
use crate::limits;
use crate::router::mailbox::{Capacity, Overflow};
use crate::wire::Validation;

/// What a router is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouterConfig {
    /// The server's own name: the `source` of its answers.
    pub name: Name,
    /// Largest frame accepted, in bytes without its prefix.
    pub frame_bytes_max: usize,
    /// Bytes that one queue may hold.
    pub queue_bytes: usize,
    /// Messages that one queue may hold.
    pub queue_messages: usize,
    /// Bytes that may be held for all peers together.
    pub memory_max: usize,
    /// How long in sum a session is paused for one full queue.
    pub stall_timeout: Duration,
    /// How long what is queued for a name waits for another owner once its own
    /// has left.
    pub linger: Duration,
    /// How much of each frame is checked.
    pub validation: Validation,
    /// JSON pointers: for each value that broadcasts have there the last one is
    /// kept from the start, and not only once somebody subscribes to a snapshot
    /// by it. What is no pointer is left out, and so is what comes after the
    /// first [`SNAPSHOT_KEYS_MAX`](limits::SNAPSHOT_KEYS_MAX).
    pub snapshot_keys: Vec<String>,
    /// What is different for the queues of some names.
    pub names: HashMap<Name, NameConfig>,
}

/// What is different for the queue of one name. What is `None` is as for all
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NameConfig {
    /// Bytes that the queue may hold.
    pub queue_bytes: Option<usize>,
    /// Messages that the queue may hold.
    pub queue_messages: Option<usize>,
    /// What becomes of events that don't fit it.
    pub overflow: Overflow,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            name: Name::new(limits::SERVER_NAME_DEFAULT).expect("the default name is a name"),
            frame_bytes_max: limits::FRAME_BYTES_MAX_DEFAULT,
            queue_bytes: limits::QUEUE_BYTES_DEFAULT,
            queue_messages: limits::QUEUE_MESSAGES_DEFAULT,
            memory_max: usize::MAX,
            stall_timeout: limits::STALL_TIMEOUT_DEFAULT,
            linger: limits::LINGER_DEFAULT,
            validation: Validation::Payload,
            snapshot_keys: Vec::new(),
            names: HashMap::new(),
        }
    }
}

impl RouterConfig {
    /// How much a queue may hold whose name has no rules of its own.
    pub(crate) fn capacity(&self) -> Capacity {
        Capacity {
            bytes: self.queue_bytes,
            messages: self.queue_messages,
        }
    }
}
