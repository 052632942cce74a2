//! The events that a program gets from tickwire, and the fate of the messages that
//! it sends: the same for a client over TCP and an endpoint inside the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::ids::MsgId;
use crate::wire::{self, ErrorReport, Kind, Message, MessageError, Welcome};

/// An event of a connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message was delivered.
    Message(Inbound),
    /// A report that isn't the answer to a send: messages were dropped at this place
    /// (`MESSAGES_DROPPED`), the name was taken over (`NAME_TAKEN_OVER`), accepted
    /// messages were given up (`UNDELIVERED`), a posted message was refused …
    Notice(ErrorReport),
    /// The connection was lost, and messages wait until it is made again.
    /// [`Reconnected`](Event::Reconnected) or [`Closed`](Event::Closed) follows.
    Disconnected(Disconnect),
    /// The client is connected again, under the same names.
    Reconnected(Reconnection),
    /// The connection ended unasked, and there won't be another. Nothing follows.
    Closed(Disconnect),
}

/// A connection that was made again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reconnection {
    /// The `welcome` of the server, which may be another one.
    pub welcome: Arc<Welcome>,
    /// Unanswered messages that are sent again under their ids: none is delivered twice.
    pub resent: usize,
    /// Unanswered messages of unknown fate: sending them again could double them. Their
    /// sends resolve to [`SendError::FateUnknown`]; of posted ones nothing else tells.
    pub fate_unknown: usize,
}

/// A message as it arrived, byte for byte as its sender wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    json: Bytes,
}

/// Why a connection ended unasked, or why there won't be another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The server closed it; a [`Notice`](Event::Notice) before may say why.
    #[error("the server closed the connection")]
    ByServer,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] std::io::Error),
    /// The server fell silent: a frozen process, or a proxy that forwards nothing.
    #[error("the server fell silent: {silence} for {limit:?}")]
    Silent {
        /// The way in which it was silent.
        silence: Silence,
        /// How long the client waited, and read itself.
        limit: Duration,
    },
    /// The bytes that came are no frame: perhaps a proxy answered.
    #[error("the server broke the framing: {0}")]
    Framing(#[source] crate::wire::FrameError),
    /// Another connection took over the last of the client's names. Final.
    #[error("the name was taken over: {}", .0.message)]
    TakenOver(ErrorReport),
    /// The server refuses this client. Final: it would say the same again.
    #[error("the server refused the connection: {}: {}", .0.code, .0.message)]
    Refused(ErrorReport),
    /// The time to connect again is over. Final.
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

    /// The message's id; `None` of what is no message of tickwire's protocol.
    #[must_use]
    pub fn msg_id(&self) -> Option<MsgId> {
        wire::msg_id_in(&self.json)
    }

    /// The message's type; `None` likewise.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        wire::kind_in(&self.json)
    }

    /// Reads the message.
    ///
    /// # Errors
    /// The type is unknown, or a rule is broken that the server doesn't check.
    pub fn message(&self) -> Result<Message, MessageError> {
        Message::from_json(&self.json)
    }
}

/// A blocking call would hold up the runtime of its thread. Await the call that is not
/// blocking, or use a thread that was spawned by the standard library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this thread belongs to a runtime, which a blocking call would hold up: await the \
     endpoint's own call instead, or use a thread of your own"
)]
pub struct InsideRuntime;

/// The fate of a message that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The server refused the message; [`ErrorReport::field`] names the field at fault.
    #[error("refused: {}: {}", .0.code, .0.message)]
    Refused(ErrorReport),
    /// The connection ended, or the answer stayed out: the message was accepted or it
    /// wasn't. Receivers know a second one by the same `msg_id`.
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
    /// A blocking call from a thread of a runtime; nothing was sent.
    #[error(transparent)]
    InsideRuntime(#[from] InsideRuntime),
    /// An `ack` is never acknowledged, and was not sent: post it.
    #[error("an ack is never acknowledged, so nothing was sent: post it instead")]
    NeverAnswered,
    /// A `hello`, a `welcome` or a subscription, which the client says itself on each
    /// connection or only a server says; it was not sent.
    #[error(
        "hello, welcome and subscriptions belong to the connection and were not sent: \
         see ClientConfig and Client::subscribe"
    )]
    OfTheConnection,
}
