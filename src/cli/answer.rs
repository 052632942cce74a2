//! What a server says, as far as the tools heed it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message that the server itself may have sent.
#[derive(Debug)]
pub struct ServerMessage {
    /// Its type.
    pub msg_type: String,
    /// Who sent it.
    pub source: String,
    /// What it says.
    pub payload: Body,
}

/// What the server's answers say; each type has some of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    /// Of an ack: the message.
    pub acknowledged_msg_id: Option<String>,
    /// Of a batch ack: all messages.
    pub acknowledged_msg_ids: Option<Vec<String>>,
    /// Of an ack: how many receivers missed the message.
    pub dropped: Option<u64>,
    /// Of an error.
    pub code: Option<String>,
    /// Of an error.
    pub message: Option<String>,
    /// Of an error.
    pub details: Details,
    /// Of a welcome: what it answers.
    hello_msg_id: Option<String>,
    /// Of a welcome: who welcomes.
    pub server: Option<Server>,
    /// Of a welcome: what is allowed.
    pub limits: Option<Limits>,
}

/// An error's details.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The offending message.
    pub msg_id: Option<String>,
    /// The offending field.
    pub field: Option<String>,
    /// How many messages a report is about.
    pub count: Option<u64>,
    /// Whose queue a report is about.
    pub target: Option<String>,
}

/// Who welcomes.
#[derive(Debug, Deserialize)]
pub struct Server {
    /// The server's own name.
    pub name: String,
}

/// What is allowed.
#[derive(Debug, Deserialize)]
pub struct Limits {
    /// The largest frame, without its prefix.
    pub frame_bytes: usize,
}

impl Body {
    /// Of a welcome: the hello that it answers.
    pub fn hello_msg_id(&self) -> Option<&str> {
        self.hello_msg_id.as_deref()
    }
}

/// The envelope's fields that tell whose message it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    msg_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl ServerMessage {
    /// Reads `frame` whoever sent it; `None` if it isn't shaped like something
    /// that a server says.
    pub fn read(frame: &[u8]) -> Option<Self> {
        Self::from_head(serde_json::from_slice(frame).ok()?)
    }

    /// Reads `frame` if its source is `server`.
    pub fn of(server: &str, frame: &[u8]) -> Option<Self> {
        let head: Head<'_> = serde_json::from_slice(frame).ok()?;
        if head.source != server {
            return None;
        }
        Self::from_head(head)
    }

    fn from_head(head: Head<'_>) -> Option<Self> {
        Some(Self {
            payload: serde_json::from_str(head.payload.get()).ok()?,
            msg_type: head.msg_type.into_owned(),
            source: head.source.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_servers_messages_from_others() {
        let ack = br#"{"msg_type":"ack","source":"tickwire","payload":{"acknowledged_msg_id":"x","dropped":2}}"#;
        let message = ServerMessage::of("tickwire", ack).unwrap();
        assert_eq!(message.payload.acknowledged_msg_id.as_deref(), Some("x"));
        assert_eq!(message.payload.dropped, Some(2));
        assert!(ServerMessage::of("other", ack).is_none());
        assert!(ServerMessage::of("tickwire", b"{}").is_none());
        assert!(ServerMessage::of("tickwire", b"nonsense").is_none());
    }
}
