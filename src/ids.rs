//! Small types that carry the proof that their content was checked.

mod fresh;
mod hex;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::limits::NAME_BYTES_MAX;

/// Shows a type as its text, and reads and writes that by serde; `$read` checks it.
macro_rules! text {
    ($type:ident, $read:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $read(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text!(Name, Name::new);
text!(MsgId, |text: &String| {
    MsgId::from_text(text.as_bytes()).ok_or("must be a hyphenated UUID")
});

/// The name of a participant: 1 to 128 bytes of UTF-8 without control characters.
/// Names compare bytewise; a clone shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("a name must have at least one character")]
    Empty,
    /// The text is longer than [`NAME_BYTES_MAX`].
    #[error("a name may have at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The text holds a character from U+0000 to U+001F or U+007F to U+009F.
    #[error("a name may not contain control characters (U+0000 to U+001F, U+007F to U+009F)")]
    ControlCharacter,
    /// The bytes are not UTF-8.
    #[error("a name must be UTF-8")]
    NotUtf8,
}

impl Name {
    /// Checks `text` and keeps a copy of it.
    ///
    /// # Errors
    /// The error of [`Name::check`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref();
        Self::check(text.as_bytes())?;
        Ok(Self(Arc::from(text)))
    }

    /// The same from bytes.
    ///
    /// # Errors
    /// [`NameError::NotUtf8`], or the error of [`Name::check`].
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, NameError> {
        Self::new(str::from_utf8(bytes).map_err(|_| NameError::NotUtf8)?)
    }

    /// Checks bytes that are known to be UTF-8 against the rules of a name.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(bytes: &[u8]) -> Result<(), NameError> {
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        if bytes.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(bytes.len()));
        }
        // In UTF-8, U+0080 to U+009F are the byte C2 followed by 80 to 9F.
        let mut previous = 0;
        for &byte in bytes {
            let c0_or_del = byte < 0x20 || byte == 0x7F;
            let c1 = previous == 0xC2 && byte < 0xA0;
            if c0_or_del || c1 {
                return Err(NameError::ControlCharacter);
            }
            previous = byte;
        }
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

// Hashed as bytes, so that a map of names can be asked with bytes of a frame.
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;
    fn try_from(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

/// Returns the time since 1970; none if the clock stands before that.
pub(crate) fn unix_time() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The id of a message: 36 bytes of a hyphenated UUID, in either case. Kept as the
/// sender wrote it, because answers repeat it letter by letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MsgId([u8; 36]);

/// 1 where a UUID has a hyphen, 0 where it has a digit.
const HYPHENS: [u8; MsgId::LEN] = {
    let mut places = [0; MsgId::LEN];
    places[8] = 1;
    places[13] = 1;
    places[18] = 1;
    places[23] = 1;
    places
};

impl MsgId {
    /// Bytes of a hyphenated UUID.
    pub const LEN: usize = 36;

    /// Checks that `text` is a hyphenated UUID of any version, in either case.
    #[must_use]
    #[inline]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::LEN] = text.try_into().ok()?;
        // Without a branch, so that the compiler makes vector instructions of it.
        let right = text
            .iter()
            .zip(&HYPHENS)
            .fold(1, |right, (&byte, &hyphen)| {
                let digit = u8::from(byte.wrapping_sub(b'0') < 10);
                let letter = u8::from((byte | 0x20).wrapping_sub(b'a') < 6);
                let is_hyphen = u8::from(byte == b'-');
                right & ((hyphen & is_hyphen) | ((hyphen ^ 1) & (digit | letter)))
            });
        (right == 1).then_some(Self(*text))
    }

    /// Makes a fresh id that sorts by time: a UUID of version 7. In a thread each is
    /// greater than the one before.
    #[must_use]
    pub fn fresh() -> Self {
        Self::fresh_at(unix_time())
    }

    /// Makes a fresh id that is random as a whole: a UUID of version 4.
    #[must_use]
    pub fn random() -> Self {
        uuid::Uuid::new_v4().into()
    }

    /// Makes a fresh id for the time `unix` since 1970.
    #[must_use]
    pub(crate) fn fresh_at(unix: Duration) -> Self {
        fresh::fresh(unix).into()
    }

    /// The id that `text` spells, which was already found to be one.
    #[inline]
    pub(crate) const fn from_checked(text: &[u8; Self::LEN]) -> Self {
        Self(*text)
    }

    /// The text as the sender wrote it.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8; 36] {
        &self.0
    }

    /// The id as a number, whatever the case of its digits.
    #[must_use]
    pub(crate) fn number(&self) -> u128 {
        hex::number(&self.0)
    }

    /// The text as the sender wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("hexadecimal digits and hyphens are ASCII")
    }
}

impl From<uuid::Uuid> for MsgId {
    fn from(id: uuid::Uuid) -> Self {
        Self(hex::spell(id.as_u128()))
    }
}

impl From<MsgId> for uuid::Uuid {
    fn from(id: MsgId) -> Self {
        Self::from_u128(hex::number(&id.0))
    }
}

impl fmt::Debug for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which connection of this process; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How often a name has changed hands: an older epoch no longer owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);
