//! The id and the type of a message that was checked before: at once where it is written
//! as tickwire's own libraries write it, else by a reader of JSON. And the ack that settles
//! it, whatever its payload.

use std::borrow::Cow;

use serde::Deserialize;

use super::envelope::Kind;
use super::message::{Ack, Message, Timestamp};
use crate::ids::{MsgId, Name};

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

/// The ack that settles the message, as [`Message::settlement`].
pub(crate) fn settlement_of(json: &[u8]) -> Option<Message> {
    #[derive(Deserialize)]
    struct Addressed {
        msg_id: MsgId,
        msg_type: String,
        source: Name,
        #[serde(default)]
        target: Option<Name>,
    }
    let message: Addressed = serde_json::from_slice(json).ok()?;
    if message.msg_type == Kind::Ack.as_str() {
        return None;
    }
    let ack = Ack::new(message.msg_id, Timestamp::now());
    Message::new(message.target?, message.source, ack).ok()
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
    use crate::wire::Payload;
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

    /// The parts of a settlement that no clock decides.
    fn parts(settlement: Option<Message>) -> Option<(Name, Option<Name>, MsgId)> {
        let Message {
            source,
            target,
            payload: Payload::Ack(ack),
            ..
        } = settlement?
        else {
            panic!("no ack");
        };
        Some((source, target, ack.acknowledged_msg_id))
    }

    #[test]
    fn a_message_is_settled_by_its_target_for_its_source() {
        let order = Message::from_json(MESSAGES[0].as_bytes()).unwrap();
        let expected = (
            order.target.clone().unwrap(),
            Some(order.source.clone()),
            order.msg_id,
        );
        assert_eq!(parts(order.settlement()), Some(expected));
        let mut settled = 0;
        for json in MESSAGES {
            let message = Message::from_json(json.as_bytes()).unwrap();
            let expected = parts(message.settlement());
            let needs_none = message.target.is_none() || message.msg_type() == "ack";
            assert_eq!(expected.is_none(), needs_none);
            settled += usize::from(!needs_none);
            for json in [json.to_owned(), compact(json), reversed(json)] {
                assert_eq!(parts(settlement_of(json.as_bytes())), expected);
            }
        }
        assert!(settled > 0 && settled < MESSAGES.len());
    }

    #[test]
    fn a_payload_that_nobody_can_read_is_settled_all_the_same() {
        let json = MESSAGES[0].replace("\"run_id\"", "\"n\":1e400,\"runs\"");
        assert!(Message::from_json(json.as_bytes()).is_err());
        assert!(settlement_of(json.as_bytes()).is_some());
        assert!(settlement_of(b"{}").is_none());
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
