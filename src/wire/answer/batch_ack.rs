//! One ack for many messages, written while they are accepted.
//!
//! Until [`BatchAck::close`] the buffer ends with half a frame: nothing else may be
//! appended, nor the buffer handed on.

use std::io::Write;

use super::{AckTemplate, AnswerIds, set_prefix};
use crate::ids::{MsgId, Name};
use crate::limits::BATCH_ACK_MESSAGES_MAX;
use crate::wire::message::Durability;

/// One ack for many messages, open from its first message until it is closed.
#[derive(Debug, Clone)]
pub struct BatchAck {
    target: Option<Name>,
    template: AckTemplate,
    /// The start of the open ack in the buffer.
    start: usize,
    /// The messages that it covers; 0 while none is open.
    messages: usize,
    /// The receivers that missed the messages, in sum.
    dropped: u64,
    /// With details: the receivers that missed each, as text, a comma behind each.
    details: Option<Vec<u8>>,
    /// With details: where the messages of the open ack are kept, if not in memory.
    durability: Option<Durability>,
}

/// The bytes of an id in the list, its quotes and a comma included.
const ITEM_BYTES: usize = MsgId::LEN + br#""","#.len();

impl BatchAck {
    /// Creates acks from `server` to a connection with the first name `target`. With
    /// `details` they count for each message the receivers that missed it.
    #[must_use]
    pub fn new(server: &Name, target: Option<&Name>, details: bool) -> Self {
        Self {
            template: AckTemplate::new(server, target),
            target: target.cloned(),
            start: 0,
            messages: 0,
            dropped: 0,
            details: details.then(Vec::new),
            durability: None,
        }
    }

    /// The addressee of the acks.
    #[must_use]
    pub fn target(&self) -> Option<&Name> {
        self.target.as_ref()
    }

    /// Returns whether the buffer ends with an open ack.
    #[must_use]
    #[inline]
    pub fn is_open(&self) -> bool {
        self.messages > 0
    }

    /// Sets where the messages that follow are kept, if not in memory. No ack may be open.
    pub fn set_durability(&mut self, durability: Option<Durability>) {
        debug_assert!(!self.is_open(), "an ack covers messages of one durability");
        self.durability = durability;
    }

    /// Adds messages, accepted at `unix_ms`. `missed[i]` receivers missed the i-th;
    /// messages beyond its end were missed by nobody. A full ack is closed.
    pub fn append(
        &mut self,
        out: &mut Vec<u8>,
        ids: &mut AnswerIds,
        unix_ms: i64,
        mut messages: &[MsgId],
        mut missed: &[u32],
    ) {
        while !messages.is_empty() {
            if !self.is_open() {
                self.open(out, ids, unix_ms);
            }
            let room = BATCH_ACK_MESSAGES_MAX - self.messages;
            let (covered, rest) = messages.split_at(messages.len().min(room));
            let (missed_covered, missed_rest) = missed.split_at(missed.len().min(covered.len()));
            self.append_ids(out, covered);
            self.count_dropped(covered.len(), missed_covered);
            (messages, missed) = (rest, missed_rest);
            if self.messages == BATCH_ACK_MESSAGES_MAX {
                self.close(out);
            }
        }
    }

    /// Completes the open ack, if there is one.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if !self.is_open() {
            return;
        }
        let comma = out.len() - 1;
        let last = comma - 1 - MsgId::LEN..comma - 1;
        out.copy_within(last, self.start + self.template.acknowledged_at);
        out[comma] = b']';
        if let Some(details) = &mut self.details {
            details.pop();
            out.extend_from_slice(br#","dropped":["#);
            out.extend_from_slice(details);
            out.push(b']');
            details.clear();
            if let Some(durability) = self.durability {
                let word = durability.as_str();
                write!(out, r#","durability":"{word}""#).expect("memory takes every write");
            }
        } else if self.dropped > 0 {
            write!(out, r#","dropped":{}"#, self.dropped).expect("memory takes every write");
        }
        out.extend_from_slice(b"}}");
        set_prefix(out, self.start);
        self.messages = 0;
        self.dropped = 0;
    }

    fn open(&mut self, out: &mut Vec<u8>, ids: &mut AnswerIds, unix_ms: i64) {
        self.start = out.len();
        self.template.set_time(unix_ms);
        self.template.append_open(out, ids);
        out.extend_from_slice(br#","acknowledged_msg_ids":["#);
    }

    #[inline]
    fn append_ids(&mut self, out: &mut Vec<u8>, messages: &[MsgId]) {
        self.messages += messages.len();
        out.reserve(messages.len() * ITEM_BYTES);
        let mut item = [b'"'; ITEM_BYTES];
        item[ITEM_BYTES - 1] = b',';
        for message in messages {
            item[1..=MsgId::LEN].copy_from_slice(message.as_bytes());
            out.extend_from_slice(&item);
        }
    }

    fn count_dropped(&mut self, messages: usize, missed: &[u32]) {
        self.dropped += missed.iter().map(|&count| u64::from(count)).sum::<u64>();
        let Some(details) = &mut self.details else {
            return;
        };
        for count in missed {
            write!(details, "{count},").expect("memory takes every write");
        }
        for _ in missed.len()..messages {
            details.extend_from_slice(b"0,");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::wire::frames;

    fn ids(count: usize) -> Vec<MsgId> {
        (0..count)
            .map(|n| Uuid::from_u128(n as u128).into())
            .collect()
    }

    /// The payloads of the acks of `messages`, handed over in `parts`.
    fn acks(details: bool, messages: &[MsgId], missed: &[u32], part: usize) -> Vec<Value> {
        let server = Name::new("tickwire").unwrap();
        let target = Name::new("a \"quoted\" name").unwrap();
        let mut batch = BatchAck::new(&server, Some(&target), details);
        let mut answer_ids = AnswerIds::new(Uuid::nil());
        let mut out = Vec::new();
        for (index, part_of) in messages.chunks(part).enumerate() {
            let missed = missed.chunks(part).nth(index).unwrap_or_default();
            batch.append(&mut out, &mut answer_ids, 1_000, part_of, missed);
        }
        batch.close(&mut out);
        assert!(!batch.is_open());
        let bytes: usize = frames(&out).map(|frame| frame.len()).sum();
        assert_eq!(bytes, out.len(), "whole frames and nothing else");
        frames(&out)
            .map(|frame| {
                let ack: Value = serde_json::from_slice(&out[frame.start + 4..frame.end]).unwrap();
                assert_eq!(ack["msg_type"], "ack");
                assert_eq!(ack["source"], "tickwire");
                assert_eq!(ack["target"], target.as_str());
                assert_eq!(ack["timestamp"], "1970-01-01T00:00:01.000Z");
                assert_eq!(ack["payload"]["timestamp"], ack["timestamp"]);
                ack["payload"].clone()
            })
            .collect()
    }

    #[test]
    fn covers_each_message_once_in_order_and_names_the_last() {
        for count in [1, 2, 1_023, 1_024, 1_025, 2_048, 3_000] {
            for part in [1, 7, 1_024, 5_000] {
                let messages = ids(count);
                let acks = acks(false, &messages, &[], part);
                assert_eq!(acks.len(), count.div_ceil(1_024));
                let mut covered = Vec::new();
                for ack in &acks {
                    let list = ack["acknowledged_msg_ids"].as_array().unwrap();
                    assert!(list.len() <= 1_024);
                    assert_eq!(Some(&ack["acknowledged_msg_id"]), list.last());
                    assert!(ack.get("dropped").is_none());
                    covered.extend(list.iter().map(|id| id.as_str().unwrap().to_owned()));
                }
                let expected: Vec<_> = messages.iter().map(MsgId::to_string).collect();
                assert_eq!(covered, expected);
            }
        }
    }

    #[test]
    fn sums_what_was_dropped_or_says_it_of_each() {
        let mut missed = vec![0; 1_500];
        missed[3] = 2;
        missed[1_023] = 10;
        missed[1_024] = 1;
        let dropped = |details, part| -> Vec<Value> {
            let acks = acks(details, &ids(2_000), &missed, part);
            acks.iter().map(|ack| ack["dropped"].clone()).collect()
        };
        let mut each = missed.clone();
        each.resize(2_000, 0);
        let each: Vec<Value> = each.chunks(1_024).map(Value::from).collect();
        for part in [1, 100, 2_000] {
            assert_eq!(dropped(false, part), [12, 1]);
            assert_eq!(dropped(true, part), each);
        }
    }

    #[test]
    fn is_addressed_to_nobody_where_the_connection_has_no_name() {
        let server = Name::new("tickwire").unwrap();
        let mut batch = BatchAck::new(&server, None, true);
        let mut out = Vec::new();
        let mut answer_ids = AnswerIds::new(Uuid::nil());
        batch.append(&mut out, &mut answer_ids, 0, &ids(2), &[]);
        batch.close(&mut out);
        batch.close(&mut out);
        let ack: Value = serde_json::from_slice(&out[4..]).unwrap();
        assert_eq!(ack["target"], Value::Null);
        assert_eq!(ack["payload"]["dropped"], serde_json::json!([0, 0]));
    }
}
