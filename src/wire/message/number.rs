//! Numbers that keep their spelling.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::short_text::ShortText;

/// A JSON number as it was spelled, be it `45000.0`, `1e400` or 25 digits. Numbers are
/// equal if they are spelled alike; compare [`Number::to_f64`] to compare values.
#[derive(Clone)]
pub struct Number(ShortText);

/// The reason why a value is not a [`Number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// The text doesn't follow JSON's grammar of numbers.
    #[error("not a JSON number: write digits like -12.5e3, without leading zeros, + or spaces")]
    Grammar,
    /// JSON has no NaN and no infinities.
    #[error("JSON has neither NaN nor infinities")]
    NotFinite,
}

impl Number {
    /// The number as it was spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The nearest `f64`; infinite if the number is too large for one.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        // Rust reads every number that JSON can spell.
        self.as_str().parse().unwrap_or(f64::NAN)
    }

    /// The number as an `i64`, if it is spelled as an integer and fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        self.as_str().parse().ok()
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        // White space around a number would be valid JSON, but isn't a number.
        let no_space = text.ends_with(|last: char| last.is_ascii_digit());
        serde_json::from_str::<&RawValue>(text)
            .ok()
            .filter(|raw| no_space && is_number(raw) && raw.get().len() == text.len())
            .map(|raw| Self(raw.get().into()))
            .ok_or(NumberError::Grammar)
    }
}

impl TryFrom<&str> for Number {
    type Error = NumberError;
    fn try_from(text: &str) -> Result<Self, NumberError> {
        text.parse()
    }
}

impl TryFrom<f64> for Number {
    type Error = NumberError;
    fn try_from(value: f64) -> Result<Self, NumberError> {
        if !value.is_finite() {
            return Err(NumberError::NotFinite);
        }
        let text = serde_json::to_string(&value).expect("a finite number can be written");
        Ok(Self(text.as_str().into()))
    }
}

impl Number {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                Self(itoa::Buffer::new().format(value).into())
            }
        }
    )*};
}
from_integers!(i32 u32 i64 u64);

/// Among JSON values only numbers begin like this.
fn is_number(raw: &RawValue) -> bool {
    raw.get()
        .starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.as_str()).expect("a number is JSON");
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        if is_number(&raw) {
            Ok(Self(raw.get().into()))
        } else {
            Err(serde::de::Error::custom("must be a number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_spelling_of_a_number() {
        for text in [
            "45000.0",
            "0.1",
            "-0",
            "1e400",
            "1E+05",
            "1234567890123456789012345",
        ] {
            let number: Number = text.parse().unwrap();
            assert_eq!(number.as_str(), text);
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
            assert_eq!(serde_json::from_str::<Number>(text).unwrap(), number);
        }
    }

    #[test]
    fn refuses_what_json_does_not_call_a_number() {
        for text in [
            "", " 1", "1 ", "+1", "01", "1.", ".5", "NaN", "1e", "\"1\"", "null", "[1]", "0x1",
            "1,1",
        ] {
            assert_eq!(
                text.parse::<Number>(),
                Err(NumberError::Grammar),
                "{text:?}"
            );
        }
        assert!(serde_json::from_str::<Number>("\"1\"").is_err());
        assert_eq!(Number::try_from(f64::NAN), Err(NumberError::NotFinite));
        assert_eq!(Number::try_from(f64::INFINITY), Err(NumberError::NotFinite));
    }

    #[test]
    fn converts_from_and_to_rust_numbers() {
        assert_eq!(Number::from(-7).as_str(), "-7");
        assert_eq!(Number::from(u64::MAX).as_str(), "18446744073709551615");
        assert_eq!(Number::try_from(45000.0).unwrap().as_str(), "45000.0");
        assert_eq!(Number::try_from("0.1").unwrap().to_f64(), 0.1);
        assert_eq!(Number::try_from("1e400").unwrap().to_f64(), f64::INFINITY);
        assert_eq!(Number::from(12).to_i64(), Some(12));
        assert_eq!(Number::try_from("12.0").unwrap().to_i64(), None);
    }
}
