//! Errors and welcomes, written by serde.

use serde::Serialize;

use super::{AnswerIds, set_prefix};
use crate::ids::{MsgId, Name};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::message::{ErrorReport, MillisText, RawObject, Welcome};
use crate::wire::refusal::{ErrorCode, Refusal, Shortage, StoreFate};

/// The details of an error, beside its code and message.
#[derive(Debug, Default, Serialize)]
pub struct ErrorDetails<'a> {
    /// The offending message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<&'a str>,
    /// The offending field, dotted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// The thing in short supply, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// The fate of a message that could not be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fate: Option<&'a str>,
    /// The name of the queue that was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// The name that was taken over, or the name of the owner that missed messages;
    /// null for missed broadcasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<&'a str>>,
    /// The number of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_msg_id: Option<&'a str>,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_msg_id: Option<&'a str>,
}

impl<'a> ErrorDetails<'a> {
    /// The details of the error that answers a refused frame.
    pub(crate) fn of(refusal: &'a Refusal) -> Self {
        Self {
            msg_id: refusal.msg_id.as_ref().map(MsgId::as_str),
            field: refusal.field.as_deref(),
            reason: refusal.shortage.map(Shortage::as_str),
            fate: refusal.fate.map(StoreFate::as_str),
            ..Self::default()
        }
    }
}

impl From<&Refusal> for ErrorReport {
    /// The report that a server answers a refused message with.
    fn from(refusal: &Refusal) -> Self {
        Self {
            details: RawObject::of(&ErrorDetails::of(refusal)).ok(),
            ..Self::new(refusal.code.as_str(), refusal.reason.clone())
        }
    }
}

/// A writer of errors and welcomes.
#[derive(Debug)]
pub struct AnswerWriter<'a> {
    /// The server's name.
    pub server: &'a Name,
    /// The ids of the session.
    pub ids: &'a mut AnswerIds,
    /// The time, in milliseconds since the epoch.
    pub unix_ms: i64,
}

#[derive(Serialize)]
struct Answer<'a, P> {
    msg_id: String,
    msg_type: &'static str,
    timestamp: &'a str,
    source: &'a Name,
    target: Option<&'a str>,
    payload: P,
}

#[derive(Serialize)]
struct ErrorPayload<'a> {
    code: &'static str,
    message: &'a str,
    details: &'a ErrorDetails<'a>,
}

impl AnswerWriter<'_> {
    /// Appends an error to `target`, or to no name.
    pub fn append_error(
        &mut self,
        out: &mut Vec<u8>,
        target: Option<&str>,
        code: ErrorCode,
        message: &str,
        details: &ErrorDetails<'_>,
    ) {
        let payload = ErrorPayload {
            code: code.as_str(),
            message,
            details,
        };
        self.append(out, "error", target, payload);
    }

    /// Appends the answer to a `hello` from `target`.
    pub fn append_welcome(&mut self, out: &mut Vec<u8>, target: &str, welcome: &Welcome) {
        self.append(out, "welcome", Some(target), welcome);
    }

    fn append(
        &mut self,
        out: &mut Vec<u8>,
        msg_type: &'static str,
        target: Option<&str>,
        payload: impl Serialize,
    ) {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_PREFIX_BYTES]);
        let timestamp = MillisText::from_unix_ms(self.unix_ms);
        let answer = Answer {
            msg_id: self.ids.next_string(),
            msg_type,
            timestamp: timestamp.as_str(),
            source: self.server,
            target,
            payload,
        };
        serde_json::to_writer(&mut *out, &answer)
            .expect("writing strings and numbers to memory can't fail");
        set_prefix(out, start);
    }
}
