//! The check of a message that a program has as JSON, before it goes to a server: by
//! learned shapes, as a server checks what it reads, else by the parser. Payloads are left
//! to the server, which may be told not to check them.

use std::cell::RefCell;

use super::envelope::{Kind, Validation};
use super::parser::Parser;
use super::refusal::Refusal;
use super::shape::{Hints, Shapes};
use crate::ids::MsgId;

/// Each message earns one; nothing is kept beyond this.
const CREDIT_MAX: u32 = 1_024;
/// An attempt to learn a shape costs so many: messages that never repeat their layout
/// pay for a few per cent of them.
const CREDIT_PER_ATTEMPT: u32 = 64;

/// The part of a message's header that a sender needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) msg_id: MsgId,
}

struct Checker {
    parser: Parser,
    shapes: Shapes,
    hints: Hints,
    credit: u32,
    /// Counts messages: shapes are forgotten by it.
    now: u32,
}

thread_local! {
    static CHECKER: RefCell<Checker> = RefCell::new(Checker {
        parser: Parser::new(Validation::Envelope),
        shapes: Shapes::new(Validation::Envelope),
        hints: Hints::default(),
        credit: CREDIT_MAX,
        now: 0,
    });
}

/// Checks that `json` is a message, as far as its envelope goes.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn check_envelope(json: &[u8]) -> Result<Head, Refusal> {
    CHECKER.with_borrow_mut(|checker| checker.check(json))
}

impl Checker {
    fn check(&mut self, json: &[u8]) -> Result<Head, Refusal> {
        self.credit = (self.credit + 1).min(CREDIT_MAX);
        self.now = self.now.wrapping_add(1);
        let table = self.shapes.load();
        let known = (self.hints).recognize(&table, json, json.len(), self.now);
        if let Some(known) = known
            && let Some(msg_id) = known.msg_id(json)
        {
            let kind = known.kind;
            return Ok(Head { kind, msg_id });
        }
        let header = self.parser.parse(json)?;
        if let Some(left) = self.credit.checked_sub(CREDIT_PER_ATTEMPT) {
            self.credit = left;
            let learned = self.shapes.learn(json, &header, self.now);
            self.hints.note(learned, json.len());
        }
        Ok(Head {
            kind: header.kind,
            msg_id: header.msg_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, Order, Side};

    fn order(number: u32) -> Message {
        let order = Order::new(format!("ord-{number}"), "BTCUSDT", Side::Buy, number);
        Message::order("desk", "gateway", "run-1", order).unwrap()
    }

    #[test]
    fn finds_the_head_of_each_message_known_or_not() {
        for number in 0..5_000 {
            let message = order(number);
            let head = check_envelope(message.to_json().as_bytes()).unwrap();
            let expected = Head {
                kind: Kind::IngestEvent,
                msg_id: message.msg_id,
            };
            assert_eq!(head, expected);
        }
        let recognised = CHECKER.with_borrow_mut(|checker| {
            let json = order(77).to_json();
            let table = checker.shapes.load();
            checker
                .hints
                .recognize(&table, json.as_bytes(), json.len(), 1)
        });
        assert!(recognised.is_some(), "no shape was learned");
    }

    #[test]
    fn says_what_is_wrong_as_a_parser_does() {
        let good = order(1).to_json();
        let mut parser = Parser::new(Validation::Envelope);
        for broken in [
            String::new(),
            "{}".to_owned(),
            good[1..].to_owned(),
            good.replace("msg_id", "msg_ids"),
            good.replace("\"ingest_event\"", "\"gossip\""),
        ] {
            let refusal = check_envelope(broken.as_bytes()).unwrap_err();
            let expected = parser.parse(broken.as_bytes()).unwrap_err();
            assert_eq!(refusal.to_string(), expected.to_string());
        }
    }
}
