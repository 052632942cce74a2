//! The control messages of clients: their payloads, and the wording of mistakes.
//!
//! The parser has accepted the frame: it is valid JSON without repeated keys in the
//! envelope and at the top of its payload. Unknown keys are ignored.

mod hello;
mod subscribe;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;

pub(crate) use self::hello::HelloRequest;
pub(crate) use self::subscribe::{Mode, SubscribeRequest, UnsubscribeRequest};
use super::filter::Pointer;
use super::json::{JsonType, Members, type_of};
use super::refusal::{ErrorCode, Refusal, echo};
use crate::ids::{MsgId, Name};

/// Reads a request from the payload of the frame `json`; a refusal names the message.
///
/// # Errors
/// The refusal of `read`, or a payload that is no object.
fn read<T>(
    json: &[u8],
    read: impl FnOnce(ControlPayload<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let members = |json| serde_json::from_str::<Members<'_>>(json).ok();
    let frame = str::from_utf8(json).ok().and_then(members);
    let frame = frame.unwrap_or(Members(Vec::new()));
    let outcome = match frame.last("payload").and_then(members) {
        Some(members) => read(ControlPayload(members)),
        None => {
            let refusal = Refusal::new(ErrorCode::InvalidEnvelope, "must be an object");
            Err(refusal.of_field("payload"))
        }
    };
    outcome.map_err(|refusal| {
        let text_of = |key| frame.last(key).and_then(text);
        Refusal {
            msg_id: text_of("msg_id").and_then(|text| MsgId::from_text(text.as_bytes())),
            source: text_of("source").and_then(|text| Name::new(text).ok()),
            ..refusal
        }
    })
}

/// The members of a control message's payload, named by their dotted paths.
struct ControlPayload<'a>(Members<'a>);

impl<'a> ControlPayload<'a> {
    /// Returns the JSON of a field.
    fn get(&self, field: &str) -> Option<&'a str> {
        self.0.last(field.strip_prefix("payload.")?)
    }

    /// Reads a boolean.
    fn flag(&self, field: &'static str) -> Result<Option<bool>, Refusal> {
        match self.get(field) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(wrong(field, "true or false", other)),
        }
    }

    /// Reads a string.
    fn text(&self, field: &'static str) -> Result<Option<String>, Refusal> {
        let read = |json| text(json).ok_or_else(|| wrong(field, "a string", json));
        self.get(field).map(read).transpose()
    }

    /// Reads a JSON pointer.
    fn pointer(&self, field: &'static str) -> Result<Option<Pointer>, Refusal> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let pointer = Pointer::parse(&text);
        pointer
            .map(Some)
            .map_err(|error| invalid(field, error.to_string()))
    }

    /// Reads one of the `allowed` words.
    fn word<T: for<'t> From<&'t str>>(
        &self,
        field: &'static str,
        allowed: &[&str],
    ) -> Result<Option<T>, Refusal> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) if allowed.contains(&&*text) => Ok(Some(T::from(&text))),
            Some(text) => Err(invalid(field, is_none_of(allowed, &text))),
        }
    }
}

/// Words the mistake in a word that is not allowed.
fn is_none_of(allowed: &[&str], text: &str) -> String {
    let allowed = allowed.join(", ");
    format!("must be one of {allowed}; this is {}", echo(text))
}

/// Reads a string; `None` if `json` is none.
fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Refuses a field with `INVALID_PAYLOAD`.
fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::InvalidPayload, reason).of_field(field)
}

/// Refuses an optional field of the wrong type.
fn wrong(field: impl Into<Cow<'static, str>>, asked: &str, json: &str) -> Refusal {
    let instead = match type_of(json) {
        JsonType::Null => "; leave it out instead",
        _ => "",
    };
    invalid(field, format!("{}{instead}", is_wrong(asked, json)))
}

/// Words the type that a value must have, and its own.
fn is_wrong(asked: &str, json: &str) -> String {
    format!("must be {asked}, this is {}", type_of(json).words())
}
