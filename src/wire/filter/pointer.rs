//! The places of values in a message.

use std::fmt;

use crate::limits::{JSON_DEPTH_MAX, POINTER_BYTES_MAX};
use crate::wire::refusal::echo;

/// A JSON pointer by RFC 6901: the path from a message's root to one value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pointer(pub(super) Box<[Step]>);

/// One step of a [`Pointer`]: a key of an object, or an index of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Step {
    pub(super) key: Box<str>,
    /// The key as an index, if it is one: digits without a leading zero.
    pub(super) index: Option<u32>,
}

/// The field of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    /// The sender of the message.
    Source,
    /// Its `msg_type`.
    MsgType,
    /// The value that a pointer leads to.
    At(Pointer),
}

/// The reason why a text is no [`Pointer`] into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PointerError {
    #[error("must be a JSON pointer like /payload/run_id; this is {0}")]
    NoSlash(String),
    #[error("in a JSON pointer ~ stands only in ~0 for ~ and ~1 for /; this is {0}")]
    Tilde(String),
    #[error("a JSON pointer of {0} bytes; at most {POINTER_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("a JSON pointer of {0} steps; no message is deeper than {JSON_DEPTH_MAX}")]
    TooDeep(usize),
}

impl Pointer {
    /// Reads a pointer. The empty one leads to the whole message.
    ///
    /// # Errors
    /// It breaks RFC 6901, or is too long or too deep.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.len() > POINTER_BYTES_MAX {
            return Err(PointerError::TooLong(text.len()));
        }
        if text.is_empty() {
            return Ok(Self(Box::default()));
        }
        let Some(steps) = text.strip_prefix('/') else {
            return Err(PointerError::NoSlash(echo(text)));
        };
        let mut tildes = text.split('~').skip(1);
        if !tildes.all(|behind| behind.starts_with(['0', '1'])) {
            return Err(PointerError::Tilde(echo(text)));
        }
        // In this order: `~01` is `~1`, not a slash.
        let unescape = |step: &str| Step::new(step.replace("~1", "/").replace("~0", "~"));
        let steps: Box<[Step]> = steps.split('/').map(unescape).collect();
        if steps.len() > JSON_DEPTH_MAX {
            return Err(PointerError::TooDeep(steps.len()));
        }
        Ok(Self(steps))
    }

    /// Returns whether it leads to the whole message.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl Step {
    fn new(key: String) -> Self {
        let digits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = digits && (key.len() == 1 || !key.starts_with('0'));
        Self {
            index: canonical.then(|| key.parse().ok()).flatten(),
            key: key.into(),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| {
            let key = step.key.replace('~', "~0").replace('/', "~1");
            write!(f, "/{key}")
        })
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pointer({self})")
    }
}

impl Field {
    /// Reads a field: `source`, `msg_type`, or a JSON pointer, to these two as well.
    ///
    /// # Errors
    /// The text is no field, in words for the author of the client.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "source" | "/source" => return Ok(Self::Source),
            "msg_type" | "/msg_type" => return Ok(Self::MsgType),
            "" => return Err(format!("names the whole message; {}", Self::WORDS)),
            _ => {}
        }
        match Pointer::parse(text) {
            Ok(pointer) => Ok(Self::At(pointer)),
            Err(PointerError::NoSlash(text)) => Err(format!("{}; this is {text}", Self::WORDS)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) const WORDS: &str =
        "must be source, msg_type or a JSON pointer like /payload/payload_json/symbol";
}

impl From<Pointer> for Field {
    fn from(pointer: Pointer) -> Self {
        match &*pointer.0 {
            [step] if &*step.key == "source" => Self::Source,
            [step] if &*step.key == "msg_type" => Self::MsgType,
            _ => Self::At(pointer),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::MsgType => f.write_str("msg_type"),
            Self::At(pointer) => pointer.fmt(f),
        }
    }
}
