//! JSON objects kept as text.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::WriteJson;

/// A JSON object as its sender spelled it. Two are equal if they are spelled alike.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub struct RawObject(String);

/// Bytes that have room from the start: an order has 90, a strategy 300.
const ROOM: usize = 256;

/// A value that is not written as a JSON object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawObjectError {
    /// The value can't be written as JSON, or the text isn't JSON.
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// It is JSON, but not an object.
    #[error("must be a JSON object")]
    NotAnObject,
}

impl RawObject {
    /// The object as which `value` is written.
    ///
    /// # Errors
    /// It can't be written, or is not written as an object.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, RawObjectError> {
        Self::from_json(serde_json::to_string(value)?)
    }

    /// The object as which a struct of fields is written.
    pub(super) fn of_fields(fields: &impl WriteJson) -> Self {
        let mut json = Vec::with_capacity(ROOM);
        fields.write_json(&mut json);
        let object = String::from_utf8(json).expect("its parts are texts");
        debug_assert!(object.starts_with('{'));
        Self(object)
    }

    /// Takes one JSON value, if it is an object.
    fn from_json(json: String) -> Result<Self, RawObjectError> {
        match json.starts_with('{') {
            true => Ok(Self(json)),
            false => Err(RawObjectError::NotAnObject),
        }
    }

    /// The object that `text` spells.
    ///
    /// # Errors
    /// It is not one JSON object.
    pub fn from_text(text: impl Into<String>) -> Result<Self, RawObjectError> {
        Self::try_from(RawValue::from_string(text.into())?)
    }

    /// Reads the object as a `T`.
    ///
    /// # Errors
    /// It is not one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<RawValue>> for RawObject {
    type Error = RawObjectError;
    fn try_from(raw: Box<RawValue>) -> Result<Self, RawObjectError> {
        Self::from_json(Box::<str>::from(raw).into())
    }
}

impl Default for RawObject {
    /// `{}`
    fn default() -> Self {
        Self::from_text("{}").expect("an object")
    }
}

impl From<RawObject> for Box<RawValue> {
    fn from(object: RawObject) -> Self {
        RawValue::from_string(object.0).expect("an object is JSON")
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).expect("an object is JSON");
        raw.serialize(serializer)
    }
}
