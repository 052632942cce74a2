//! The events that a program gets from tickwire, and the fate of the messages
//! that it sends. They are the same for a client over TCP and an endpoint
//! inside the server's process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::{ErrorReport, Message, MessageError, Welcome};

/// An event of a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message was delivered.
    Message(Inbound),
    /// The server reports something that isn't the answer to a send: that
    /// messages were dropped at this place of the stream (`MESSAGES_DROPPED`),
    /// that another connection took the name over (`NAME_TAKEN_OVER`), that
    /// accepted messages were given up (`UNDELIVERED`), that something posted
    /// was refused …
    Notice(ErrorReport),
    /// The connection was lost, and the client tries to make it again:
    /// [`Reconnected`](Event::Reconnected) follows or [`Closed`](Event::Closed).
    /// Sending goes on: messages wait for the next connection.
    Disconnected(Disconnect),
    /// The client is connected again, under the same names.
    Reconnected(Reconnection),
    /// The connection ended without having been told to, and there won't be
    /// another. Nothing follows.
    Closed(Disconnect),
}

/// A connection that was made again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reconnection {
    /// The server's `welcome`: perhaps it is another server, or allows
    /// something else.
    pub welcome: Arc<Welcome>,
    /// How many unanswered messages are sent once more, under their ids. The
    /// server delivers none of them twice.
    pub resent: usize,
    /// The number of messages of unknown fate: they were handed to the lost
    /// connection without being answered, and to send them once more could
    /// double them. Each send of them resolves to [`SendError::FateUnknown`].
    /// For posted messages this number is the only notice.
    pub fate_unknown: usize,
}

/// A message as it arrived, byte for byte as its sender wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    json: Bytes,
}

/// Why a connection ended without having been told to, or why there won't be
/// another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The server closed it. If it said why, that came before as a
    /// [`Notice`](Event::Notice).
    #[error("the server closed the connection")]
    ByServer,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] std::io::Error),
    /// The connection stands, but the server fell silent: a frozen process, or a
    /// proxy that forwards nothing.
    #[error("the server fell silent: {silence} for {limit:?}")]
    Silent {
        /// The way in which it was silent.
        silence: Silence,
        /// How long the client waited, while it read itself.
        limit: Duration,
    },
    /// The bytes that came are no frame: perhaps a proxy answered.
    #[error("the server broke the framing: {0}")]
    Framing(#[source] crate::wire::FrameError),
    /// Another connection took the last of the client's names over
    /// (`NAME_TAKEN_OVER`). Final: two clients of one name would take it from
    /// each other for ever.
    #[error("the name was taken over: {}", .0.message)]
    TakenOver(ErrorReport),
    /// The server doesn't want this client, as it is. Final: it would say the
    /// same again.
    #[error("the server refused the connection: {}: {}", .0.code, .0.message)]
    Refused(ErrorReport),
    /// No connection could be made again for as long as the client was to try.
    /// Final.
    #[error("no connection could be made again within {0:?}")]
    GaveUp(Duration),
}

/// In which way a server fell silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Silence {
    /// It owes answers and gives none.
    #[error("it owes answers and gave none")]
    NoAnswers,
    /// Bytes wait to be written, and none is taken.
    #[error("it took nothing of what waits to be written")]
    NothingTaken,
}

impl Inbound {
    pub(crate) fn new(json: Bytes) -> Self {
        Self { json }
    }

    /// The message's JSON as its sender wrote it.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The same, shared instead of borrowed.
    #[must_use]
    pub fn into_json(self) -> Bytes {
        self.json
    }

    /// Reads the message.
    ///
    /// # Errors
    /// It is of a type that this version doesn't know, or breaks a rule that
    /// the server was configured not to check.
    pub fn message(&self) -> Result<Message, MessageError> {
        Message::from_json(&self.json)
    }
}

/// The fate of a message that was not accepted.
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
        /// The largest that the server takes.
        limit: usize,
    },
    /// An `ack` is never acknowledged, and was not sent: post it.
    #[error("an ack is never acknowledged, so nothing was sent: post it instead")]
    NeverAnswered,
    /// The client says `hello` itself, nobody but a server says `welcome`, and
    /// subscriptions are said again on each connection; the message was not
    /// sent.
    #[error(
        "hello, welcome and subscriptions belong to the connection and were not sent: \
         see ClientConfig and Client::subscribe"
    )]
    OfTheConnection,
}
