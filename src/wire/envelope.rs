//! The borrowed envelope and the parser that checks a frame.

#![forbid(unsafe_code)]

use super::Refusal;
use crate::ids::MsgId;

/// How much of a frame is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Validation {
    /// The envelope, and what the type asks of the payload.
    #[default]
    Payload,
    /// The envelope; inside the payload only that it is valid JSON.
    Envelope,
}

/// What kind of message a frame holds: its `msg_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `ingest_event`
    IngestEvent,
    /// `log_record`
    LogRecord,
    /// `heartbeat`
    Heartbeat,
    /// `error`
    Error,
    /// `ack`
    Ack,
    /// `hello`
    Hello,
    /// `subscribe`
    Subscribe,
    /// `unsubscribe`
    Unsubscribe,
}

/// A range of the text that a [`Header`] was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// What routing needs to know of a checked frame: ranges into it, no borrows.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The message's id.
    pub msg_id: MsgId,
    /// The message's type.
    pub kind: Kind,
    source: Span,
    target: Option<Span>,
    /// Whether the spans lie in the parser's scratch instead of in the frame.
    in_scratch: bool,
}

/// The envelope of a checked frame, borrowed from it (or, where the frame holds
/// escapes, from the parser's scratch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// `msg_id`
    pub msg_id: MsgId,
    /// `msg_type`
    pub kind: Kind,
    /// `timestamp` as it was written.
    pub timestamp: &'a str,
    /// `source`
    pub source: &'a str,
    /// `target`; `None` is everyone.
    pub target: Option<&'a str>,
}

/// Checks frames with buffers that it uses again and again.
#[derive(Debug)]
pub struct Parser {
    validation: Validation,
}

impl Parser {
    /// A parser that checks as much as `validation` says.
    #[must_use]
    pub fn new(validation: Validation) -> Self {
        Self { validation }
    }

    /// Checks one frame (without its length prefix) by every rule of the
    /// protocol, and says what routing needs.
    ///
    /// `frame` is left byte for byte as it was when this returns.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    pub fn parse(&mut self, frame: &mut [u8]) -> Result<Header, Refusal> {
        let _ = (frame, self.validation);
        todo!()
    }

    /// Checks one frame and gives its envelope.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    pub fn envelope<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<Envelope<'a>, Refusal> {
        let _ = frame;
        todo!()
    }

    /// The `source` of the frame that was parsed last.
    #[must_use]
    #[inline]
    pub fn source<'a>(&'a self, frame: &'a [u8], header: &Header) -> &'a [u8] {
        self.text(frame, header, header.source)
    }

    /// The `target` of the frame that was parsed last.
    #[must_use]
    #[inline]
    pub fn target<'a>(&'a self, frame: &'a [u8], header: &Header) -> Option<&'a [u8]> {
        header.target.map(|span| self.text(frame, header, span))
    }

    fn text<'a>(&'a self, frame: &'a [u8], header: &Header, span: Span) -> &'a [u8] {
        let _ = (frame, header.in_scratch, span.start, span.end);
        todo!()
    }
}
