//! Texts that are short: kept in place, without an allocation.

use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

/// Bytes that have room in place: those of a timestamp in milliseconds and UTC.
const IN_PLACE: usize = 24;

/// A text that stays as it was spelled.
#[derive(PartialEq, Eq)]
pub(super) struct ShortText(SmallVec<[u8; IN_PLACE]>);

impl ShortText {
    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("it was made of a text")
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Keeps `text`, which must be ASCII.
    pub(super) fn of_ascii(text: &[u8]) -> Self {
        debug_assert!(text.is_ascii());
        Self(SmallVec::from_slice(text))
    }
}

// The derived one would copy byte by byte.
impl Clone for ShortText {
    fn clone(&self) -> Self {
        Self(SmallVec::from_slice(&self.0))
    }
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        Self(SmallVec::from_slice(text.as_bytes()))
    }
}

impl Hash for ShortText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
