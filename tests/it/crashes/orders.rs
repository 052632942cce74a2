//! The orders of a run: each is made again from its number, to be compared.

use uuid::Uuid;

use super::STORE;
use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::Received;

/// Of so many orders side by side, all are large now and then: segments fill.
const BLOCK: usize = 256;

/// An order of one sender, in the order in which it sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub sender: usize,
    pub number: usize,
}

impl Key {
    pub fn source(self) -> String {
        source_of(self.sender)
    }

    pub fn msg_id(self, seed: u64) -> String {
        let of_sender = Random::of(seed, 1_000_000 + self.sender as u64).next();
        Uuid::from_u64_pair(of_sender, self.number as u64).to_string()
    }

    /// The frame, which is never the same for two orders.
    pub fn frame(self, seed: u64) -> Vec<u8> {
        let mut random = Random::of(seed ^ (self.sender as u64) << 32, self.number as u64);
        let order = Draft::order(&self.source(), STORE)
            .set("msg_id", self.msg_id(seed))
            .payload("number", self.number as u64);
        // Spellings of their own.
        let order = match random.below(8) {
            0 => order.payload_text("price", "1.50e+01"),
            1 => order.payload_text("note", "\"\\u0061 \\\"b\\\" ü\""),
            2 => order.text("target", "\"st\\u006fre\""),
            _ => order,
        };
        let is_large = (self.number / BLOCK).is_multiple_of(8);
        let order = match (random.below(100), is_large) {
            (0, _) | (1..40, true) => order.padded(64 * 1024),
            (1..10, _) => order.padded(500 + usize::try_from(random.below(3500)).expect("small")),
            _ => order,
        };
        let frame = order.frame();
        match random.below(8) {
            0 => [b" \n", &*frame, b"\t "].concat(),
            _ => frame,
        }
    }

    /// The order that came. Fails if nobody has sent it so.
    pub fn of(received: &Received, seed: u64) -> Self {
        let text = received.text("/source");
        let sender = (0..super::SENDERS).find(|&sender| source_of(sender) == text);
        let number = received.json.pointer("/payload/number");
        let number = number.and_then(serde_json::Value::as_u64);
        let (Some(sender), Some(number)) = (sender, number) else {
            panic!("seed {seed}: no order of this run: {received:?}")
        };
        let number = usize::try_from(number).expect("small");
        let key = Self { sender, number };
        let sent = key.frame(seed);
        assert!(
            received.frame == sent,
            "seed {seed}: not as {key:?} was sent: {received:?}"
        );
        key
    }
}

pub fn source_of(sender: usize) -> String {
    format!("sender-{sender}")
}
