//! Errors of a client, the side at fault, and the remedy.

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
    /// The thread of a client that polls can't be started.
    #[error("can't start the thread that polls: {0}")]
    Poll(#[source] io::Error),
    /// The server can't be reached, or the connection broke.
    #[error("can't reach {address}: {error}")]
    Unreachable {
        /// Where the server should be.
        address: String,
        /// The operating system's error.
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
    /// The answer is not tickwire's protocol.
    #[error("{address} doesn't speak tickwire's protocol: {reason}")]
    NotTickwire {
        /// Where the server should be.
        address: String,
        /// The fault of the answer.
        reason: String,
    },
}

/// The messages that a close left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Messages were left behind.
    #[error("the connection ended with {fate_unknown} messages unanswered and {unsent} not sent")]
    Unfinished {
        /// Messages handed to the connection and never answered.
        fate_unknown: usize,
        /// Messages certainly not sent.
        unsent: usize,
    },
}

/// Why not everything that was posted was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// Some messages were not accepted, or are of unknown fate.
    #[error(
        "of the messages that were posted {refused} were refused, {fate_unknown} are of unknown \
         fate and {unsent} were not sent"
    )]
    NotAccepted {
        /// Messages that the server refused.
        refused: usize,
        /// Messages handed to a connection and not answered.
        fate_unknown: usize,
        /// Messages certainly not sent.
        unsent: usize,
    },
    /// The client's runtime has ended, and the fate of the messages isn't known.
    #[error("the client's runtime has ended: what became of its messages isn't known")]
    Lost,
}
