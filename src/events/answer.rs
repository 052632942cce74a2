//! Telling the server's answers from the messages of others.

use std::borrow::Cow;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ids::Name;
use crate::wire::{Ack, ErrorReport};

/// An answer or a report of the server itself to a client.
#[derive(Debug)]
pub(crate) enum Answer {
    Ack(Ack),
    Error(ErrorReport),
}

/// The name of the server, which marks its own frames. Nobody else can use it
/// as `source`.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    name: Name,
    /// The name between its quotes, if every server spells it alike.
    spelled: Option<Finder<'static>>,
}

/// The fields of a frame that tell its kind.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    msg_type: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl AnswerReader {
    pub(crate) fn of(name: &Name) -> Self {
        // Letters, digits and the like are never in need of an escape, so a
        // frame without them in a row is somebody else's: most are, and are
        // told by one quick search.
        let plain = name
            .as_bytes()
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || b"-_.: ".contains(&byte));
        Self {
            name: name.clone(),
            spelled: plain.then(|| Finder::new(&format!("\"{name}\"")).into_owned()),
        }
    }

    /// The id of the hello that a frame welcomes; `None` if it is no welcome.
    #[cfg(feature = "client")]
    pub(crate) fn welcome_in(&self, json: &[u8]) -> Option<crate::ids::MsgId> {
        #[derive(Deserialize)]
        struct Welcome {
            hello_msg_id: crate::ids::MsgId,
        }
        let head = self.head_of(json)?;
        if head.msg_type != "welcome" {
            return None;
        }
        let welcome: Welcome = serde_json::from_str(head.payload.get()).ok()?;
        Some(welcome.hello_msg_id)
    }

    /// The answer in a frame; `None` if it is a message to be received.
    pub(crate) fn answer_in(&self, json: &[u8]) -> Option<Answer> {
        let head = self.head_of(json)?;
        let payload = head.payload.get();
        match &*head.msg_type {
            "ack" => serde_json::from_str(payload).ok().map(Answer::Ack),
            "error" => serde_json::from_str(payload).ok().map(Answer::Error),
            _ => None,
        }
    }

    /// The head of a frame that the server itself says.
    fn head_of<'a>(&self, json: &'a [u8]) -> Option<Head<'a>> {
        if let Some(spelled) = &self.spelled {
            spelled.find(json)?;
        }
        let head: Head<'_> = serde_json::from_slice(json).ok()?;
        (head.source == self.name.as_str()).then_some(head)
    }
}
