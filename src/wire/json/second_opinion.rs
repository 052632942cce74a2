//! The second opinion on frames that simd-json refuses: it takes no numbers beyond 64
//! bits, though JSON's grammar sets no size, and doesn't word its refusals.

use std::slice::Iter;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fault::{self, Fault};
use super::members::{Members, type_of};
use super::text::{lone_surrogate, string_end};
use super::value::{Content, JsonType, Value};
use crate::limits::JSON_DEPTH_MAX;
use crate::wire::refusal::Refusal;

/// JSON read as far as the rules look: two levels of members.
#[derive(Debug)]
pub(crate) enum Loose {
    Null,
    Bool,
    Number,
    Text(String),
    Array,
    Object(Vec<Member>),
}

type Member = (String, Loose);

/// Reads a frame by the letter of JSON.
///
/// # Errors
/// `INVALID_JSON`, with the place of the fault.
#[cold]
pub(crate) fn read(frame: &[u8]) -> Result<Loose, Refusal> {
    let text = str::from_utf8(frame)
        .map_err(|error| fault::refuse(frame, error.valid_up_to(), Fault::Utf8))?;
    let grammar = serde_json::from_str::<IgnoredAny>(text).err();
    let grammar = grammar.map(|error| (fault::offset(frame, &error), Fault::Syntax(error)));
    let faults = [depth_or_surrogate(frame), grammar];
    // The earlier of two faults is the one that explains the other.
    if let Some((at, fault)) = faults.into_iter().flatten().min_by_key(|(at, _)| *at) {
        return Err(fault::refuse(frame, at, fault));
    }
    Loose::read(text, 2).map_err(|error| fault::refuse(frame, 0, Fault::Syntax(error)))
}

impl Loose {
    /// Reads a valid value, with the members of objects down to `levels`.
    fn read(json: &str, levels: u8) -> Result<Self, serde_json::Error> {
        Ok(match type_of(json) {
            JsonType::Object if levels > 0 => {
                let Members(members) = serde_json::from_str(json)?;
                let read =
                    |(key, raw): (String, &RawValue)| Ok((key, Self::read(raw.get(), levels - 1)?));
                Self::Object(members.into_iter().map(read).collect::<Result<_, _>>()?)
            }
            JsonType::Object => Self::Object(Vec::new()),
            JsonType::Text(()) => Self::Text(serde_json::from_str(json)?),
            JsonType::Array => Self::Array,
            JsonType::Bool => Self::Bool,
            JsonType::Null => Self::Null,
            JsonType::Number => Self::Number,
        })
    }
}

impl<'a> Value<'a> for &'a Loose {
    type Members = std::iter::Map<Iter<'a, Member>, fn(&'a Member) -> (&'a str, Self)>;

    fn content(self) -> Content<&'a str> {
        match self {
            Loose::Null => Content::Null,
            Loose::Bool => Content::Bool,
            Loose::Number => Content::Number,
            Loose::Text(text) => Content::Text(text),
            Loose::Array => Content::Array,
            Loose::Object(_) => Content::Object,
        }
    }

    fn members(self) -> Option<Self::Members> {
        match self {
            Loose::Object(members) => Some(members.iter().map(|(key, value)| (key, value))),
            _ => None,
        }
    }
}

/// The first place where a text, which need not be valid JSON, is nested too deep or
/// holds half of a surrogate pair: serde_json passes both in values it skips.
fn depth_or_surrogate(json: &[u8]) -> Option<(usize, Fault)> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Some((at, Fault::Depth));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let start = at + 1;
                let end = string_end(json, start).map_or(json.len(), |end| end.quote);
                if let Some(lone) = lone_surrogate(&json[start..end]) {
                    return Some((start + lone, Fault::LoneSurrogate));
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    None
}
