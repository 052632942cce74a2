//! The messages by which a client chooses its broadcasts.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Number;
use super::fields::fields;
use super::words::open_words;

fields! {
    /// Asks for those broadcasts that meet all conditions. A subscription of the
    /// same connection with the same `id` is replaced.
    ///
    /// ```
    /// use tickwire::wire::{Condition, Message, Subscribe, Target};
    ///
    /// let symbol = "/payload/payload_json/symbol";
    /// let bars = Subscribe::new("bars")
    ///     .with(Condition::eq("msg_type", "ingest_event"))
    ///     .with(Condition::one_of(symbol, ["BTCUSDT", "ETHUSDT"]))
    ///     .latest(symbol)
    ///     .with_snapshot(symbol);
    /// let message = Message::new("dashboard", Target::Everyone, bars)?;
    /// assert_eq!(message.msg_type(), "subscribe");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct Subscribe {
        /// Names the subscription: 1 to 128 bytes.
        id: String,
    } optional {
        /// `where`: the conditions, all of which must hold; without any, every broadcast.
        conditions as "where": Vec<Condition>,
        /// The messages for a receiver that is behind.
        mode: SubscriptionMode,
        /// A JSON pointer to the value that tells messages apart.
        key: String,
        /// Whether the last broadcast for each key that matches comes first.
        snapshot: bool,
    }
}

fields! {
    /// Ends a subscription.
    pub struct Unsubscribe {
        /// The `id` of the [`Subscribe`].
        id: String,
    }
}

fields! {
    /// A condition on one field of a message. Numbers compare as `f64`, strings bytewise
    /// after unescaping. On an absent field, or one of another type, only
    /// [`Condition::absent`] holds.
    pub struct Condition {
        /// `source`, `msg_type`, or a JSON pointer into the message:
        /// `/payload/payload_json/symbol`.
        field: String,
        /// The comparison of the field with `value`.
        op: Operator,
    } optional {
        /// The value to compare with. `null` stands in `unknown`.
        value: FilterValue,
    }
}

open_words! {
    /// The messages for a receiver that is behind.
    pub enum SubscriptionMode {
        /// Every message.
        All = "all",
        /// Of each key the newest message.
        Latest = "latest",
    }
}

open_words! {
    /// The comparison of a [`Condition`].
    pub enum Operator {
        /// The field equals the value: a string, a number, a boolean or null.
        Eq = "eq",
        /// The field equals one of the values, an array of such.
        In = "in",
        /// The field is a string that begins with the value.
        Prefix = "prefix",
        /// The field is there, or with the value `false` isn't.
        Exists = "exists",
        /// The field is less than the value, a number or a string.
        Lt = "lt",
        /// The field is less than the value or equal to it.
        Le = "le",
        /// The field is greater than the value.
        Gt = "gt",
        /// The field is greater than the value or equal to it.
        Ge = "ge",
    }
}

/// The value of a [`Condition`], any JSON. Two are equal if they are spelled alike.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilterValue(Box<RawValue>);

impl Subscribe {
    /// Adds a condition that must hold as well.
    #[must_use]
    pub fn with(mut self, condition: Condition) -> Self {
        self.conditions.get_or_insert_default().push(condition);
        self
    }

    /// Keeps of each value at `key`, a JSON pointer, only the newest message while the
    /// receiver is behind.
    #[must_use]
    pub fn latest(mut self, key: impl Into<String>) -> Self {
        self.mode = Some(SubscriptionMode::Latest);
        self.key = Some(key.into());
        self
    }

    /// Asks for the last broadcast for each value at `key`, a JSON pointer, first. A
    /// subscription has only one key.
    #[must_use]
    pub fn with_snapshot(mut self, key: impl Into<String>) -> Self {
        self.snapshot = Some(true);
        self.key = Some(key.into());
        self
    }
}

impl Condition {
    /// The field equals `value`.
    #[must_use]
    pub fn eq(field: impl Into<String>, value: impl Into<FilterValue>) -> Self {
        Self::new(field, Operator::Eq).against(value)
    }

    /// The field equals one of `values`.
    #[must_use]
    pub fn one_of<V: Into<FilterValue>>(
        field: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values: Vec<FilterValue> = values.into_iter().map(Into::into).collect();
        Self::new(field, Operator::In).against(FilterValue::of(&values))
    }

    /// The field is a string that begins with `prefix`.
    #[must_use]
    pub fn prefix(field: impl Into<String>, prefix: &str) -> Self {
        Self::new(field, Operator::Prefix).against(prefix)
    }

    /// The field is there, whatever its value.
    #[must_use]
    pub fn present(field: impl Into<String>) -> Self {
        Self::new(field, Operator::Exists)
    }

    /// The field isn't there.
    #[must_use]
    pub fn absent(field: impl Into<String>) -> Self {
        Self::new(field, Operator::Exists).against(false)
    }

    /// Sets the value to compare with.
    #[must_use]
    pub fn against(mut self, value: impl Into<FilterValue>) -> Self {
        let value = value.into();
        self.unknown.remove("value");
        // As it would be read: an optional field that is null stands there.
        if value.as_str() == "null" {
            self.value = None;
            self.unknown.push_null("value");
        } else {
            self.value = Some(value);
        }
        self
    }
}

impl FilterValue {
    /// The value as it is spelled in JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    fn of(value: &(impl Serialize + ?Sized)) -> Self {
        let raw = serde_json::value::to_raw_value(value);
        Self(raw.expect("texts, numbers, booleans and lists of them can be written as JSON"))
    }
}

macro_rules! filter_value_from {
    ($($from:ty),* $(,)?) => {$(
        impl From<$from> for FilterValue {
            fn from(value: $from) -> Self {
                Self::of(&value)
            }
        }
    )*};
}
// No floats: they may be NaN. `Number::try_from` takes those that are finite.
filter_value_from!(
    &str, String, bool, u8, u16, u32, u64, i8, i16, i32, i64, Number, &Number
);

impl From<()> for FilterValue {
    /// `null`
    fn from((): ()) -> Self {
        Self(RawValue::NULL.to_owned())
    }
}
