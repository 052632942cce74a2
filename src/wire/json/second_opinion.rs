//! The judge of frames that simd-json refuses.
//!
//! simd-json refuses numbers that don't fit 64 bits, though JSON's grammar
//! sets no size. So whatever it refuses is read again, slowly: UTF-8, depth
//! and surrogates first, then by serde_json, with the value of every member
//! left unread as far as the rules allow. What this refuses, too, is worded
//! for the writer of the client.

#![forbid(unsafe_code)]

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fault::{self, Fault};
use super::members::{self, Members};
use super::value::{Shape, Value};
use crate::limits::JSON_DEPTH_MAX;
use crate::wire::refusal::Refusal;

/// JSON read as far as the rules look: members of the root and of the objects
/// directly in it.
#[derive(Debug)]
pub(crate) enum Loose {
    Null,
    Bool,
    Number,
    Text(String),
    Array,
    Object(Vec<(String, Loose)>),
}

/// Reads a frame by the letter of JSON.
///
/// # Errors
/// `INVALID_JSON`, with the place of the fault.
#[cold]
pub(crate) fn read(frame: &[u8]) -> Result<Loose, Refusal> {
    let text = str::from_utf8(frame)
        .map_err(|error| fault::refuse(frame, error.valid_up_to(), Fault::Utf8))?;
    let offence = depth_or_surrogate(frame);
    let grammar = serde_json::from_str::<IgnoredAny>(text).err();
    let fault = match (offence, grammar) {
        // The earlier of two faults is the one that explains the other.
        (Some(offence), Some(error)) if offence.0 > fault::offset(frame, &error) => {
            Some((fault::offset(frame, &error), Fault::Syntax(error)))
        }
        (Some(offence), _) => Some(offence),
        (None, Some(error)) => Some((fault::offset(frame, &error), Fault::Syntax(error))),
        (None, None) => None,
    };
    if let Some((at, fault)) = fault {
        return Err(fault::refuse(frame, at, fault));
    }
    Loose::read(text, 2).map_err(|error| fault::refuse(frame, 0, Fault::Syntax(error)))
}

impl Loose {
    /// Reads one whole value that is known to be valid, the members of objects
    /// down to `levels`.
    fn read(json: &str, levels: u8) -> Result<Self, serde_json::Error> {
        Ok(match members::kind(json) {
            members::Kind::Object if levels > 0 => {
                let Members(members) = serde_json::from_str(json)?;
                let read =
                    |(key, raw): (String, &RawValue)| Ok((key, Self::read(raw.get(), levels - 1)?));
                Self::Object(members.into_iter().map(read).collect::<Result<_, _>>()?)
            }
            members::Kind::Object => Self::Object(Vec::new()),
            members::Kind::Text => Self::Text(serde_json::from_str(json)?),
            members::Kind::Array => Self::Array,
            members::Kind::Bool => Self::Bool,
            members::Kind::Null => Self::Null,
            members::Kind::Number => Self::Number,
        })
    }
}

impl<'a> Value<'a> for &'a Loose {
    type Members = LooseMembers<'a>;

    fn shape(self) -> Shape<'a> {
        match self {
            Loose::Null => Shape::Null,
            Loose::Bool => Shape::Bool,
            Loose::Number => Shape::Number,
            Loose::Text(text) => Shape::Text(text),
            Loose::Array => Shape::Array,
            Loose::Object(_) => Shape::Object,
        }
    }

    fn members(self) -> Option<LooseMembers<'a>> {
        match self {
            Loose::Object(members) => Some(LooseMembers(members.iter())),
            _ => None,
        }
    }
}

/// Walks the members of a [`Loose`] object.
pub(crate) struct LooseMembers<'a>(std::slice::Iter<'a, (String, Loose)>);

impl<'a> Iterator for LooseMembers<'a> {
    type Item = (&'a str, &'a Loose);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key.as_str(), value))
    }
}

/// The first place where a text is nested too deep or holds half of a
/// surrogate pair: the two faults that serde_json lets pass in what it skips.
/// The text need not be valid JSON.
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
            b'"' => match end_of_string(json, at + 1) {
                Ok(end) => at = end,
                Err(lone) => return Some((lone, Fault::LoneSurrogate)),
            },
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that begins at `at` has its closing quote (or the text its
/// end), or where half of a surrogate pair stands in it.
fn end_of_string(json: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        match json.get(at) {
            Some(b'\\') => match unicode_escape(json, at) {
                Some(0xD800..=0xDBFF) => match unicode_escape(json, at + 6) {
                    Some(0xDC00..=0xDFFF) => at += 12,
                    _ => return Err(at),
                },
                Some(0xDC00..=0xDFFF) => return Err(at),
                Some(_) => at += 6,
                None => at += 2,
            },
            Some(b'"') | None => return Ok(at),
            Some(_) => at += 1,
        }
    }
}

/// The code unit of a `\uXXXX` at `at`, if there is one.
fn unicode_escape(json: &[u8], at: usize) -> Option<u16> {
    let escape = json.get(at..at.checked_add(6)?)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        u16::try_from(u32::from(unit) * 16 + digit).ok()
    })
}
