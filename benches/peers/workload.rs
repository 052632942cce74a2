//! The messages that are sent, the same JSON to every server.

#[path = "../load/mod.rs"]
mod load;

use load::{EXAMPLES, variants};

/// How many distinct ones there are of a kind: one message repeated would stay
/// in the nearest cache, and a server that learns would learn it by heart.
const DISTINCT: usize = 10_000;

/// Messages to be sent in this order.
#[derive(Debug)]
pub struct Messages {
    /// Each as compact JSON.
    pub bodies: Vec<Vec<u8>>,
}

impl Messages {
    /// Whether a message is an `ack`: the one kind that isn't acknowledged.
    pub fn is_ack(body: &[u8]) -> bool {
        memchr::memmem::find(&body[..body.len().min(128)], b"\"msg_type\":\"ack\"").is_some()
    }

    /// Order events of about 423 bytes.
    pub fn orders() -> Self {
        Self {
            bodies: variants(EXAMPLES[0].1, DISTINCT),
        }
    }

    /// The same with escapes and text in another script in the payload.
    pub fn escaped() -> Self {
        let escape = |body: Vec<u8>| {
            let text = String::from_utf8(body).expect("the examples are text");
            text.replace("\"LIMIT\"", "\"\\\"ü\\\"\"").into_bytes()
        };
        Self {
            bodies: Self::orders().bodies.into_iter().map(escape).collect(),
        }
    }

    /// All eleven kinds in turns.
    pub fn mix() -> Self {
        let kinds: Vec<_> = EXAMPLES
            .iter()
            .map(|(_, example)| variants(example, DISTINCT / EXAMPLES.len() + 1))
            .collect();
        let bodies = (0..kinds[0].len())
            .flat_map(|index| kinds.iter().map(move |kind| kind[index].clone()))
            .collect();
        Self { bodies }
    }

    /// Bars of market data of about 494 bytes, to everybody.
    pub fn bars() -> Self {
        Self {
            bodies: variants(EXAMPLES[2].1, DISTINCT),
        }
    }
}
