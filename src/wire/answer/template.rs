//! Acks from a template: only ids and times are written for each.

use std::io::Write;

use super::{AnswerIds, AnswerTime, set_prefix};
use crate::ids::{MsgId, Name};
use crate::limits::FRAME_PREFIX_BYTES;

/// An ack to one sender, with gaps for its ids and its time.
#[derive(Debug, Clone)]
pub struct AckTemplate {
    frame: Box<[u8]>,
    msg_id_at: usize,
    timestamp_at: usize,
    pub(super) acknowledged_at: usize,
    payload_timestamp_at: usize,
    /// The time that it carries.
    unix_ms: Option<i64>,
}

impl AckTemplate {
    /// Closes the payload and the message.
    const END: &str = "}}";

    /// Creates the template of acks from `server` to `target`, or to no name.
    #[must_use]
    pub fn new(server: &Name, target: Option<&Name>) -> Self {
        const ID: &str = "00000000-0000-0000-0000-000000000000";
        const TIME: &str = "0000-00-00T00:00:00.000Z";
        let mut text = vec![0; FRAME_PREFIX_BYTES];
        let mut put = |part: &str| {
            text.extend_from_slice(part.as_bytes());
            text.len() - part.len()
        };
        put(r#"{"msg_id":""#);
        let msg_id_at = put(ID);
        put(r#"","msg_type":"ack","timestamp":""#);
        let timestamp_at = put(TIME);
        put(r#"","source":"#);
        put(&json_string(server.as_str()));
        put(r#","target":"#);
        put(&target.map_or_else(|| "null".to_owned(), |target| json_string(target.as_str())));
        put(r#","payload":{"acknowledged_msg_id":""#);
        let acknowledged_at = put(ID);
        put(r#"","timestamp":""#);
        let payload_timestamp_at = put(TIME);
        put("\"");
        put(Self::END);
        set_prefix(&mut text, 0);
        Self {
            frame: text.into_boxed_slice(),
            msg_id_at,
            timestamp_at,
            acknowledged_at,
            payload_timestamp_at,
            unix_ms: None,
        }
    }

    /// Sets the time of the acks that follow: once a read, not once a message.
    pub fn set_time(&mut self, unix_ms: i64) {
        if self.unix_ms == Some(unix_ms) {
            return;
        }
        self.unix_ms = Some(unix_ms);
        let time = AnswerTime::from_unix_ms(unix_ms);
        for at in [self.timestamp_at, self.payload_timestamp_at] {
            self.frame[at..at + AnswerTime::LEN].copy_from_slice(&time.0);
        }
    }

    /// Appends the ack of `acknowledged`.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, ids: &mut AnswerIds, acknowledged: &MsgId) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        ids.write_next(id_place(frame, self.msg_id_at));
        frame[self.acknowledged_at..self.acknowledged_at + MsgId::LEN]
            .copy_from_slice(acknowledged.as_bytes());
    }

    /// Appends the ack of `acknowledged`, which `dropped` receivers missed.
    pub fn append_dropped(
        &self,
        out: &mut Vec<u8>,
        ids: &mut AnswerIds,
        acknowledged: &MsgId,
        dropped: u64,
    ) {
        let start = out.len();
        self.append(out, ids, acknowledged);
        out.truncate(out.len() - Self::END.len());
        write!(out, r#","dropped":{dropped}}}}}"#).expect("memory takes every write");
        set_prefix(out, start);
    }

    /// Appends an ack that the caller completes: it names no message, and its
    /// payload is open.
    pub(super) fn append_open(&self, out: &mut Vec<u8>, ids: &mut AnswerIds) {
        let start = out.len();
        out.extend_from_slice(&self.frame[..self.frame.len() - Self::END.len()]);
        ids.write_next(id_place(out, start + self.msg_id_at));
    }
}

/// The place of an id that begins at `at`.
#[inline]
fn id_place(frame: &mut [u8], at: usize) -> &mut [u8; MsgId::LEN] {
    let place = &mut frame[at..at + MsgId::LEN];
    place.try_into().expect("it is as long as an id")
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string can always be written as JSON")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn only_frame(bytes: &[u8]) -> serde_json::Value {
        let (prefix, body) = bytes.split_at(FRAME_PREFIX_BYTES);
        assert_eq!(
            u32::from_be_bytes(prefix.try_into().unwrap()) as usize,
            body.len()
        );
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn renders_an_ack_that_names_the_message_as_its_sender_wrote_it() {
        let server = Name::new("tickwire").unwrap();
        let target = Name::new("a \"quoted\" \\ näme").unwrap();
        let mut template = AckTemplate::new(&server, Some(&target));
        template.set_time(1_000);
        let mut ids = AnswerIds::new(Uuid::nil());
        let id = MsgId::from_text(b"550E8400-e29b-41d4-a716-446655440000").unwrap();
        let mut out = Vec::new();
        template.append(&mut out, &mut ids, &id);
        let ack = only_frame(&out);
        assert_eq!(ack["msg_type"], "ack");
        assert_eq!(ack["source"], "tickwire");
        assert_eq!(ack["target"], target.as_str());
        assert_eq!(ack["timestamp"], "1970-01-01T00:00:01.000Z");
        assert_eq!(ack["payload"]["timestamp"], ack["timestamp"]);
        assert_eq!(ack["payload"]["acknowledged_msg_id"], id.as_str());
        assert!(ack["payload"].get("dropped").is_none());

        out.clear();
        template.append_dropped(&mut out, &mut ids, &id, 17);
        let ack = only_frame(&out);
        assert_eq!(ack["payload"]["dropped"], 17);
        assert_eq!(ack["payload"]["acknowledged_msg_id"], id.as_str());
    }
}
