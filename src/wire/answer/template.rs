//! Acks from a template: only ids and times are written for each.

use std::io::Write;

use uuid::Uuid;

use super::set_prefix;
use crate::ids::{MsgId, Name};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::message::{Durability, MillisText};

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
        let time = MillisText::from_unix_ms(unix_ms);
        for at in [self.timestamp_at, self.payload_timestamp_at] {
            self.frame[at..at + MillisText::LEN].copy_from_slice(time.as_bytes());
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

    /// Adds to the ack that `out` ends with that its message is kept.
    pub fn say_durability(out: &mut Vec<u8>, start: usize, durability: Durability) {
        out.truncate(out.len() - Self::END.len());
        let word = durability.as_str();
        write!(out, r#","durability":"{word}"}}}}"#).expect("memory takes every write");
        set_prefix(out, start);
    }

    /// The parts before its id, its time, the id of the message and the time in its
    /// payload, without the length prefix.
    #[cfg(feature = "client")]
    pub(super) fn fixed_parts(&self) -> [&[u8]; 4] {
        let Self { frame, .. } = self;
        [
            &frame[FRAME_PREFIX_BYTES..self.msg_id_at],
            &frame[self.msg_id_at + MsgId::LEN..self.timestamp_at],
            &frame[self.timestamp_at + MillisText::LEN..self.acknowledged_at],
            &frame[self.acknowledged_at + MsgId::LEN..self.payload_timestamp_at],
        ]
    }

    /// Appends an ack without a message's id and without [`AckTemplate::END`].
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

/// Fresh ids for the answers of one session: UUIDs of version 8 (RFC 9562, section
/// 5.8), random in front and counted behind.
#[derive(Debug, Clone)]
pub struct AnswerIds {
    random: [u8; MsgId::LEN - Self::COUNTED],
    count: u64,
}

impl AnswerIds {
    const COUNTED: usize = 12;

    /// Ids that start with the random bits of `seed`.
    #[must_use]
    pub fn new(seed: Uuid) -> Self {
        let id = MsgId::from(uuid::Builder::from_custom_bytes(seed.into_bytes()).into_uuid());
        let random = id.as_bytes().first_chunk();
        Self {
            random: *random.expect("an id is longer than its random part"),
            count: 0,
        }
    }

    /// Writes the next id to `place`.
    // In place: a copy would wait until all digits had reached the cache.
    #[inline]
    fn write_next(&mut self, place: &mut [u8; MsgId::LEN]) {
        self.count = self.count.wrapping_add(1);
        let (random, digits) = place.split_at_mut(self.random.len());
        random.copy_from_slice(&self.random);
        let (high, low) = digits.split_at_mut(Self::COUNTED - 8);
        high.copy_from_slice(&hex_digits((self.count >> 32) as u32)[4..]);
        low.copy_from_slice(&hex_digits(self.count as u32));
    }

    pub(super) fn next_string(&mut self) -> String {
        let mut text = [0; MsgId::LEN];
        self.write_next(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The eight hexadecimal digits of a number, all at once.
#[inline]
fn hex_digits(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The value of one digit in each byte.
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    let values = (spread | spread << 4) & (0x0F * EACH);
    // From ten on the sum reaches 16.
    let letters = (values + 6 * EACH) >> 4 & EACH;
    let to_letters = u64::from(b'a' - b'0' - 10);
    (values + u64::from(b'0') * EACH + letters * to_letters).to_be_bytes()
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn counts_in_hexadecimal() {
        for shift in 0..u64::BITS {
            for count in [
                1 << shift,
                u64::MAX >> shift,
                0x0123_4567_89AB_CDEF << shift,
            ] {
                let number = count as u32;
                assert_eq!(hex_digits(number), *format!("{number:08x}").as_bytes());
                let mut ids = AnswerIds::new(Uuid::nil());
                ids.count = count - 1;
                let digits = format!("{:012x}", count & 0xFFFF_FFFF_FFFF);
                assert!(ids.next_string().ends_with(&digits), "{count}");
            }
        }
    }

    #[test]
    fn gives_each_answer_another_valid_id() {
        let mut ids = AnswerIds::new(Uuid::new_v4());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let id = Uuid::try_parse(&ids.next_string()).unwrap();
            assert_eq!(id.get_version_num(), 8);
            assert!(seen.insert(id));
        }
    }
}
