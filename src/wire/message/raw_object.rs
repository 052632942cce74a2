//! JSON objects kept as text.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON object as its sender spelled it. Two are equal if they are spelled alike.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Box<RawValue>")]
pub struct RawObject(Box<RawValue>);

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
        Self::try_from(serde_json::value::to_raw_value(value)?)
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
        self.0.get()
    }

    /// The raw value.
    #[must_use]
    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl TryFrom<Box<RawValue>> for RawObject {
    type Error = RawObjectError;
    fn try_from(raw: Box<RawValue>) -> Result<Self, RawObjectError> {
        if raw.get().starts_with('{') {
            Ok(Self(raw))
        } else {
            Err(RawObjectError::NotAnObject)
        }
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
        object.0
    }
}
