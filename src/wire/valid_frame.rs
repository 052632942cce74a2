//! Frames that are checked once and sent many times.

use std::cell::RefCell;
use std::ops::Range;

use bytes::{BufMut, Bytes};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{Header, Kind, Validation};
use super::message::{Message, MillisText};
use super::parser::Parser;
use super::refusal::{ErrorCode, Refusal};
use crate::ids::MsgId;
use crate::limits::FRAME_PREFIX_BYTES;

/// A message as a frame that was checked by every rule of the protocol. Nothing in the
/// process checks it again, however often it is sent.
///
/// Each time it is sent it has a fresh `msg_id`, and by default the current time as its
/// `timestamp`; everything else stays byte for byte.
///
/// ```
/// use tickwire::wire::{Message, Order, Side, ValidFrame};
///
/// let order = Order::new("ord-456", "BTCUSDT", Side::Buy, 1);
/// let message = Message::order("quantower-connector", "api-gateway", "run-123", order)?;
/// let frame = ValidFrame::new(&message)?;
/// assert_eq!(frame.json(), message.to_json().as_bytes());
///
/// let broken = ValidFrame::from_json(b"{\"msg_id\": 1}").unwrap_err();
/// assert_eq!(broken.code.as_str(), "INVALID_ENVELOPE");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ValidFrame {
    kind: Kind,
    /// Prefix and JSON as they were checked.
    original: Bytes,
    template: Template,
}

/// A frame that differs from the next one only in texts of fixed lengths.
#[derive(Debug, Clone)]
struct Template {
    /// Prefix and JSON.
    frame: Bytes,
    /// `None`: a name is spelled with escapes, and only a parser can read it.
    header: Option<Header>,
    /// The place of the id, without its quotes.
    id: Range<usize>,
    /// The place of the timestamp, unless it stays.
    timestamp: Option<Range<usize>>,
}

/// A frame in a buffer, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownFrame {
    /// The header of a checked frame. `None`: the frame must be checked.
    pub(crate) header: Option<Header>,
    /// Bytes of the frame, prefix included.
    pub(crate) bytes: usize,
}

/// The two values of an envelope that change with each sending.
#[derive(Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    msg_id: &'a RawValue,
    #[serde(borrow)]
    timestamp: &'a RawValue,
}

impl ValidFrame {
    /// Encodes and checks a message.
    ///
    /// # Errors
    /// The rule that the message breaks: its public fields, and raw objects in it, may
    /// hold what no server accepts. A message of the connection (`hello`, `subscribe`,
    /// `unsubscribe`) is refused as well.
    pub fn new(message: &Message) -> Result<Self, Refusal> {
        Self::checked(message.to_frame())
    }

    /// Checks the JSON of a message, and keeps a copy.
    ///
    /// # Errors
    /// As [`ValidFrame::new`].
    pub fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        Self::checked(framed(&[json])?)
    }

    fn checked(original: Bytes) -> Result<Self, Refusal> {
        let kind = parse(&original)?.kind;
        if kind.is_control() {
            let reason = format!(
                "a {} belongs to its connection: it has no ValidFrame",
                kind.as_str()
            );
            return Err(Refusal::new(ErrorCode::InvalidEnvelope, reason).of_field("msg_type"));
        }
        Ok(Self {
            kind,
            template: Template::of(&original, false)?,
            original,
        })
    }

    /// Keeps the timestamp as it is, each time the frame is sent.
    #[must_use]
    pub fn keeping_timestamp(mut self) -> Self {
        if let Ok(template) = Template::of(&self.original, true) {
            self.template = template;
        }
        self
    }

    /// The message's JSON as it was checked.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        json_of(&self.original)
    }

    /// The message's type.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of the JSON as it is sent.
    #[must_use]
    pub fn json_bytes(&self) -> usize {
        json_of(&self.template.frame).len()
    }

    /// Appends the frame, prefix included, with the id `msg_id` and the timestamp `now`.
    #[inline]
    pub(crate) fn append(
        &self,
        out: &mut impl BufMut,
        msg_id: MsgId,
        now: &MillisText,
    ) -> KnownFrame {
        let template = &self.template;
        let id = (&template.id, msg_id.as_str().as_bytes());
        match &template.timestamp {
            None => template.append(out, &[id]),
            Some(place) => {
                let time = (place, &now.as_bytes()[..]);
                match template.id.start < place.start {
                    true => template.append(out, &[id, time]),
                    false => template.append(out, &[time, id]),
                }
            }
        }
        KnownFrame {
            header: template.header.map(|header| Header { msg_id, ..header }),
            bytes: template.frame.len(),
        }
    }

    /// Appends the frame as it was checked, for a second try under its own id.
    pub(crate) fn append_original(&self, out: &mut impl BufMut) -> KnownFrame {
        out.put_slice(&self.original);
        KnownFrame {
            header: None,
            bytes: self.original.len(),
        }
    }
}

impl Template {
    fn of(original: &Bytes, keeps_timestamp: bool) -> Result<Self, Refusal> {
        let mut frame = original.clone();
        let place = Places::in_frame(&frame)?.timestamp;
        if !keeps_timestamp && place.len() != MillisText::LEN {
            frame = spliced(&frame, &place, MillisText::from_unix_ms(0).as_bytes())?;
        }
        // An id has one length, unless it is spelled with escapes.
        let place = Places::in_frame(&frame)?.id;
        let header = parse(&frame)?;
        if place.len() != header.msg_id.as_str().len() {
            frame = spliced(&frame, &place, header.msg_id.as_str().as_bytes())?;
        }
        let Places { id, timestamp } = Places::in_frame(&frame)?;
        Ok(Self {
            header: Some(parse(&frame)?).filter(|header| !header.names.in_scratch),
            id,
            timestamp: (!keeps_timestamp).then_some(timestamp),
            frame,
        })
    }

    /// Appends the frame with other texts in some places, each as long as the one there.
    #[inline]
    fn append(&self, out: &mut impl BufMut, texts: &[(&Range<usize>, &[u8])]) {
        let mut at = 0;
        for (place, text) in texts {
            out.put_slice(&self.frame[at..place.start]);
            out.put_slice(text);
            at = place.end;
        }
        out.put_slice(&self.frame[at..]);
    }
}

/// The places of two values in a frame, each without its quotes.
struct Places {
    id: Range<usize>,
    timestamp: Range<usize>,
}

impl Places {
    fn in_frame(frame: &[u8]) -> Result<Self, Refusal> {
        let json = json_of(frame);
        let values: Values<'_> = serde_json::from_slice(json).map_err(|_| unreadable())?;
        let place = |value: &RawValue| {
            let text = value.get();
            let start = (text.as_ptr() as usize).checked_sub(frame.as_ptr() as usize)?;
            let inner = start + 1..(start + text.len()).checked_sub(1)?;
            (inner.start <= inner.end && inner.end < frame.len()).then_some(inner)
        };
        match (place(values.msg_id), place(values.timestamp)) {
            (Some(id), Some(timestamp)) => Ok(Self { id, timestamp }),
            _ => Err(unreadable()),
        }
    }
}

/// A frame with `text` at `place`.
fn spliced(frame: &[u8], place: &Range<usize>, text: &[u8]) -> Result<Bytes, Refusal> {
    let before = frame.get(FRAME_PREFIX_BYTES..place.start);
    let behind = frame.get(place.end..);
    framed(&[
        before.ok_or_else(unreadable)?,
        text,
        behind.ok_or_else(unreadable)?,
    ])
}

/// A frame of the parts of its JSON.
fn framed(parts: &[&[u8]]) -> Result<Bytes, Refusal> {
    let bytes = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(FRAME_PREFIX_BYTES + bytes);
    frame.extend_from_slice(&super::frame_prefix(bytes)?);
    for part in parts {
        frame.extend_from_slice(part);
    }
    Ok(frame.into())
}

fn json_of(frame: &[u8]) -> &[u8] {
    frame.get(FRAME_PREFIX_BYTES..).unwrap_or_default()
}

thread_local! {
    static PARSER: RefCell<Parser> = RefCell::new(Parser::new(Validation::Payload));
}

fn parse(frame: &[u8]) -> Result<Header, Refusal> {
    PARSER.with_borrow_mut(|parser| parser.parse(json_of(frame)))
}

#[cold]
fn unreadable() -> Refusal {
    Refusal::new(ErrorCode::InvalidEnvelope, "the envelope can't be read")
}
