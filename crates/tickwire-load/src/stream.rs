//! The bytes that one sender writes, round and round.

use crate::messages::Message;
use crate::protocol::Protocol;

/// Characters of a message's id.
pub const ID_BYTES: usize = 36;
/// Digits of an id by which a message is told from its neighbours.
const TAG_BYTES: usize = 8;

/// Messages side by side, in the protocol of a server.
#[derive(Debug, Default)]
pub struct Stream {
    /// The bytes of a round.
    pub bytes: Vec<u8>,
    /// The end of each message in `bytes`.
    ends: Vec<u64>,
    /// Bytes at a receiver that has got the messages up to each one.
    arrived: Vec<u64>,
    /// Each message's mark.
    pub marks: Vec<Mark>,
    /// The messages that get an answer when they are accepted: all but acks.
    pub answered: Vec<usize>,
}

/// The length of a message and the beginning of its id: one comparison
/// recognises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Bytes of its JSON.
    pub len: u32,
    /// The place where the id begins.
    at: u32,
    /// The first digits of the id.
    tag: [u8; TAG_BYTES],
}

impl Mark {
    fn of(message: &Message) -> Self {
        let tag = message.json[message.id_at..].first_chunk();
        Self {
            len: message.json.len() as u32,
            at: message.id_at as u32,
            tag: *tag.expect("an id is longer than that"),
        }
    }

    /// Returns whether `json` is the message.
    #[inline]
    pub fn fits(&self, json: &[u8]) -> bool {
        let at = self.at as usize;
        json.len() == self.len as usize && json.get(at..at + TAG_BYTES) == Some(&self.tag)
    }

    /// Returns whether `id` begins as the message's does.
    #[inline]
    pub fn has_id(&self, id: &[u8]) -> bool {
        id.first_chunk() == Some(&self.tag)
    }

    /// Bytes of the message's frame, prefix included.
    pub fn frame_bytes(&self) -> u64 {
        u64::from(self.len) + crate::frame::PREFIX_BYTES as u64
    }
}

impl Stream {
    /// Appends a message.
    pub fn push(&mut self, protocol: &dyn Protocol, message: &Message) {
        if !message.is_ack {
            self.answered.push(self.marks.len());
        }
        self.marks.push(Mark::of(message));
        protocol.publish(&mut self.bytes, &message.json);
        self.ends.push(self.bytes.len() as u64);
        let before = self.arrived.last().copied().unwrap_or(0);
        let bytes = protocol.delivered_bytes(message.json.len());
        self.arrived.push(before + bytes as u64);
    }

    /// The number of messages in a round.
    pub fn messages(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the first `messages`, repeated as often as needed.
    pub fn bytes_of(&self, messages: u64) -> u64 {
        up_to(&self.ends, messages)
    }

    /// Bytes that arrive at a receiver of the first `messages`.
    pub fn arrived_of(&self, messages: u64) -> u64 {
        up_to(&self.arrived, messages)
    }

    /// The number of messages that begin before the byte `at`.
    pub fn messages_before(&self, at: u64) -> u64 {
        let round = self.bytes.len() as u64;
        let in_round = match at % round {
            0 => 0,
            rest => self.ends.partition_point(|end| *end < rest) + 1,
        };
        at / round * self.messages() as u64 + in_round as u64
    }

    /// How many of the first `messages` get an answer when they are accepted.
    pub fn answered_of(&self, messages: u64) -> u64 {
        let in_round = self.messages() as u64;
        let rest = (messages % in_round) as usize;
        let rest = self.answered.partition_point(|index| *index < rest);
        messages / in_round * self.answered.len() as u64 + rest as u64
    }

    /// The bytes that publish a message.
    pub fn published(&self, message: u64) -> &[u8] {
        let index = (message % self.messages() as u64) as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[index] as usize]
    }
}

/// The running total after `count` of an endless repetition.
fn up_to(totals: &[u64], count: u64) -> u64 {
    let len = totals.len() as u64;
    let rest = (count % len).checked_sub(1);
    let all = totals.last().copied().unwrap_or(0);
    count / len * all + rest.map_or(0, |last| totals[last as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Example, Selection, Target, Variants};
    use crate::protocol::{Framed, Nats};

    fn stream(selection: &Selection, protocol: &dyn Protocol) -> Stream {
        let mut variants = Variants::new(selection);
        let mut stream = Stream::default();
        for _ in 0..110 {
            stream.push(protocol, &variants.next_for(None, Target::Keep));
        }
        stream
    }

    #[test]
    fn knows_where_its_messages_lie() {
        let stream = stream(&Selection::One(Example::Order), &Framed::Tickwire);
        let first = stream.published(0).len() as u64;
        let two = first + stream.published(1).len() as u64;
        let round = stream.bytes.len() as u64;
        assert_eq!(stream.messages_before(0), 0);
        assert_eq!(stream.messages_before(1), 1);
        assert_eq!(stream.messages_before(first), 1);
        assert_eq!(stream.messages_before(first + 1), 2);
        assert_eq!(stream.messages_before(round), 110);
        assert_eq!(stream.messages_before(round + first + 1), 112);
        for (messages, bytes) in [(0, 0), (1, first), (110, round), (112, round + two)] {
            assert_eq!(stream.bytes_of(messages), bytes);
            assert_eq!(stream.arrived_of(messages), bytes);
        }
        assert_eq!(stream.published(111), stream.published(1));
    }

    #[test]
    fn acks_get_no_answer() {
        let stream = stream(&Selection::Mix, &Nats);
        assert_eq!(stream.answered[6..9], [6, 8, 9]);
        assert_eq!(stream.answered_of(8), 7);
        assert_eq!(stream.answered_of(118), 107);
    }

    #[test]
    fn other_protocols_deliver_other_lengths() {
        let stream = stream(&Selection::One(Example::Order), &Nats);
        let published = stream.published(0);
        let json = published.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
        let delivered = format!("MSG api-gateway 1 {}\r\n", json.len() - 2);
        assert_eq!(stream.arrived_of(1), (delivered.len() + json.len()) as u64);
    }
}
