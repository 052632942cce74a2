//! The settings of the queue of one name.

/// The rules of the queue of one name. `None` is the rule of all queues.
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
