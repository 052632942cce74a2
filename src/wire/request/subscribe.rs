//! The requests in `subscribe` and `unsubscribe`.

use serde_json::value::RawValue;

use super::{ControlPayload, invalid, is_none_of, is_wrong, text, wrong};
use crate::limits::{
    FILTER_CONDITIONS_MAX, FILTER_TEXT_BYTES_MAX, FILTER_VALUES_MAX, SUBSCRIPTION_ID_BYTES_MAX,
};
use crate::wire::filter::{Condition, Field, Filter, Finite, Pointer, Relation, Scalar, Test};
use crate::wire::json::{JsonType, Members, type_of};
use crate::wire::message::{Operator, SubscriptionMode};
use crate::wire::refusal::{ErrorCode, Refusal};

/// The request in a `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscribeRequest {
    /// The subscription's id, of 1 to [`SUBSCRIPTION_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The conditions on broadcasts.
    pub filter: Filter,
    /// The messages for a receiver that is behind.
    pub mode: Mode,
    /// Tells messages apart. Present for [`Mode::Latest`] and for snapshots.
    pub key: Option<Pointer>,
    /// Whether the last broadcast for each key comes first.
    pub snapshot: bool,
}

/// The messages for a receiver that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every message.
    All,
    /// The newest message of each key.
    Latest,
}

/// The request in an `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnsubscribeRequest {
    /// The subscription's id.
    pub id: String,
}

impl SubscribeRequest {
    /// Reads the `subscribe` that `json` holds, a frame that the parser accepted.
    ///
    /// # Errors
    /// `INVALID_FILTER` for a wrong `where`, `LIMIT_EXCEEDED` for one that is too large,
    /// `INVALID_PAYLOAD` for anything else. The refusal names the condition's field.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        super::read(json, |payload| {
            let id = id(&payload)?;
            let filter = filter(payload.get("payload.where"))?;
            let mode = match payload.word("payload.mode", SubscriptionMode::WORDS)? {
                Some(SubscriptionMode::Latest) => Mode::Latest,
                None | Some(SubscriptionMode::All | SubscriptionMode::Other(_)) => Mode::All,
            };
            let key = key(&payload)?;
            let snapshot = payload.flag("payload.snapshot")?.unwrap_or(false);
            let needs_key = match (mode, snapshot) {
                (Mode::Latest, _) => Some("mode \"latest\""),
                (Mode::All, true) => Some("a snapshot"),
                (Mode::All, false) => None,
            };
            if let (Some(needs_key), None) = (needs_key, &key) {
                let reason = format!(
                    "is missing: {needs_key} needs a JSON pointer to what tells messages \
                     apart, like /payload/payload_json/symbol"
                );
                return Err(invalid("payload.key", reason));
            }
            Ok(Self {
                id,
                filter,
                mode,
                key,
                snapshot,
            })
        })
    }
}

impl UnsubscribeRequest {
    /// Reads the `unsubscribe` that `json` holds, a frame that the parser accepted.
    ///
    /// # Errors
    /// `INVALID_PAYLOAD` for a wrong or missing `id`.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        super::read(json, |payload| Ok(Self { id: id(&payload)? }))
    }
}

fn id(payload: &ControlPayload<'_>) -> Result<String, Refusal> {
    const FIELD: &str = "payload.id";
    let reason = match payload.get(FIELD) {
        None => "is missing: it names the subscription, a string like \"prices\"".to_owned(),
        Some(json) => match text(json) {
            None => is_wrong("a string", json),
            Some(id) if id.is_empty() => "must not be empty: it names the subscription".to_owned(),
            Some(id) if id.len() <= SUBSCRIPTION_ID_BYTES_MAX => return Ok(id),
            Some(id) => format!(
                "must be at most {SUBSCRIPTION_ID_BYTES_MAX} bytes of UTF-8; this is {}",
                id.len()
            ),
        },
    };
    Err(invalid(FIELD, reason))
}

fn key(payload: &ControlPayload<'_>) -> Result<Option<Pointer>, Refusal> {
    const FIELD: &str = "payload.key";
    let key = payload.pointer(FIELD)?;
    if key.as_ref().is_some_and(Pointer::is_root) {
        let reason = "names the whole message; it must be a JSON pointer to one value, like \
                      /payload/payload_json/symbol";
        return Err(invalid(FIELD, reason));
    }
    Ok(key)
}

fn filter(json: Option<&str>) -> Result<Filter, Refusal> {
    const FIELD: &str = "payload.where";
    let Some(json) = json else {
        return Ok(Filter::default());
    };
    let conditions = serde_json::from_str::<Vec<&RawValue>>(json).map_err(|_| Refusal {
        code: ErrorCode::InvalidFilter,
        ..wrong(FIELD, "an array of conditions", json)
    })?;
    if conditions.len() > FILTER_CONDITIONS_MAX {
        let reason = format!(
            "a filter of {} conditions; at most {FILTER_CONDITIONS_MAX} are allowed",
            conditions.len()
        );
        return Err(Refusal::new(ErrorCode::LimitExceeded, reason).of_field(FIELD));
    }
    let conditions = conditions
        .into_iter()
        .enumerate()
        .map(|(at, json)| ConditionJson::of(&format!("{FIELD}[{at}]"), json.get())?.read());
    Ok(Filter {
        conditions: conditions.collect::<Result<_, _>>()?,
    })
}

/// A condition as it was given.
struct ConditionJson<'a> {
    /// The condition as a refusal names it: `payload.where[2]`.
    path: &'a str,
    members: Members<'a>,
}

const VALUE: &str = "value";
const A_SCALAR: &str = "a string, a number, a boolean or null";

impl<'a> ConditionJson<'a> {
    fn of(path: &'a str, json: &'a str) -> Result<Self, Refusal> {
        match serde_json::from_str(json) {
            Ok(members) => Ok(Self { path, members }),
            Err(_) => {
                const ASKED: &str =
                    "a condition, an object like {\"field\": …, \"op\": …, \"value\": …}";
                let refusal = Refusal::new(ErrorCode::InvalidFilter, is_wrong(ASKED, json));
                Err(refusal.of_field(path.to_owned()))
            }
        }
    }

    fn read(&self) -> Result<Condition, Refusal> {
        let field = self.text("field", Field::WORDS)?;
        let field = Field::parse(&field).map_err(|reason| self.refuse("field", reason))?;
        let operators = format!("must be one of {}", Operator::WORDS.join(", "));
        let operator = Operator::from(&*self.text("op", &operators)?);
        let test = self.test(operator)?;
        Ok(Condition { field, test })
    }

    fn test(&self, operator: Operator) -> Result<Test, Refusal> {
        let order = |relation| Ok(Test::Order(relation, self.bound()?));
        match operator {
            Operator::Eq => {
                let scalar = self.scalar(VALUE, self.value(A_SCALAR)?)?;
                Ok(Test::OneOf([scalar].into()))
            }
            Operator::In => self.one_of(),
            Operator::Prefix => self.prefix(),
            Operator::Exists => match self.members.first(VALUE) {
                None | Some("true") => Ok(Test::Exists(true)),
                Some("false") => Ok(Test::Exists(false)),
                Some(other) => Err(self.wrong(VALUE, "true or false", other)),
            },
            Operator::Lt => order(Relation::Less),
            Operator::Le => order(Relation::LessOrEqual),
            Operator::Gt => order(Relation::Greater),
            Operator::Ge => order(Relation::GreaterOrEqual),
            Operator::Other(word) => Err(self.refuse("op", is_none_of(Operator::WORDS, &word))),
        }
    }

    /// Returns the JSON of the value, which must be what is `asked`.
    fn value(&self, asked: &str) -> Result<&'a str, Refusal> {
        let missing = || self.refuse(VALUE, format!("is missing: it must be {asked}"));
        self.members.first(VALUE).ok_or_else(missing)
    }

    fn bound(&self) -> Result<Scalar, Refusal> {
        const ASKED: &str = "a number or a string";
        let json = self.value(ASKED)?;
        match type_of(json) {
            JsonType::Number | JsonType::Text(()) => self.scalar(VALUE, json),
            _ => Err(self.wrong(VALUE, ASKED, json)),
        }
    }

    fn prefix(&self) -> Result<Test, Refusal> {
        const ASKED: &str = "a string";
        let json = self.value(ASKED)?;
        match type_of(json) {
            JsonType::Text(()) => Ok(Test::Prefix(self.bounded_text(VALUE, json)?)),
            _ => Err(self.wrong(VALUE, ASKED, json)),
        }
    }

    fn one_of(&self) -> Result<Test, Refusal> {
        const ASKED: &str = "an array of strings, numbers, booleans or nulls";
        let json = self.value(ASKED)?;
        let values = serde_json::from_str::<Vec<&RawValue>>(json);
        let values = values.map_err(|_| self.wrong(VALUE, ASKED, json))?;
        if values.len() > FILTER_VALUES_MAX {
            let reason = format!(
                "a condition with {} values; at most {FILTER_VALUES_MAX} are allowed",
                values.len()
            );
            return Err(self.too_large(VALUE, reason));
        }
        let values = values.iter().enumerate();
        let scalars = values.map(|(at, value)| self.scalar(&format!("value[{at}]"), value.get()));
        let mut scalars = scalars.collect::<Result<Vec<_>, _>>()?;
        scalars.sort_unstable();
        scalars.dedup();
        Ok(Test::OneOf(scalars.into()))
    }

    /// Reads a value that is one of JSON's scalars.
    fn scalar(&self, key: &str, json: &str) -> Result<Scalar, Refusal> {
        match type_of(json) {
            JsonType::Null => Ok(Scalar::Null),
            JsonType::Bool => Ok(Scalar::Bool(json == "true")),
            JsonType::Number => match Finite::read(json.as_bytes()) {
                Some(number) => Ok(Scalar::Number(number)),
                None => Err(self.refuse(
                    key,
                    "numbers compare as 64-bit floats; this is beyond all of them",
                )),
            },
            JsonType::Text(()) => Ok(Scalar::Text(self.bounded_text(key, json)?)),
            JsonType::Array | JsonType::Object => Err(self.wrong(key, A_SCALAR, json)),
        }
    }

    fn bounded_text(&self, key: &str, json: &str) -> Result<Box<str>, Refusal> {
        let text = text(json).unwrap_or_default();
        if text.len() > FILTER_TEXT_BYTES_MAX {
            let reason = format!(
                "a string of {} bytes; at most {FILTER_TEXT_BYTES_MAX} are allowed",
                text.len()
            );
            return Err(self.too_large(key, reason));
        }
        Ok(text.into())
    }

    fn text(&self, key: &str, must: &str) -> Result<String, Refusal> {
        match self.members.first(key) {
            None => Err(self.refuse(key, format!("is missing: it {must}"))),
            Some(json) => text(json).ok_or_else(|| self.wrong(key, "a string", json)),
        }
    }

    fn refuse(&self, key: &str, reason: impl Into<String>) -> Refusal {
        self.refuse_by(ErrorCode::InvalidFilter, key, reason.into())
    }

    fn too_large(&self, key: &str, reason: String) -> Refusal {
        self.refuse_by(ErrorCode::LimitExceeded, key, reason)
    }

    fn refuse_by(&self, code: ErrorCode, key: &str, reason: String) -> Refusal {
        Refusal::new(code, reason).of_field(format!("{}.{key}", self.path))
    }

    fn wrong(&self, key: &str, asked: &str, json: &str) -> Refusal {
        self.refuse(key, is_wrong(asked, json))
    }
}
