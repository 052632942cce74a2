//! Messages as owned, typed values. Reading and writing one loses nothing: fields that
//! a type doesn't name are kept, numbers, ids and timestamps keep their spelling. The
//! order of fields, white space and escapes may change.

mod build;
mod domain;
mod fields;
mod hello;
mod number;
mod payload;
mod raw_object;
mod short_text;
mod subscription;
mod timestamp;
mod words;
mod write_json;

#[cfg(feature = "server")]
use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap, Serializer};

pub use build::Target;
pub use domain::{
    Bar, Batch, BatchedEvent, DomainEvent, Execution, MarketData, OcoGroup, OcoGroupEvent, Order,
    OrderType, Side, StrategyEvent, StrategyInstance,
};
pub use fields::UnknownFields;
pub use hello::{Acks, Broadcasts, Granted, GrantedLimits, Hello, ServerIdentity, Token, Welcome};
pub use number::{Number, NumberError};
pub use payload::{
    Ack, Durability, ErrorReport, EventType, Heartbeat, IngestEvent, Level, LogRecord, Payload,
};
pub use raw_object::{RawObject, RawObjectError};
pub use subscription::{
    Condition, FilterValue, Operator, Subscribe, SubscriptionMode, Unsubscribe,
};
pub(crate) use timestamp::MillisText;
pub use timestamp::{Timestamp, TimestampError};
pub use words::UnknownWord;
use write_json::ObjectWriter;
pub(crate) use write_json::WriteJson;

use crate::ids::{MsgId, Name};
use crate::limits::FRAME_PREFIX_BYTES;
#[cfg(feature = "server")]
use crate::limits::READ_BUFFER_BYTES;

/// Room for the JSON of a message; more is made as it is needed.
const JSON_BYTES_USUAL: usize = 512;

/// A message, read or to be written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawMessage")]
pub struct Message {
    /// The message's id.
    pub msg_id: MsgId,
    /// When it was sent.
    pub timestamp: Timestamp,
    /// The name of the sender.
    pub source: Name,
    /// The name of the receiver; `None` is everyone.
    pub target: Option<Name>,
    /// The payload, which also is its `msg_type`.
    pub payload: Payload,
    /// Fields of the envelope beyond these, kept as they are.
    pub unknown: UnknownFields,
}

/// The reason why a text is not a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is not one JSON object.
    #[error("not one JSON object: {reason}")]
    NotJson {
        /// The fault and its place.
        reason: Box<str>,
    },
    /// A field is absent, stands there twice or breaks its rule.
    #[error("{field}: {reason}")]
    Field {
        /// The field, dotted: `payload.run_id`.
        field: Box<str>,
        /// The fault.
        reason: Box<str>,
    },
    /// The message is of a type that has no [`Payload`].
    #[error("msg_type: this version knows no {0:?}")]
    UnknownType(Box<str>),
}

impl Message {
    /// Reads one message from its JSON, without a length prefix.
    ///
    /// The server refuses more: values that are nested too deep, and repeated unknown keys.
    ///
    /// # Errors
    /// `json` is not one JSON object, or breaks a rule of the envelope or of its type.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let envelope: RawMessage = serde_json::from_slice(json).map_err(|error| {
            // An error of syntax inside a field would carry the field's name.
            match serde_json::from_slice::<&serde_json::value::RawValue>(json) {
                Err(syntax) => MessageError::NotJson {
                    reason: syntax.to_string().into(),
                },
                Ok(_) => MessageError::in_object("", &error),
            }
        })?;
        envelope.try_into()
    }

    /// The message's JSON, compact.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = Vec::with_capacity(JSON_BYTES_USUAL);
        self.write_json(&mut json);
        String::from_utf8(json).expect("its parts are texts")
    }

    /// The message as a frame: its JSON after its length.
    ///
    /// # Panics
    /// The JSON is 4 GiB long or longer: no length prefix can say so.
    #[must_use]
    pub fn to_frame(&self) -> Bytes {
        self.to_frame_within(u32::MAX as usize)
            .expect("a message is shorter than 4 GiB")
    }

    /// The message as a frame of at most `frame_bytes_max` bytes, or else how many they
    /// are, without the prefix.
    pub(crate) fn to_frame_within(&self, frame_bytes_max: usize) -> Result<Bytes, usize> {
        let mut frame = Vec::with_capacity(JSON_BYTES_USUAL);
        self.write_frame(&mut frame, frame_bytes_max)?;
        Ok(frame.into())
    }

    /// Hands the same frame to `take`, in a buffer of this thread.
    #[cfg(feature = "server")]
    pub(crate) fn encode_within(
        &self,
        frame_bytes_max: usize,
        take: impl FnOnce(&[u8]),
    ) -> Result<(), usize> {
        thread_local! {
            static ENCODED: RefCell<Vec<u8>> = RefCell::default();
        }
        ENCODED.with_borrow_mut(|frame| {
            frame.clear();
            let written = self.write_frame(frame, frame_bytes_max);
            if written.is_ok() {
                take(frame);
            }
            // One large message must not keep its memory for good.
            frame.shrink_to(READ_BUFFER_BYTES);
            written
        })
    }

    fn write_frame(&self, frame: &mut Vec<u8>, frame_bytes_max: usize) -> Result<(), usize> {
        frame.extend_from_slice(&[0; FRAME_PREFIX_BYTES]);
        self.write_json(frame);
        let json_bytes = frame.len() - FRAME_PREFIX_BYTES;
        let prefix = u32::try_from(json_bytes).map_err(|_| json_bytes)?;
        if json_bytes > frame_bytes_max {
            return Err(json_bytes);
        }
        frame[..FRAME_PREFIX_BYTES].copy_from_slice(&prefix.to_be_bytes());
        Ok(())
    }

    /// The message's type, as it stands on the wire.
    #[must_use]
    pub const fn msg_type(&self) -> &'static str {
        self.payload.msg_type()
    }
}

macro_rules! spelled {
    ($($name:ty),*) => {$(
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}
spelled!(Number, RawObject, FilterValue);

fields::fields! {
    /// The envelope, before the payload is read by `msg_type`.
    struct RawMessage {
        msg_id: MsgId,
        msg_type: String,
        timestamp: Timestamp,
        source: Name,
        payload: RawObject,
    } optional {
        target: Name,
    }
}

impl TryFrom<RawMessage> for Message {
    type Error = MessageError;
    fn try_from(raw: RawMessage) -> Result<Self, MessageError> {
        Ok(Self {
            payload: Payload::read(&raw.msg_type, raw.payload.as_str())?,
            msg_id: raw.msg_id,
            timestamp: raw.timestamp,
            source: raw.source,
            target: raw.target,
            unknown: raw.unknown,
        })
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("msg_id", &self.msg_id)?;
        map.serialize_entry("msg_type", self.msg_type())?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("source", &self.source)?;
        if let Some(target) = &self.target {
            map.serialize_entry("target", target)?;
        }
        map.serialize_entry("payload", &self.payload)?;
        self.unknown.write(&mut map, |key| self.writes(key))?;
        map.end()
    }
}

impl WriteJson for Message {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::begin(out);
        object.member(r#""msg_id":"#, &self.msg_id);
        object.member(r#""msg_type":"#, self.msg_type());
        object.member(r#""timestamp":"#, &self.timestamp);
        object.member(r#""source":"#, &self.source);
        if let Some(target) = &self.target {
            object.member(r#""target":"#, target);
        }
        object.member(r#""payload":"#, &self.payload);
        object.unknown(&self.unknown, |key| self.writes(key));
        object.end();
    }
}

impl Message {
    /// Returns whether the field `key` is written from a field of the struct.
    fn writes(&self, key: &str) -> bool {
        match key {
            "msg_id" | "msg_type" | "timestamp" | "source" | "payload" => true,
            "target" => self.target.is_some(),
            _ => false,
        }
    }
}

impl MessageError {
    /// The error of a visitor of `fields!` in the object at `path`, empty for the root.
    fn in_object(path: &str, error: &serde_json::Error) -> Self {
        // The position within its own object would mislead.
        let text = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let text = text.strip_suffix(&position).unwrap_or(&text);
        let named = text
            .strip_prefix('`')
            .and_then(|text| text.split_once("`: "));
        match named {
            Some((field, reason)) => Self::Field {
                field: field.into(),
                reason: reason.into(),
            }
            .within(path),
            None if path.is_empty() => Self::NotJson {
                reason: text.into(),
            },
            None => Self::Field {
                field: path.into(),
                reason: text.into(),
            },
        }
    }

    /// Puts the error into an object at `path`.
    fn within(self, path: &str) -> Self {
        match self {
            Self::Field { field, reason } if !path.is_empty() => Self::Field {
                field: format!("{path}.{field}").into(),
                reason,
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
