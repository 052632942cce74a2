//! What a server can be told, and what is allowed.

use std::time::Duration;

use crate::ids::Name;
use crate::limits;
use crate::wire::Validation;

/// What a server can be told. Start from [`ServerConfig::default`] and change
/// what you need; `Server::start` checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where to listen: `HOST:PORT`. Port 0 picks a free one.
    pub listen: String,
    /// The server's own name: the `source` of its answers.
    pub name: Name,
    /// Largest frame accepted, in bytes without the length prefix.
    pub frame_bytes_max: usize,
    /// Bytes that the queue of a name, or of a connection's broadcasts, may
    /// hold. An empty queue takes any one message.
    pub queue_bytes: usize,
    /// Messages that such a queue may hold.
    pub queue_messages: usize,
    /// How long in sum a connection is paused for one full queue before its
    /// events to it are refused.
    pub stall_timeout: Duration,
    /// How long queued messages may take to be written at shutdown.
    pub drain_timeout: Duration,
    /// Connections served at once; further ones are told `LIMIT_EXCEEDED` and
    /// closed.
    pub connections_max: usize,
    /// How much of each frame is checked.
    pub validation: Validation,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: limits::LISTEN_DEFAULT.to_owned(),
            name: Name::new(limits::SERVER_NAME_DEFAULT).expect("the default name is a name"),
            frame_bytes_max: limits::FRAME_BYTES_MAX_DEFAULT,
            queue_bytes: limits::QUEUE_BYTES_DEFAULT,
            queue_messages: limits::QUEUE_MESSAGES_DEFAULT,
            stall_timeout: limits::STALL_TIMEOUT_DEFAULT,
            drain_timeout: limits::DRAIN_TIMEOUT_DEFAULT,
            connections_max: limits::CONNECTIONS_MAX_DEFAULT,
            validation: Validation::Payload,
        }
    }
}

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's key.
    pub key: &'static str,
    /// The value that it was given.
    pub value: String,
    /// What is allowed instead.
    pub allowed: String,
}

impl ServerConfig {
    /// Checks each value against what is allowed.
    ///
    /// # Errors
    /// The first value that is not, with what is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        todo!()
    }
}
