//! The id and the type of a message that was checked before: at once where it is written
//! as tickwire's own libraries write it, else by a reader of JSON.

use std::borrow::Cow;

use serde::Deserialize;

use super::envelope::Kind;
use crate::ids::MsgId;

const ID_FIRST: &[u8] = b"{\"msg_id\":\"";
const TYPE_SECOND: &[u8] = b"\",\"msg_type\":\"";

/// The fields that a message of other spelling is read for.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    msg_id: Cow<'a, str>,
    #[serde(borrow, default)]
    msg_type: Cow<'a, str>,
}

/// The message's id.
pub(crate) fn msg_id_in(json: &[u8]) -> Option<MsgId> {
    if let Some((id, _)) = begin_of(json) {
        return Some(id);
    }
    MsgId::from_text(read(json)?.msg_id.as_bytes())
}

/// The id of the message that an ack acknowledges.
pub(crate) fn acknowledged_in(json: &[u8]) -> Option<MsgId> {
    #[derive(Deserialize)]
    struct Ack<'a> {
        #[serde(borrow)]
        payload: Acknowledged<'a>,
    }
    #[derive(Deserialize)]
    struct Acknowledged<'a> {
        #[serde(borrow)]
        acknowledged_msg_id: Cow<'a, str>,
    }
    let ack: Ack<'_> = serde_json::from_slice(json).ok()?;
    MsgId::from_text(ack.payload.acknowledged_msg_id.as_bytes())
}

/// The message's type.
pub(crate) fn kind_in(json: &[u8]) -> Option<Kind> {
    if let Some((_, behind)) = begin_of(json)
        && let Some(word) = behind.strip_prefix(TYPE_SECOND)
        && let Some(end) = memchr::memchr(b'"', word)
        && let Ok(word) = str::from_utf8(&word[..end])
        && let Some(kind) = Kind::from_text(word)
    {
        return Some(kind);
    }
    Kind::from_text(&read(json)?.msg_type)
}

/// The id at the front, and the bytes behind its text.
fn begin_of(json: &[u8]) -> Option<(MsgId, &[u8])> {
    let (id, behind) = json.strip_prefix(ID_FIRST)?.split_first_chunk::<36>()?;
    // Keys are not repeated in a checked message.
    let id = (behind.first() == Some(&b'"')).then(|| MsgId::from_text(id))??;
    Some((id, behind))
}

#[cold]
fn read(json: &[u8]) -> Option<Head<'_>> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{MESSAGES, compact, reversed};

    #[test]
    fn reads_however_a_message_is_written() {
        for json in MESSAGES {
            let head = read(json.as_bytes()).unwrap();
            let id = MsgId::from_text(head.msg_id.as_bytes());
            let kind = Kind::from_text(&head.msg_type);
            assert!(id.is_some() && kind.is_some());
            for json in [json.to_owned(), compact(json), reversed(json)] {
                assert_eq!(msg_id_in(json.as_bytes()), id);
                assert_eq!(kind_in(json.as_bytes()), kind);
            }
        }
    }

    #[test]
    fn what_is_no_message_has_neither() {
        for json in [
            "",
            "{}",
            "{\"msg_id\":\"",
            "[1]",
            "{\"msg_id\":1,\"msg_type\":\"ack\"}",
        ] {
            assert_eq!(msg_id_in(json.as_bytes()), None);
        }
        assert_eq!(kind_in(b"{\"msg_id\":\"\",\"msg_type\":\"welcome\"}"), None);
    }
}
