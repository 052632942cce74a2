//! The kind and the envelope of a checked frame, and the header that routing needs.

use super::words::words;
use crate::ids::MsgId;

/// The extent to which a frame is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Validation {
    /// The envelope, and the payload by the rules of its type.
    #[default]
    Payload,
    /// The envelope. The payload only has to be valid JSON.
    Envelope,
}

words! {
    /// The kind of message in a frame: its `msg_type`, if a client may send it.
    pub enum Kind {
        IngestEvent = "ingest_event",
        LogRecord = "log_record",
        Heartbeat = "heartbeat",
        Error = "error",
        Ack = "ack",
        Hello = "hello",
        Subscribe = "subscribe",
        Unsubscribe = "unsubscribe",
    }
}

impl Kind {
    /// Returns whether the message is for the server itself, and is not forwarded.
    #[must_use]
    #[inline]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Hello | Self::Subscribe | Self::Unsubscribe)
    }
}

/// A range of the text that a [`Header`] was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The span from `start` to before `end`, if both fit 32 bits.
    pub(super) fn new(start: usize, end: usize) -> Option<Self> {
        let span = Self {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
        };
        (start <= end).then_some(span)
    }

    /// The span from `start` to before `end`.
    #[inline]
    pub(super) const fn between(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// The bytes of `text` in the span; none if it reaches beyond.
    #[inline]
    pub(super) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// The part of a checked frame that routing needs: ranges into it, no borrows.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The message's id.
    pub msg_id: MsgId,
    /// The message's type.
    pub kind: Kind,
    /// The ranges of the names.
    pub names: Names,
}

/// The ranges of the names by which a frame is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    pub(super) source: Span,
    pub(super) target: Option<Span>,
    /// Whether the spans lie in the parser's scratch instead of in the frame.
    pub(super) in_scratch: bool,
}

/// The envelope of a checked frame, borrowed from it or from the parser's scratch.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_reads_what_it_writes_and_welcome_is_none_of_them() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::from_text(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::from_text("welcome"), None);
        assert_eq!(Kind::from_text("ACK"), None);
    }
}
