//! A value as a layer gives it, and its origin.

use std::fmt;
use std::path::PathBuf;

pub const PREFIX: &str = "TICKWIRE_";

pub fn variable(key: &str) -> String {
    let key = key.replace('.', "__").to_ascii_uppercase();
    format!("{PREFIX}{key}")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf, u64),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Assignment {
    /// The dotted key.
    pub key: String,
    /// The value without quotes.
    pub text: String,
    pub kind: ValueKind,
    pub origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// A flag's or variable's text, which may stand for a number.
    Untyped,
    Text,
    Number,
    /// A list of texts, as JSON spells it.
    Texts,
    /// A kind of value that no setting takes.
    Other,
}

impl Assignment {
    pub fn shown(&self) -> String {
        match self.kind {
            ValueKind::Untyped | ValueKind::Text => format!("{:?}", self.text),
            _ => self.text.clone(),
        }
    }
}
