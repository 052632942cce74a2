//! The messages between a client and the server itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fields::fields;
use super::words::open_words;
use crate::ids::{MsgId, Name};
use crate::limits::PROTOCOL_VERSION;

/// Defines [`Hello`] and [`Granted`], which have these options in common.
macro_rules! hello_and_granted {
    ($($(#[$doc:meta])* $option:ident: $type:ty,)*) => {
        fields! {
            /// The first message of a client, to claim names and choose options. In a
            /// later one an absent key leaves its option as it is.
            pub struct Hello {
                /// The version of the protocol: [`PROTOCOL_VERSION`].
                protocol: u64,
            } optional {
                /// The names to own; absent means the message's `source`.
                names: Vec<Name>,
                $($(#[$doc])* $option: $type,)*
                /// The proof of the client's identity.
                token: Token,
            }
        }

        fields! {
            /// The options of a [`Hello`] as the server granted them.
            pub struct Granted {
            } optional {
                $($(#[$doc])* $option: $type,)*
            }
        }
    };
}
hello_and_granted! {
    /// `false`: own no name.
    register: bool,
    /// The way in which accepted messages are acknowledged.
    acks: Acks,
    /// Whether acks count the receivers that missed each message, be it none.
    ack_details: bool,
    /// The broadcasts to receive.
    broadcasts: Broadcasts,
    /// Whether to share the names with other connections.
    group: bool,
    /// A JSON pointer: equal values there go to the same member of the group.
    group_key: String,
    /// Whether the connection can be resumed.
    resumable: bool,
    /// Whether this resumes an earlier connection.
    resume: bool,
    /// Whether this connection replays earlier messages.
    replay: bool,
    /// The most messages to be handed, until some are released. Absent in a
    /// [`Granted`]: everything is handed over.
    window: u64,
}

impl Default for Hello {
    fn default() -> Self {
        Self::new(PROTOCOL_VERSION)
    }
}

fields! {
    /// The server's answer to a [`Hello`].
    pub struct Welcome {
        /// The version of the protocol.
        protocol: u64,
        /// The `hello` that this answers.
        hello_msg_id: MsgId,
        /// The server that answers.
        server: ServerIdentity,
        /// The names that the connection owns now.
        names: Vec<Name>,
        /// The limits of the server.
        limits: GrantedLimits,
        /// The options as they are now.
        granted: Granted,
    } optional {
        /// Those of the names that are durable: messages to them are kept until this
        /// connection settles them. Absent if there are none.
        durable: Vec<Name>,
    }
}

impl Welcome {
    /// Says that these names are durable, if there are any.
    #[must_use]
    pub fn with_durable(mut self, names: Vec<Name>) -> Self {
        self.durable = (!names.is_empty()).then_some(names);
        self
    }

    /// Returns whether messages to `name`, one of the connection's, are kept until it
    /// settles them.
    #[must_use]
    pub fn is_durable(&self, name: &Name) -> bool {
        let durable = self.durable.as_deref().unwrap_or_default();
        durable.contains(name)
    }
}

fields! {
    /// The identity of a server.
    pub struct ServerIdentity {
        /// The server's own name: the `source` of its answers.
        name: Name,
        /// Its version.
        version: String,
    }
}

fields! {
    /// The limits of a server.
    pub struct GrantedLimits {
        /// Largest frame, in bytes without its length prefix.
        frame_bytes: u64,
        /// Bytes that a queue may hold.
        queue_bytes: u64,
        /// Messages that a queue may hold.
        queue_messages: u64,
    } optional {
        /// Milliseconds, rounded up, for which the server may pause the connection for
        /// one full queue, in sum; absent if it doesn't tell.
        stall_timeout_ms: u64,
    }
}

open_words! {
    /// The way in which accepted messages are acknowledged.
    pub enum Acks {
        /// Each by its own ack.
        Each = "each",
        /// Many by one ack.
        Batch = "batch",
        /// Not at all; refused messages still get an error.
        None = "none",
    }
}

open_words! {
    /// The broadcasts that a connection receives.
    pub enum Broadcasts {
        /// All.
        All = "all",
        /// None.
        None = "none",
    }
}

/// The proof of a client's identity. Shown only on the wire, never in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(Box<str>);

impl Token {
    /// A token of this text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text. Keep it out of logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
