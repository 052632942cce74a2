//! The wording of faults in JSON: the fault, its place and the probable mistake.

use serde_json::error::Category;

use crate::limits::JSON_DEPTH_MAX;
use crate::wire::refusal::{ErrorCode, Refusal, echo};

/// Bytes of `\uXXXX`.
const ESCAPE_BYTES: usize = 6;
/// The beginning of an error of serde_json.
const CONTROL_CHARACTER: &str = "control character";

/// A fault in the JSON of a frame.
#[derive(Debug)]
pub(super) enum Fault {
    Utf8,
    Depth,
    LoneSurrogate,
    Syntax(serde_json::Error),
}

/// `INVALID_JSON` for a fault at byte `at` of `frame`.
#[cold]
pub(super) fn refuse(frame: &[u8], at: usize, fault: Fault) -> Refusal {
    let reason = match fault {
        Fault::Utf8 => format!("not UTF-8 from byte {at} on"),
        Fault::Depth => {
            format!("nested deeper than {JSON_DEPTH_MAX} levels, from byte {at} on")
        }
        Fault::LoneSurrogate => format!(
            "half of a surrogate pair at byte {at}: a \\u escape from D800 to DFFF must be one \
             of a pair"
        ),
        Fault::Syntax(error) => syntax(frame, at, &error),
    };
    Refusal {
        at: Some(at),
        ..Refusal::new(ErrorCode::InvalidJson, reason)
    }
}

/// The byte offset in `text` of an error of serde_json.
pub(super) fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let line_start = match error.line().checked_sub(2) {
        None => 0,
        Some(newlines_before) => memchr::memchr_iter(b'\n', text)
            .nth(newlines_before)
            .map_or(text.len(), |newline| newline + 1),
    };
    let says = error.to_string();
    // Columns count from 1, but for a control character in a string: there
    // serde_json counts the bytes before it.
    let counted_from = usize::from(!says.starts_with(CONTROL_CHARACTER));
    let at = (line_start + error.column().saturating_sub(counted_from)).min(text.len());
    if !says.starts_with("invalid escape") {
        return at;
    }
    // The error comes behind the digits: point to the beginning of the escape.
    let nearby = at.saturating_sub(ESCAPE_BYTES)..(at + 1).min(text.len());
    let backslash = text
        .get(nearby.clone())
        .and_then(|bytes| bytes.iter().rposition(|&byte| byte == b'\\'));
    backslash.map_or(at, |back| nearby.start + back)
}

fn syntax(frame: &[u8], at: usize, error: &serde_json::Error) -> String {
    let text = error.to_string();
    // serde_json appends line and column; in a frame the byte is more useful.
    let what = text.split(" at line ").next().unwrap_or_default();
    match hint(frame, at, error) {
        Some(hint) => format!("{what} at byte {at}: {hint}"),
        None => format!("{what} at byte {at}, at {}", near(frame, at)),
    }
}

/// The text at a fault.
fn near(frame: &[u8], at: usize) -> String {
    let rest = frame.get(at..).unwrap_or_default();
    let text = String::from_utf8_lossy(rest.get(..24).unwrap_or(rest)).into_owned();
    if text.is_empty() {
        "the end".to_owned()
    } else {
        echo(text.trim_end_matches('\u{FFFD}'))
    }
}

/// The mistake behind a fault, if it is a known one.
fn hint(frame: &[u8], at: usize, error: &serde_json::Error) -> Option<&'static str> {
    const NOT_A_NUMBER: &str =
        "JSON has no NaN and no Infinity; leave the field out, or send null or a string";
    let (before, rest) = frame.split_at_checked(at)?;
    let text = error.to_string();
    let previous = before.trim_ascii_end().last();
    if error.classify() == Category::Eof {
        return Some("the JSON ends too early; the length prefix must count bytes, not characters");
    }
    // The fault may be found some bytes into a word: go back to its beginning.
    let word_start = before
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric())
        .map_or(0, |at| at + 1);
    let word = frame.get(word_start..).unwrap_or_default();
    let word = match word.split_first() {
        Some((b'-' | b'+', rest)) => rest,
        _ => word,
    };
    let begins = |words: &[&str]| words.iter().any(|w| word.starts_with(w.as_bytes()));
    Some(match rest.first()? {
        _ if begins(&["NaN", "nan", "Inf", "inf"]) => NOT_A_NUMBER,
        _ if begins(&["True", "False", "None", "TRUE", "FALSE", "NULL", "Null"]) => {
            "true, false and null are written in lower case"
        }
        _ if begins(&["undefined"]) => "JSON has no undefined; leave the field out, or send null",
        0xEF if at == 0 => "the frame must begin with {, without a byte order mark",
        b'\'' => "strings and keys stand in double quotes",
        b'}' | b']' if previous == Some(&b',') => "no comma may stand before a closing bracket",
        b'/' | b'#' => "JSON has no comments",
        _ if text.starts_with(CONTROL_CHARACTER) => {
            "within a string, write it as an escape like \\n or \\u0000"
        }
        b'0'..=b'9' if text.starts_with("invalid number") => "a number may not begin with a zero",
        b'.' | b'+' => "a number begins with a digit or a minus",
        b'a'..=b'z' | b'A'..=b'Z' | b'_' if text.starts_with("key must be") => {
            "keys stand in double quotes"
        }
        _ if text.starts_with("trailing characters") => {
            "a frame must hold exactly one JSON object, and something follows it; each message \
             needs its own length prefix, which counts bytes"
        }
        _ => return None,
    })
}
