//! JSON by serde_json, one level at a time. Values stay unread until they are
//! needed, so a number of any size passes.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::value::JsonType;

/// The type of the value in a valid JSON text.
pub(crate) fn type_of(json: &str) -> JsonType {
    match json.trim_ascii_start().as_bytes().first() {
        Some(b'{') => JsonType::Object,
        Some(b'[') => JsonType::Array,
        Some(b'"') => JsonType::Text(()),
        Some(b't' | b'f') => JsonType::Bool,
        Some(b'n') | None => JsonType::Null,
        Some(_) => JsonType::Number,
    }
}

/// The members of one object in their order, repeated keys included.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Members<'a>(
    #[serde(borrow, deserialize_with = "members")] pub(crate) Vec<(String, &'a RawValue)>,
);

impl<'a> Members<'a> {
    /// The text of the last value under `key`.
    pub(crate) fn last(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, raw)| raw.get())
    }

    /// The text of the first value under `key`.
    pub(crate) fn first(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, raw)| raw.get())
    }
}

/// Reads the members of one object in their order.
///
/// # Errors
/// The value is no object, or a member is none of these.
pub(crate) fn members<'de, D: Deserializer<'de>, K: Deserialize<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<(K, V)>, D::Error> {
    struct All<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for All<K, V> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }

    deserializer.deserialize_map(All(PhantomData))
}
