//! The parser's promises, on the platform's own messages and on what real
//! clients get wrong.

use super::{ErrorCode, Kind, Parser, Refusal, Validation, locate, timestamp};

mod against_oracle;
mod forms;
mod generate;
mod json;
mod oracle;
mod rules;
mod wording;

/// The platform's eleven example messages.
pub(crate) const MESSAGES: [&str; 11] = [
    include_str!("../../../tests/fixtures/messages/01-order-event.json"),
    include_str!("../../../tests/fixtures/messages/02-execution-event.json"),
    include_str!("../../../tests/fixtures/messages/03-market-data-event.json"),
    include_str!("../../../tests/fixtures/messages/04-info-log.json"),
    include_str!("../../../tests/fixtures/messages/05-error-log.json"),
    include_str!("../../../tests/fixtures/messages/06-heartbeat.json"),
    include_str!("../../../tests/fixtures/messages/07-error-message.json"),
    include_str!("../../../tests/fixtures/messages/08-acknowledgment.json"),
    include_str!("../../../tests/fixtures/messages/09-strategy-instance-update.json"),
    include_str!("../../../tests/fixtures/messages/10-oco-group-creation.json"),
    include_str!("../../../tests/fixtures/messages/11-multiple-ingest-events.json"),
];

pub(super) const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

/// What routing gets of a frame: id, kind, source, target.
pub(super) type Routed = (String, Kind, String, Option<String>);

pub(super) fn parse_by(validation: Validation, frame: impl AsRef<[u8]>) -> Result<Routed, Refusal> {
    let mut bytes = frame.as_ref().to_vec();
    let mut parser = Parser::new(validation);
    let outcome = parser.parse(&mut bytes);
    assert_eq!(bytes, frame.as_ref(), "the frame must be left as it was");
    let header = outcome?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((
        header.msg_id.to_string(),
        header.kind,
        text(parser.source(&bytes, &header)),
        parser.target(&bytes, &header).map(text),
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

pub(super) fn compact(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    // serde_json sorts keys, which is one more order to be accepted.
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(json).unwrap();
    let mut out = String::new();
    let mut in_string = false;
    let mut escaped = false;
    for c in raw.get().chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).unwrap(),
        value
    );
    out
}

/// The message with the members of every object in reverse.
pub(super) fn reversed(json: &str) -> String {
    fn write(value: &serde_json::Value, out: &mut String) {
        match value.as_object() {
            None => out.push_str(&value.to_string()),
            Some(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().rev().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&format!("{key:?}:"));
                    write(value, out);
                }
                out.push('}');
            }
        }
    }
    let mut out = String::new();
    write(&serde_json::from_str(json).unwrap(), &mut out);
    out
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
