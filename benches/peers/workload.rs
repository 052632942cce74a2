//! The messages that are sent, the same JSON to every server.

#[allow(dead_code, reason = "the command `bench` uses all of it")]
#[allow(unused_imports, reason = "its tests are run where it belongs")]
#[path = "../../src/cli/bench/messages.rs"]
mod messages;

use messages::{DISTINCT, Example, Selection, Target, variants};

use crate::protocol::SUBJECT;

/// Messages to be sent in this order, all of them distinct: one message repeated
/// would stay in the nearest cache, and a server that learns would learn it by
/// heart.
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
        Self::of(&Selection::One(Example::Order), Target::Name(SUBJECT))
    }

    /// The same with escapes and text in another script in the payload.
    pub fn escaped() -> Self {
        Self::of(&Selection::EscapedOrder, Target::Name(SUBJECT))
    }

    /// All eleven kinds in turns, to whom each is for.
    pub fn mix() -> Self {
        Self::of(&Selection::Mix, Target::Keep)
    }

    /// Bars of market data of about 494 bytes, to everybody.
    pub fn bars() -> Self {
        Self::of(&Selection::One(Example::MarketData), Target::Broadcast)
    }

    fn of(selection: &Selection, target: Target<'_>) -> Self {
        Self {
            bodies: variants(selection, DISTINCT, None, target),
        }
    }
}
