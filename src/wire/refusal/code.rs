//! The codes of the errors that tickwire sends.

use std::fmt;

use crate::wire::words::words;

words! {
    /// The code of an `error` of tickwire. Clients must accept codes they don't know.
    pub enum ErrorCode {
        /// A frame's length is 0; the connection is closed.
        FrameEmpty = "FRAME_EMPTY",
        /// A frame's length is above the limit; the connection is closed.
        FrameTooLarge = "FRAME_TOO_LARGE",
        /// A frame stayed incomplete for too long; the connection is closed.
        FrameTimeout = "FRAME_TIMEOUT",
        /// A frame is not one valid JSON object.
        InvalidJson = "INVALID_JSON",
        /// A key is repeated in the envelope or at the top of the payload.
        DuplicateField = "DUPLICATE_FIELD",
        /// A field of the envelope is missing or wrong.
        InvalidEnvelope = "INVALID_ENVELOPE",
        /// The `msg_type` is none that a client may send.
        UnknownMsgType = "UNKNOWN_MSG_TYPE",
        /// A field of the payload is missing or wrong.
        InvalidPayload = "INVALID_PAYLOAD",
        /// Too many invalid frames in a row; the connection is closed.
        TooManyRefused = "TOO_MANY_REFUSED",
        /// Nobody owns the name that the message is addressed to.
        TargetUnavailable = "TARGET_UNAVAILABLE",
        /// The queue of the target stayed full.
        QueueFull = "QUEUE_FULL",
        /// Accepted messages were given up before they could be delivered.
        Undelivered = "UNDELIVERED",
        /// The journal can't take the message.
        StorageUnavailable = "STORAGE_UNAVAILABLE",
        /// The receiver missed messages at this place of its stream.
        MessagesDropped = "MESSAGES_DROPPED",
        /// Another connection took the name over with a `hello`.
        NameTakenOver = "NAME_TAKEN_OVER",
        /// A connection of the sender was lost.
        ConnectionLost = "CONNECTION_LOST",
        /// No message of the connection was accepted for too long; it is closed.
        FirstMessageTimeout = "FIRST_MESSAGE_TIMEOUT",
        /// The server stops.
        ServerShuttingDown = "SERVER_SHUTTING_DOWN",
        /// The protocol version, message type or option is not supported.
        ProtocolUnsupported = "PROTOCOL_UNSUPPORTED",
        /// A limit of the server was reached.
        LimitExceeded = "LIMIT_EXCEEDED",
        /// A subscription's filter is wrong.
        InvalidFilter = "INVALID_FILTER",
        /// Reserved, not sent yet: the connection has not authenticated itself.
        NotAuthenticated = "NOT_AUTHENTICATED",
        /// The connection may not send under this `source`.
        SourceNotAllowed = "SOURCE_NOT_ALLOWED",
        /// Reserved, not sent yet: the connection may not send to this `target`.
        TargetNotAllowed = "TARGET_NOT_ALLOWED",
        /// Reserved, not sent yet: the connection sends faster than it may.
        RateLimited = "RATE_LIMITED",
    }
}

impl ErrorCode {
    /// Returns whether a hundred in a row close the connection: the frame is invalid.
    #[must_use]
    pub const fn is_invalid_frame(self) -> bool {
        matches!(
            self,
            Self::InvalidJson
                | Self::DuplicateField
                | Self::InvalidEnvelope
                | Self::UnknownMsgType
                | Self::InvalidPayload
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
