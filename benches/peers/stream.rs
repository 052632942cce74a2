//! Messages as the bytes that publish them, side by side and ready to be
//! written.

use crate::protocol::Protocol;
use crate::workload::Messages;

/// Bytes in a write, the same for every server.
pub const WRITE_BYTES: usize = 64 * 1024;

/// A round of messages in a server's own protocol; a longer run repeats it.
#[derive(Debug)]
pub struct Stream {
    /// The round, and behind it its own beginning once more, so that a write
    /// can go over the end.
    bytes: Vec<u8>,
    /// Where each message ends.
    ends: Vec<usize>,
    /// What the receiver has got when it has got each message, in bytes.
    delivered: Vec<u64>,
    /// How many answers there are once each message is answered.
    answered: Vec<u64>,
}

impl Stream {
    /// A round of `messages`.
    pub fn new(protocol: &dyn Protocol, messages: &Messages) -> Self {
        let mut stream = Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            delivered: Vec::new(),
            answered: Vec::new(),
        };
        let (mut delivered, mut answered) = (0, 0);
        for body in &messages.bodies {
            protocol.publish(&mut stream.bytes, body);
            delivered += protocol.delivered_bytes(body.len()) as u64;
            answered += u64::from(!Messages::is_ack(body));
            stream.ends.push(stream.bytes.len());
            stream.delivered.push(delivered);
            stream.answered.push(answered);
        }
        assert!(
            stream.bytes.len() >= WRITE_BYTES,
            "a round is longer than a write"
        );
        stream.bytes.extend_from_within(..WRITE_BYTES);
        stream
    }

    /// Messages in a round.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn round_bytes(&self) -> usize {
        self.bytes.len() - WRITE_BYTES
    }

    /// What stands at a position of the endless repetition, a write at most.
    pub fn write_at(&self, position: u64) -> &[u8] {
        let at = (position % self.round_bytes() as u64) as usize;
        &self.bytes[at..at + WRITE_BYTES]
    }

    /// The bytes that publish the message with this index, and those that then
    /// arrive.
    pub fn message(&self, index: u64) -> (&[u8], usize) {
        let index = (index % self.ends.len() as u64) as usize;
        let before = index.checked_sub(1);
        let start = before.map_or(0, |before| self.ends[before]);
        let delivered = self.delivered[index] - before.map_or(0, |before| self.delivered[before]);
        (&self.bytes[start..self.ends[index]], delivered as usize)
    }

    /// How many messages are begun before a position, and where the last of
    /// them ends.
    pub fn whole_messages(&self, position: u64) -> (u64, u64) {
        let round_bytes = self.round_bytes() as u64;
        let (rounds, at) = (position / round_bytes, position % round_bytes);
        if at == 0 {
            return (rounds * self.ends.len() as u64, position);
        }
        let index = self.ends.partition_point(|&end| (end as u64) < at);
        let messages = rounds * self.ends.len() as u64 + index as u64 + 1;
        (messages, rounds * round_bytes + self.ends[index] as u64)
    }

    /// Bytes that arrive for the first `messages`.
    pub fn delivered_bytes(&self, messages: u64) -> u64 {
        up_to(&self.delivered, messages)
    }

    /// Answers to the first `messages`.
    pub fn answers(&self, messages: u64) -> u64 {
        up_to(&self.answered, messages)
    }

    /// Bytes that arrive for a message in the mean.
    pub fn delivered_bytes_mean(&self) -> f64 {
        self.delivered_bytes(self.len() as u64) as f64 / self.len() as f64
    }
}

/// The running total after so many of an endless repetition.
fn up_to(totals: &[u64], count: u64) -> u64 {
    let len = totals.len() as u64;
    let rest = (count % len).checked_sub(1);
    let all = totals.last().copied().unwrap_or(0);
    (count / len) * all + rest.map_or(0, |last| totals[last as usize])
}
