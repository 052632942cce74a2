//! The configuration of a router.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::Duration;

use crate::ids::Name;
use crate::limits;
use crate::router::mailbox::{Capacity, Overflow};
use crate::wire::Validation;

/// The configuration of a router.
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
    /// Bytes that may be held for all connections together.
    pub memory_max: usize,
    /// The time that a session is paused for one full queue, in sum.
    pub stall_timeout: Duration,
    /// The time that messages wait for another owner once a name's owner has left.
    pub linger: Duration,
    /// The depth to which each frame is checked.
    pub validation: Validation,
    /// JSON pointers: for each value that broadcasts have there, the last broadcast
    /// is kept from the start, and not only once a connection subscribes to a
    /// snapshot by the pointer. Texts that are no pointers are left out, and so are
    /// those after the first [`SNAPSHOT_KEYS_MAX`](limits::SNAPSHOT_KEYS_MAX).
    pub snapshot_keys: Vec<String>,
    /// Rules for the queues of some names.
    pub names: HashMap<Name, NameConfig>,
}

/// Rules for the queue of one name. `None` stands for the rule of all names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NameConfig {
    /// Bytes that the queue may hold.
    pub queue_bytes: Option<usize>,
    /// Messages that the queue may hold.
    pub queue_messages: Option<usize>,
    /// The fate of events that don't fit the queue.
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
    /// The capacity of a queue without rules of its own.
    pub(crate) fn capacity(&self) -> Capacity {
        Capacity {
            bytes: self.queue_bytes,
            messages: self.queue_messages,
        }
    }
}
