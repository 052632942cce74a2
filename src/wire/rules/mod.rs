//! The protocol's rules for a frame that is valid JSON, in the order in which they are
//! reported: repeated keys, the envelope, the payload, each by the protocol's tables.
//! The fast parser and the second opinion share them, so they can't differ.

mod rfc3339;
mod tables;

pub(super) use self::rfc3339::{SECONDS_END, is_date_and_time, is_timestamp};
pub(super) use self::tables::{ENVELOPE, Field, Rule, of_payload};
use self::tables::{ENVELOPE_KEYS, FIELDS_MAX};
use super::envelope::{Envelope, Kind, Validation};
use super::json::{Content, KeySet, Value, first_repeated};
use super::refusal::{ErrorCode, Refusal, echo, plain};
use crate::ids::{MsgId, Name};

/// Checks the root of a frame by every rule, and returns the envelope.
///
/// # Errors
/// The first rule that is broken.
#[inline]
pub(super) fn check<'a, V: Value<'a>>(
    root: V,
    validation: Validation,
    keys: &mut KeySet,
) -> Result<Envelope<'a>, Refusal> {
    let Some(members) = root.members() else {
        return Err(not_an_object(root.content()));
    };
    let position = |key: &str| ENVELOPE_KEYS.iter().position(|known| *known == key);
    let envelope = FieldValues::collect(members, keys, position);
    check_members(root, &envelope, validation, keys).map_err(|refusal| sign(refusal, &envelope))
}

#[inline]
fn check_members<'a, V: Value<'a>>(
    root: V,
    envelope: &FieldValues<V, { ENVELOPE_KEYS.len() }>,
    validation: Validation,
    keys: &mut KeySet,
) -> Result<Envelope<'a>, Refusal> {
    if envelope.may_repeat {
        refuse_repeated(root, "")?;
    }
    let [msg_id, msg_type, sent, source, target, payload] = envelope.values;

    let text = |value: Option<V>| match value.map(V::content) {
        Some(Content::Text(text)) => Some(text),
        _ => None,
    };
    // Read before its turn: it selects the table of the payload.
    let kind = text(msg_type).and_then(Kind::from_text);
    let in_full = validation == Validation::Payload;
    let mut fields: &[Field] = &[];
    let mut found = FieldValues::<V, FIELDS_MAX>::nothing();
    if (in_full || kind.is_some_and(Kind::is_control))
        && let Some(payload) = payload
        && let Some(members) = payload.members()
    {
        fields = kind.map_or(&[], of_payload);
        let position = |key: &str| fields.iter().position(|field| field.key == key);
        found = FieldValues::collect(members, keys, position);
        if found.may_repeat {
            refuse_repeated(payload, "payload.")?;
        }
    }

    let [msg_id_field, msg_type_field, sent_field, source_field, ..] = &ENVELOPE;
    let msg_id = text(msg_id)
        .and_then(|text| MsgId::from_text(text.as_bytes()))
        .ok_or_else(|| wrong(msg_id_field, msg_id))?;
    let kind = kind.ok_or_else(|| wrong_type(msg_type_field, msg_type))?;
    let timestamp = text(sent)
        .filter(|text| is_timestamp(text.as_bytes()))
        .ok_or_else(|| wrong(sent_field, sent))?;
    let source = text(source)
        .filter(|text| is_name(text))
        .ok_or_else(|| wrong(source_field, source))?;
    let target = match target.map(V::content) {
        Some(Content::Text(text)) if is_name(text) => Some(text),
        Some(Content::Null) | None if kind != Kind::Ack => None,
        _ => return Err(wrong_target(kind, target)),
    };
    if !payload.is_some_and(|payload| payload.content() == Content::Object) {
        return Err(wrong(&ENVELOPE[5], payload));
    }
    for (field, value) in fields.iter().zip(found.values) {
        if !passes(field.rule, value.map(V::content)) {
            return Err(wrong(field, value));
        }
    }
    Ok(Envelope {
        msg_id,
        kind,
        timestamp,
        source,
        target,
    })
}

/// The values of the keys that rules name, and whether a key may be repeated.
struct FieldValues<V, const N: usize> {
    values: [Option<V>; N],
    /// Marks the values with a repeated key.
    repeated: [bool; N],
    may_repeat: bool,
}

impl<'a, V: Value<'a>, const N: usize> FieldValues<V, N> {
    #[inline]
    fn nothing() -> Self {
        Self {
            values: [None; N],
            repeated: [false; N],
            may_repeat: false,
        }
    }

    #[inline]
    fn collect(
        members: V::Members,
        keys: &mut KeySet,
        position: impl Fn(&str) -> Option<usize>,
    ) -> Self {
        keys.clear();
        let mut found = Self::nothing();
        for (key, value) in members {
            let slot = position(key)
                .and_then(|at| Some((found.values.get_mut(at)?, found.repeated.get_mut(at)?)));
            match slot {
                Some((slot, repeated)) => {
                    if slot.replace(value).is_some() {
                        *repeated = true;
                        found.may_repeat = true;
                    }
                }
                None => keys.insert(key),
            }
        }
        found.may_repeat |= keys.may_repeat();
        found
    }
}

/// Returns whether a value, or its absence, keeps `rule`.
#[inline]
fn passes(rule: Rule, content: Option<Content<&str>>) -> bool {
    match (rule, content) {
        (Rule::Text, Some(Content::Text(_)))
        | (Rule::Object | Rule::OptionalObject, Some(Content::Object))
        | (Rule::OptionalObject, None) => true,
        (Rule::Timestamp, Some(Content::Text(text))) => is_timestamp(text.as_bytes()),
        (Rule::MsgId, Some(Content::Text(text))) => MsgId::from_text(text.as_bytes()).is_some(),
        (Rule::Name, Some(Content::Text(text))) => is_name(text),
        (Rule::OneOf(allowed), Some(Content::Text(text))) => allowed.contains(&text),
        _ => false,
    }
}

/// Returns what [`Name::check`] does, faster for printable ASCII.
#[inline]
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let printable = |&byte: &u8| byte.wrapping_sub(0x20) < 0x5F;
    if bytes.iter().fold(true, |all, byte| all & printable(byte)) {
        !bytes.is_empty() && bytes.len() <= crate::limits::NAME_BYTES_MAX
    } else {
        Name::check(bytes).is_ok()
    }
}

#[cold]
fn not_an_object(content: Content<&str>) -> Refusal {
    Refusal::new(
        ErrorCode::InvalidJson,
        format!(
            "a frame must hold exactly one JSON object, this is {}",
            content.words()
        ),
    )
}

/// Refuses an object with a repeated key. One that only seemed to have one passes.
#[cold]
fn refuse_repeated<'a, V: Value<'a>>(object: V, prefix: &str) -> Result<(), Refusal> {
    let repeated = object
        .members()
        .and_then(|members| first_repeated(members.map(|(key, _)| key)));
    match repeated {
        None => Ok(()),
        Some(key) => Err(Refusal::new(
            ErrorCode::DuplicateField,
            format!(
                "the key {} stands here twice, and parsers differ in which one they take",
                echo(key)
            ),
        )
        .of_field(format!("{prefix}{}", plain(key)))),
    }
}

/// Adds id and source of the message to its refusal, as far as they are clear.
#[cold]
fn sign<'a, V: Value<'a>>(
    mut refusal: Refusal,
    envelope: &FieldValues<V, { ENVELOPE_KEYS.len() }>,
) -> Refusal {
    let text_of = |at: usize| match envelope.values[at].map(V::content) {
        Some(Content::Text(text)) if !envelope.repeated[at] => Some(text),
        _ => None,
    };
    refusal.msg_id = text_of(0).and_then(|text| MsgId::from_text(text.as_bytes()));
    refusal.source = text_of(3).and_then(|text| Name::new(text).ok());
    refusal
}

/// Words the mistake in a field that breaks its rule.
#[cold]
fn wrong<'a, V: Value<'a>>(field: &Field, value: Option<V>) -> Refusal {
    let reason = match (field.rule, value.map(V::content)) {
        (rule, None) => format!("is missing: it must be {}", rule.words()),
        (Rule::OptionalObject, Some(Content::Null)) => {
            "must be an object, null is not one: leave it out instead".to_owned()
        }
        (Rule::Timestamp, Some(Content::Text(text))) => rfc3339::explain(text).into_owned(),
        (Rule::MsgId, Some(Content::Text(text))) => format!(
            "must be a UUID with hyphens, like 550e8400-e29b-41d4-a716-446655440000; this is {}",
            echo(text)
        ),
        (Rule::Name, Some(Content::Text(text))) => match Name::check(text.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(()) => "is not a name".to_owned(),
        },
        (rule @ Rule::OneOf(_), Some(Content::Text(text))) => {
            format!("must be {}; this is {}", rule.words(), echo(text))
        }
        (rule, Some(content)) => format!("must be {}, this is {}", rule.words(), content.words()),
    };
    Refusal::new(field.code(), reason).of_field(field.path)
}

#[cold]
fn wrong_type<'a, V: Value<'a>>(field: &Field, value: Option<V>) -> Refusal {
    let Some(Content::Text(text)) = value.map(V::content) else {
        return wrong(field, value);
    };
    let reason = if text == "welcome" {
        format!(
            "only the server sends a welcome; a client may send {}",
            field.rule.words()
        )
    } else {
        format!("must be {}; this is {}", field.rule.words(), echo(text))
    };
    Refusal::new(ErrorCode::UnknownMsgType, reason).of_field(field.path)
}

#[cold]
fn wrong_target<'a, V: Value<'a>>(kind: Kind, value: Option<V>) -> Refusal {
    let reason = match value.map(V::content) {
        None | Some(Content::Null) if kind == Kind::Ack => {
            "an ack must name whom it answers: set target to the source of that message".to_owned()
        }
        Some(Content::Text(_)) | None => return wrong(&ENVELOPE[4], value),
        Some(content) => format!(
            "must be a name (a string), or null for everyone; this is {}",
            content.words()
        ),
    };
    Refusal::new(ErrorCode::InvalidEnvelope, reason).of_field(ENVELOPE[4].path)
}
