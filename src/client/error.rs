//! What can go wrong for a client, by whose fault, and what to do about it.

use std::io;
use std::time::Duration;

use crate::ids::NameError;
use crate::wire::ErrorReport;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A name in the configuration is none.
    #[error("the client's configuration: {0}")]
    InvalidName(#[from] NameError),
    /// The server can't be reached, or the connection broke.
    #[error("can't reach {address}: {error}")]
    Unreachable {
        /// Where the server should be.
        address: String,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// No `welcome` came in time: the server is overloaded, or isn't tickwire.
    #[error("{address} sent no welcome within {timeout:?}: is it a tickwire server?")]
    Timeout {
        /// Where the server should be.
        address: String,
        /// How long the client has waited.
        timeout: Duration,
    },
    /// The server refused the connection and said why.
    #[error("the server refused the connection: {}: {}", .0.code, .0.message)]
    Refused(ErrorReport),
    /// The server closed the connection without a `welcome` and didn't say why.
    #[error("{address} closed the connection without a welcome: is it a tickwire server?")]
    ClosedByServer {
        /// Where the server should be.
        address: String,
    },
    /// What came is not tickwire's protocol.
    #[error("{address} doesn't speak tickwire's protocol: {reason}")]
    NotTickwire {
        /// Where the server should be.
        address: String,
        /// What is wrong with what came.
        reason: String,
    },
}

/// What became of a message that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The server refused the message; nobody received it. The report says why,
    /// and in [`ErrorReport::field`] of which field.
    #[error("refused: {}: {}", .0.code, .0.message)]
    Refused(ErrorReport),
    /// The connection ended, or the answer stayed out, after the message had
    /// been handed over: it was accepted or it wasn't. To send it again under
    /// the same `msg_id` lets receivers tell that it is the same.
    #[error("the answer stayed out: the message may have been accepted or not")]
    FateUnknown,
    /// The connection is closed, and the message was not sent.
    #[error("the connection is closed; the message was not sent")]
    Closed,
    /// The message is larger than the server takes, and was not sent.
    #[error("the message has {bytes} bytes, the server takes at most {limit}; it was not sent")]
    TooLarge {
        /// The message's JSON, in bytes.
        bytes: usize,
        /// What the server takes.
        limit: usize,
    },
    /// An `ack` is never acknowledged, and was not sent: post it.
    #[error("an ack is never acknowledged, so nothing was sent: post it instead")]
    NeverAnswered,
    /// The client says `hello` itself, and nobody but a server says `welcome`;
    /// the message was not sent.
    #[error("hello and welcome belong to the connection and were not sent: see ClientConfig")]
    OfTheConnection,
}

/// What a close left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Messages were written but never answered: each was accepted or it wasn't.
    #[error("the connection ended with {count} messages unanswered")]
    FateUnknown {
        /// How many.
        count: usize,
    },
}
