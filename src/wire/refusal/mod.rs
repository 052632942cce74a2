//! The refusal of a frame: its code, its field, and its words.

mod code;
mod echo;

use std::borrow::Cow;
use std::fmt;

pub use self::code::ErrorCode;
pub(super) use self::echo::{echo, plain};
use super::words::words;
use crate::ids::{MsgId, Name};

/// The refusal of a frame, worded for the author of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error's code.
    pub code: ErrorCode,
    /// The offending field, dotted: `msg_id`, `payload.names[2]`.
    pub field: Option<Cow<'static, str>>,
    /// The mistake and its remedy.
    pub reason: Cow<'static, str>,
    /// The frame's `msg_id`, if it is a UUID and is not repeated.
    pub msg_id: Option<MsgId>,
    /// The frame's `source`, if it is a name and is not repeated.
    pub source: Option<Name>,
    /// The byte offset of the fault in the frame, if it is known without `field`.
    pub at: Option<usize>,
    /// The thing in short supply, where there are several.
    pub shortage: Option<Shortage>,
    /// The fate of a message that could not be stored.
    pub fate: Option<StoreFate>,
}

words! {
    /// The reason for a refusal with `QUEUE_FULL`, in the details of the error.
    pub enum Shortage {
        /// The target's queue is full.
        Queue = "queue",
        /// The server has no more memory for it.
        Memory = "memory",
    }
}

words! {
    /// The fate of a message that is refused with `STORAGE_UNAVAILABLE`, in the details
    /// of the error.
    pub enum StoreFate {
        /// It was not stored, and will not be delivered.
        NotStored = "not_stored",
        /// The disk failed while it was written: it may be delivered after a restart.
        Unknown = "unknown",
    }
}

impl StoreFate {
    /// The words of the refusal.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NotStored => {
                "the journal can't take it, so the message was not stored: send it again later"
            }
            Self::Unknown => {
                "the journal failed while it was written: it may be delivered after a restart"
            }
        }
    }
}

impl Refusal {
    /// A refusal without field, id and source.
    #[must_use]
    pub fn new(code: ErrorCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            field: None,
            reason: reason.into(),
            msg_id: None,
            source: None,
            at: None,
            shortage: None,
            fate: None,
        }
    }

    /// Sets the field.
    #[must_use]
    pub fn of_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Sets the thing in short supply.
    #[must_use]
    pub fn for_want_of(mut self, shortage: Shortage) -> Self {
        self.shortage = Some(shortage);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(field) = &self.field {
            write!(f, " ({field})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Refusal {}
