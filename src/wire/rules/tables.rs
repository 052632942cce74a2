//! The protocol's tables: the fields of envelope and payloads, as they are checked.

use crate::wire::envelope::Kind;
use crate::wire::message::{EventType, Level};
use crate::wire::refusal::ErrorCode;

/// One row of a table.
pub(crate) struct Field {
    pub(crate) key: &'static str,
    /// The key as a refusal names it: `payload.run_id`.
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
}

/// The rule for a field.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Text,
    Timestamp,
    MsgId,
    Name,
    Object,
    /// An object, or absent; never `null`.
    OptionalObject,
    OneOf(&'static [&'static str]),
}

impl Field {
    /// The code under which this field is refused.
    pub(crate) fn code(&self) -> ErrorCode {
        if self.path.len() == self.key.len() {
            ErrorCode::InvalidEnvelope
        } else {
            ErrorCode::InvalidPayload
        }
    }
}

impl Rule {
    /// The rule in words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Timestamp => {
                "a timestamp by RFC 3339, a string like \"2026-01-03T12:41:00.000Z\"".to_owned()
            }
            Self::MsgId => "a UUID, a string of 36 characters".to_owned(),
            Self::Name => "a name, a string of 1 to 128 bytes".to_owned(),
            Self::Object | Self::OptionalObject => "an object".to_owned(),
            Self::OneOf(allowed) => match allowed {
                [but_last @ .., last] => format!("{} or {last}", but_last.join(", ")),
                [] => String::new(),
            },
        }
    }
}

macro_rules! fields {
    ($($key:literal $rule:expr),* $(,)?) => {
        &[$(Field { key: $key, path: concat!("payload.", $key), rule: $rule }),*]
    };
}

/// The envelope's keys, in the order of [`ENVELOPE`].
pub(crate) const ENVELOPE_KEYS: [&str; 6] = [
    "msg_id",
    "msg_type",
    "timestamp",
    "source",
    "target",
    "payload",
];

/// The envelope's table. `target` may also be null or absent.
pub(crate) static ENVELOPE: [Field; 6] = {
    const fn of(at: usize, rule: Rule) -> Field {
        Field {
            key: ENVELOPE_KEYS[at],
            path: ENVELOPE_KEYS[at],
            rule,
        }
    }
    [
        of(0, Rule::MsgId),
        of(1, Rule::OneOf(Kind::WORDS)),
        of(2, Rule::Timestamp),
        of(3, Rule::Name),
        of(4, Rule::Name),
        of(5, Rule::Object),
    ]
};

/// The most fields in the table of a payload.
pub(crate) const FIELDS_MAX: usize = 5;

/// The table of a payload. Empty for control messages: `request` checks them.
#[inline]
pub(crate) fn of_payload(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::IngestEvent => fields![
            "run_id" Rule::Text,
            "event_type" Rule::OneOf(EventType::WORDS),
            "event_utc" Rule::Timestamp,
            "received_utc" Rule::Timestamp,
            "payload_json" Rule::Object,
        ],
        Kind::LogRecord => fields![
            "timestamp" Rule::Timestamp,
            "level" Rule::OneOf(Level::WORDS),
            "name" Rule::Text,
            "message" Rule::Text,
            "meta" Rule::OptionalObject,
        ],
        Kind::Heartbeat => fields![
            "status" Rule::Text,
            "timestamp" Rule::Timestamp,
        ],
        Kind::Error => fields![
            "code" Rule::Text,
            "message" Rule::Text,
            "details" Rule::OptionalObject,
        ],
        Kind::Ack => fields![
            "acknowledged_msg_id" Rule::MsgId,
            "timestamp" Rule::Timestamp,
        ],
        Kind::Hello | Kind::Subscribe | Kind::Unsubscribe => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_fits_the_place_that_is_kept_for_it() {
        for &kind in Kind::ALL {
            assert!(of_payload(kind).len() <= FIELDS_MAX);
        }
    }
}
