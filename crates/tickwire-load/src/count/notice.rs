//! The server's own messages, as far as a load heeds them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The number of messages of a server that are kept.
const NOTICES_MAX: usize = 20;

/// A message of the server.
#[derive(Debug)]
pub struct Notice {
    msg_type: String,
    pub body: Body,
}

/// Its payload. Fields that it doesn't have are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    acknowledged_msg_id: Option<String>,
    acknowledged_msg_ids: Option<Vec<String>>,
    dropped: Option<Dropped>,
    pub code: Option<String>,
    message: Option<String>,
    pub details: Details,
    pub hello_msg_id: Option<String>,
}

/// The number of receivers that missed acknowledged messages.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Dropped {
    Sum(u64),
    OfEach(Vec<u64>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    pub msg_id: Option<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    msg_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Notice {
    /// Reads a message of `server`; `None` for anything else.
    pub fn read(server: &str, frame: &[u8]) -> Option<Self> {
        let head: Head<'_> = serde_json::from_slice(frame).ok()?;
        if head.source != server {
            return None;
        }
        Some(Self {
            body: serde_json::from_str(head.payload.get()).ok()?,
            msg_type: head.msg_type.into_owned(),
        })
    }
}

impl Body {
    /// The ids of the messages that it acknowledges.
    pub fn covered(&self) -> impl Iterator<Item = &str> {
        let alone = match self.acknowledged_msg_ids {
            Some(_) => None,
            None => self.acknowledged_msg_id.as_deref(),
        };
        let together = self.acknowledged_msg_ids.iter().flatten();
        together.map(String::as_str).chain(alone)
    }

    /// The number of receivers that missed one of these messages.
    pub fn dropped(&self) -> u64 {
        match &self.dropped {
            Some(Dropped::Sum(sum)) => *sum,
            Some(Dropped::OfEach(list)) => list.iter().sum(),
            None => 0,
        }
    }
}

/// Keeps a line about a message of the server, up to a limit.
pub fn keep(notices: &mut Vec<String>, notice: &Notice) {
    if notices.len() < NOTICES_MAX {
        let body = &notice.body;
        notices.push(match &body.code {
            Some(code) => format!("{code}: {}", body.message.as_deref().unwrap_or_default()),
            None => format!("an unexpected {}", notice.msg_type),
        });
    }
}
