//! The reader of answers: tells the server's messages from those of others.

use std::borrow::Cow;

use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

#[cfg(feature = "client")]
use crate::ids::MsgId;
use crate::ids::Name;
use crate::wire::message::{Ack, ErrorReport};

/// A message of the server, or one that is shaped like it.
#[derive(Debug)]
pub struct ServerMessage<P> {
    /// Its type.
    pub msg_type: String,
    /// Its source.
    pub source: String,
    /// Its payload, as far as `P` names the fields.
    pub payload: P,
}

/// An answer to a client's message.
#[derive(Debug)]
pub(crate) enum Answer {
    Ack(Ack),
    Error(ErrorReport),
}

/// Recognises the messages of one server by `source`: nobody else can use its name.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    server: Name,
    /// The name between its quotes, if every server spells it alike.
    spelled: Option<Finder<'static>>,
}

/// The fields of an envelope that tell an answer.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    msg_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl<'a> Head<'a> {
    fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    fn payload<P: Deserialize<'a>>(&self) -> Option<P> {
        serde_json::from_str(self.payload.get()).ok()
    }
}

impl<P: DeserializeOwned> ServerMessage<P> {
    /// Reads a frame from any sender. `None` if it isn't like a message of a server.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        Self::of_head(Head::read(frame)?)
    }

    /// Reads a frame with the source `server`.
    #[must_use]
    pub fn of(server: &str, frame: &[u8]) -> Option<Self> {
        let head = Head::read(frame)?;
        (head.source == server).then(|| Self::of_head(head))?
    }

    fn of_head(head: Head<'_>) -> Option<Self> {
        Some(Self {
            payload: head.payload()?,
            msg_type: head.msg_type.into_owned(),
            source: head.source.into_owned(),
        })
    }
}

impl AnswerReader {
    /// A reader of the answers of `server`.
    pub(crate) fn of(server: &Name) -> Self {
        // Without escapes the name stands in each of its frames: one search tells most.
        let plain = server
            .as_bytes()
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || b"-_.: ".contains(&byte));
        Self {
            server: server.clone(),
            spelled: plain.then(|| Finder::new(&format!("\"{server}\"")).into_owned()),
        }
    }

    /// Returns the answer in a frame; `None` if it is a message to be received.
    pub(crate) fn answer_in(&self, json: &[u8]) -> Option<Answer> {
        let head = self.head_of(json)?;
        match &*head.msg_type {
            "ack" => head.payload().map(Answer::Ack),
            "error" => head.payload().map(Answer::Error),
            _ => None,
        }
    }

    /// Returns the id of the hello that a frame welcomes, if it does.
    #[cfg(feature = "client")]
    pub(crate) fn welcome_in(&self, json: &[u8]) -> Option<MsgId> {
        #[derive(Deserialize)]
        struct Welcome {
            hello_msg_id: MsgId,
        }
        let head = self.head_of(json)?;
        let is_welcome = head.msg_type == "welcome";
        let welcome: Welcome = is_welcome.then(|| head.payload())??;
        Some(welcome.hello_msg_id)
    }

    /// Returns the head of a frame of the server.
    fn head_of<'a>(&self, json: &'a [u8]) -> Option<Head<'a>> {
        if let Some(spelled) = &self.spelled {
            spelled.find(json)?;
        }
        Head::read(json).filter(|head| head.source == self.server.as_str())
    }
}
