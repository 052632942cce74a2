//! The parser's promises, on the platform's messages and on the mistakes of real
//! clients.

pub(crate) use super::testing::MESSAGES;
use super::testing::{Routed, compact, generate, judge, reversed};
use super::{ErrorCode, Kind, Parser, Refusal, Validation};

mod against_judge;
mod bodies;
mod forms;
mod json;
mod rules;
mod valid_frames;
mod wording;

pub(super) const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

/// The seeds of a test; more by `TICKWIRE_SEEDS`.
pub(super) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("TICKWIRE_SEEDS").ok();
    0..wanted.and_then(|count| count.parse().ok()).unwrap_or(usual)
}

pub(super) fn parse_by(validation: Validation, frame: impl AsRef<[u8]>) -> Result<Routed, Refusal> {
    let frame = frame.as_ref();
    let mut parser = Parser::new(validation);
    let header = parser.parse(frame)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((
        header.msg_id.to_string(),
        header.kind,
        text(parser.source(frame, &header.names)),
        parser.target(frame, &header.names).map(text),
    ))
}

pub(super) fn parse(frame: impl AsRef<[u8]>) -> Result<Routed, Refusal> {
    parse_by(Validation::Payload, frame)
}

pub(super) fn refusal(frame: impl AsRef<[u8]>) -> Refusal {
    parse(frame).unwrap_err()
}

/// Code and field of the refusal of `frame`.
pub(super) fn refused(frame: impl AsRef<[u8]>) -> (ErrorCode, String) {
    let refusal = refusal(frame);
    let field = refusal.field.unwrap_or_default().into_owned();
    (refusal.code, field)
}

/// The first example message, compact, with `from` replaced by `to`.
pub(super) fn order_with(from: &str, to: &str) -> String {
    let order = compact(MESSAGES[0]);
    assert!(order.contains(from), "{from}");
    order.replacen(from, to, 1)
}

/// The message with every letter of every string as a `\u` escape.
pub(super) fn escaped(json: &str) -> String {
    let mut out = String::new();
    let mut in_string = false;
    for c in json.chars() {
        match c {
            '"' => {
                in_string = !in_string;
                out.push(c);
            }
            c if in_string => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
