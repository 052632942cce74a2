//! A judge of frames that shares nothing with the parser: JSON by serde_json
//! into a whole tree, rules written out one by one, timestamps by chrono, ids
//! by uuid.

use std::collections::HashSet;

use super::Routed;
use super::tree::Tree;
use crate::wire::{ErrorCode, Kind, Validation};

/// The judge's verdict on a frame: the header for routing, or code, field, and the
/// id and source that the refusal may name.
pub(crate) type Verdict = Result<Routed, Refused>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) field: Option<String>,
    pub(crate) msg_id: Option<String>,
    pub(crate) source: Option<String>,
}

pub(crate) fn judge(frame: &[u8], validation: Validation) -> Verdict {
    let invalid_json = || Refused {
        code: ErrorCode::InvalidJson,
        field: None,
        msg_id: None,
        source: None,
    };
    let text = std::str::from_utf8(frame).map_err(|_| invalid_json())?;
    let json = with_small_numbers(text);
    let _: serde_json::Value = serde_json::from_str(&json).map_err(|_| invalid_json())?;
    let root = Tree::read(&json);
    let Tree::Object(envelope) = &root else {
        return Err(invalid_json());
    };
    if root.depth() > 64 {
        return Err(invalid_json());
    }
    rules(envelope, validation).map_err(|(code, field)| Refused {
        code,
        field: Some(field.to_owned()),
        msg_id: once(envelope, "msg_id").filter(|text| is_uuid(text)),
        source: once(envelope, "source").filter(|text| is_name(text)),
    })
}

fn rules(
    envelope: &[(String, Tree)],
    validation: Validation,
) -> Result<Routed, (ErrorCode, String)> {
    use ErrorCode::{DuplicateField, InvalidEnvelope, UnknownMsgType};
    if let Some(key) = repeated(envelope) {
        return Err((DuplicateField, key));
    }
    let field = |key: &str| get(envelope, key);
    let text = |key: &str| field(key).and_then(Tree::text);
    let kind = text("msg_type").and_then(Kind::from_text);
    let control = matches!(
        kind,
        Some(Kind::Hello | Kind::Subscribe | Kind::Unsubscribe)
    );
    if let Some(Tree::Object(payload)) = field("payload")
        && (validation == Validation::Payload || control)
        && let Some(key) = repeated(payload)
    {
        return Err((DuplicateField, format!("payload.{key}")));
    }

    let msg_id = text("msg_id").filter(|text| is_uuid(text));
    let msg_id = msg_id.ok_or((InvalidEnvelope, "msg_id".to_owned()))?;
    if text("msg_type").is_none() {
        return Err((InvalidEnvelope, "msg_type".to_owned()));
    }
    let kind = kind.ok_or((UnknownMsgType, "msg_type".to_owned()))?;
    if !text("timestamp").is_some_and(is_timestamp) {
        return Err((InvalidEnvelope, "timestamp".to_owned()));
    }
    let source = text("source").filter(|text| is_name(text));
    let source = source.ok_or((InvalidEnvelope, "source".to_owned()))?;
    let target = match field("target") {
        None | Some(Tree::Null) if kind != Kind::Ack => None,
        Some(Tree::Text(text)) if is_name(text) => Some(text.clone()),
        _ => return Err((InvalidEnvelope, "target".to_owned())),
    };
    let Some(Tree::Object(payload)) = field("payload") else {
        return Err((InvalidEnvelope, "payload".to_owned()));
    };
    let routed = (msg_id.to_owned(), kind, source.to_owned(), target);
    if validation == Validation::Envelope {
        return Ok(routed);
    }

    payload_rules(kind, payload)?;
    Ok(routed)
}

fn payload_rules(kind: Kind, payload: &[(String, Tree)]) -> Result<(), (ErrorCode, String)> {
    let need = |key: &str, holds: &dyn Fn(Option<&Tree>) -> bool| {
        if holds(get(payload, key)) {
            Ok(())
        } else {
            Err((ErrorCode::InvalidPayload, format!("payload.{key}")))
        }
    };
    let string = |json: Option<&Tree>| json.and_then(Tree::text).is_some();
    let moment = |json: Option<&Tree>| json.and_then(Tree::text).is_some_and(is_timestamp);
    let object = |json: Option<&Tree>| matches!(json, Some(Tree::Object(_)));
    let optional = |json: Option<&Tree>| matches!(json, None | Some(Tree::Object(_)));
    let word = |words: &'static str| {
        move |json: Option<&Tree>| {
            json.and_then(Tree::text)
                .is_some_and(|text| words.split(' ').any(|word| word == text))
        }
    };
    match kind {
        Kind::IngestEvent => {
            need("run_id", &string)?;
            need(
                "event_type",
                &word("order execution market_data strategy_event system_event"),
            )?;
            need("event_utc", &moment)?;
            need("received_utc", &moment)?;
            need("payload_json", &object)?;
        }
        Kind::LogRecord => {
            need("timestamp", &moment)?;
            need(
                "level",
                &word("TRACE DEBUG INFO WARN WARNING ERROR CRITICAL FATAL"),
            )?;
            need("name", &string)?;
            need("message", &string)?;
            need("meta", &optional)?;
        }
        Kind::Heartbeat => {
            need("status", &string)?;
            need("timestamp", &moment)?;
        }
        Kind::Error => {
            need("code", &string)?;
            need("message", &string)?;
            need("details", &optional)?;
        }
        Kind::Ack => {
            need("acknowledged_msg_id", &|json| {
                json.and_then(Tree::text).is_some_and(is_uuid)
            })?;
            need("timestamp", &moment)?;
        }
        Kind::Hello | Kind::Subscribe | Kind::Unsubscribe => {}
    }
    Ok(())
}

fn get<'a>(members: &'a [(String, Tree)], key: &str) -> Option<&'a Tree> {
    members
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

/// The text under `key`, if the key stands there once.
fn once(members: &[(String, Tree)], key: &str) -> Option<String> {
    let mut values = members.iter().filter(|(name, _)| name == key);
    match (values.next(), values.next()) {
        (Some((_, Tree::Text(text))), None) => Some(text.clone()),
        _ => None,
    }
}

fn repeated(members: &[(String, Tree)]) -> Option<String> {
    let mut seen = HashSet::new();
    let mut keys = members.iter().map(|(key, _)| key);
    keys.find(|key| !seen.insert(*key)).cloned()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

pub(crate) fn is_timestamp(text: &str) -> bool {
    // chrono also takes a space for the T, a typographic minus, and second 60 at
    // any time, which it takes for a second 59 of more than a thousand
    // milliseconds.
    let has_plain_form = text.is_ascii() && !text.contains(' ');
    let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) else {
        return false;
    };
    let leaps = time.timestamp_subsec_nanos() >= 1_000_000_000;
    let last_second = time.to_utc().format("%H:%M").to_string() == "23:59";
    has_plain_form && (!leaps || last_second)
}

fn is_name(text: &str) -> bool {
    // `char::is_control` is U+0000 to 1F and U+007F to 9F.
    (1..=128).contains(&text.len()) && !text.contains(char::is_control)
}

/// The text with every number that follows JSON's grammar replaced by 0.
fn with_small_numbers(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let number = rest
            .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let taken = if in_string && c == '\\' {
            let two: String = rest.chars().take(2).collect();
            out.push_str(&two);
            two.len()
        } else if !in_string && (c == '-' || c.is_ascii_digit()) {
            let number = &rest[..number];
            out.push_str(if follows_grammar(number) { "0" } else { number });
            number.len()
        } else {
            in_string ^= c == '"';
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[taken..];
    }
    out
}

pub(crate) fn follows_grammar(number: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = number.strip_prefix('-').unwrap_or(number);
    let (number, exponent) = match number.split_once(['e', 'E']) {
        Some((number, exponent)) => (
            number,
            exponent.strip_prefix(['+', '-']).unwrap_or(exponent),
        ),
        None => (number, "0"),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && digits(fraction)
        && digits(exponent)
}
