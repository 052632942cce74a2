//! The answers of messages that were sent, and the fates of all of them.
//!
//! Answers come in the order of the messages, but those of messages to durable names
//! may come later than others. So an answer is about the first message with its id that
//! has none: messages may repeat their ids. A `welcome` comes behind all answers before
//! it. An accepted `ack` gets no answer: that it was routed shows an answer to something
//! behind it.

use std::collections::{HashMap, VecDeque};

use tickwire::ids::MsgId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// Its id, if the server can read one.
    pub msg_id: Option<MsgId>,
    /// An `ack` is answered only when it is refused.
    pub is_ack: bool,
    /// A `hello` is answered even if it asks for no acks.
    pub is_hello: bool,
    /// The bytes sent up to its end.
    pub end: u64,
    pub target: Option<Box<str>>,
    /// The index of its input.
    pub input: usize,
    pub line: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    pub sent: u64,
    pub acknowledged: u64,
    pub routed: u64,
    /// Accepted without an ack, as a `hello` among the messages had asked.
    pub silent: u64,
    pub refused: u64,
    pub unanswered: u64,
    /// Acknowledged, but given up before they could be delivered.
    pub undelivered: u64,
    /// Receivers that missed an acknowledged message.
    pub dropped: u64,
}

impl Tally {
    pub fn is_clean(&self) -> bool {
        self.refused == 0 && self.unanswered == 0 && self.undelivered == 0
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// The messages without an answer, and gaps where others were answered.
    waiting: VecDeque<Option<SentMessage>>,
    /// The number of messages in front of those.
    passed: u64,
    /// The places of the messages without an answer by their ids, counted from the first
    /// message of all.
    places: HashMap<Option<MsgId>, VecDeque<u64>>,
    unanswered: u64,
    /// Accepted messages get no answer.
    silent: bool,
    /// The connection is lost, so nothing is sent any more.
    over: bool,
    pub tally: Tally,
}

impl Ledger {
    pub fn sent(&mut self, message: SentMessage) {
        if self.over {
            return;
        }
        self.tally.sent += 1;
        self.unanswered += 1;
        let place = self.passed + self.waiting.len() as u64;
        self.places
            .entry(message.msg_id)
            .or_default()
            .push_back(place);
        self.waiting.push_back(Some(message));
    }

    pub fn refused_unsent(&mut self) {
        self.tally.sent += 1;
        self.tally.refused += 1;
    }

    /// Takes the ack of the message `msg_id`. Returns whether that waited for one.
    pub fn acknowledged(&mut self, msg_id: &MsgId) -> bool {
        let waited = self.take(Some(*msg_id), |sent| !sent.is_ack).is_some();
        self.tally.acknowledged += u64::from(waited);
        waited
    }

    /// Returns whether a message among the first `taken` bytes is yet to be answered.
    pub fn is_owed(&self, taken: u64) -> bool {
        let answered = |sent: &SentMessage| sent.is_hello || !(sent.is_ack || self.silent);
        let waiting = self.waiting.iter().flatten();
        let mut taken = waiting.take_while(|sent| sent.end <= taken);
        taken.any(answered)
    }

    /// Notes whether accepted messages get acks behind the last one answered.
    pub fn expect_acks(&mut self, acks: bool) {
        self.silent = !acks;
    }

    /// Takes an error, and returns the message that it is about; without `msg_id`
    /// the first of which no id can be read.
    pub fn refused(&mut self, msg_id: Option<&MsgId>) -> Option<SentMessage> {
        let sent = self.take(msg_id.copied(), |_| true)?;
        self.tally.refused += 1;
        Some(sent)
    }

    pub fn fenced(&mut self) {
        self.pass(self.waiting.len());
    }

    /// Notes that no more answers will arrive. Returns the messages without one.
    pub fn lost(&mut self) -> VecDeque<SentMessage> {
        self.over = true;
        self.tally.unanswered += self.unanswered;
        self.unanswered = 0;
        self.places.clear();
        std::mem::take(&mut self.waiting)
            .into_iter()
            .flatten()
            .collect()
    }

    /// The number of messages of known fate.
    pub fn settled(&self) -> u64 {
        self.tally.sent - self.unanswered
    }

    /// Takes the first message with this id that is `wanted`.
    fn take(
        &mut self,
        msg_id: Option<MsgId>,
        wanted: impl Fn(&SentMessage) -> bool,
    ) -> Option<SentMessage> {
        let places = self.places.get_mut(&msg_id)?;
        let index = |place: u64| (place - self.passed) as usize;
        let is_wanted = |place: &u64| {
            let sent = self.waiting.get(index(*place));
            sent.and_then(Option::as_ref).is_some_and(&wanted)
        };
        let at = places.iter().position(is_wanted)?;
        let place = places.remove(at)?;
        if places.is_empty() {
            self.places.remove(&msg_id);
        }
        let index = index(place);
        let sent = self.waiting.get_mut(index)?.take()?;
        self.unanswered -= 1;
        match sent.is_hello {
            true => self.pass(index),
            false => self.pass_answered(index),
        }
        Some(sent)
    }

    /// Forgets the front of the first `count` messages, as far as all have their answers,
    /// or are acks: one behind them was read.
    fn pass_answered(&mut self, count: usize) {
        let has_answer = |sent: &&Option<SentMessage>| sent.as_ref().is_none_or(|it| it.is_ack);
        let front = self.waiting.iter().take(count).take_while(has_answer);
        self.pass(front.count());
    }

    /// Settles the first `count` messages, which the answers have passed.
    fn pass(&mut self, count: usize) {
        self.passed += count as u64;
        for sent in self.waiting.drain(..count).flatten() {
            if let Some(places) = self.places.get_mut(&sent.msg_id) {
                places.retain(|place| *place >= self.passed);
                if places.is_empty() {
                    self.places.remove(&sent.msg_id);
                }
            }
            self.unanswered -= 1;
            if sent.is_ack {
                self.tally.routed += 1;
            } else if self.silent {
                self.tally.silent += 1;
            } else {
                self.tally.unanswered += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MsgId {
        MsgId::from(uuid::Uuid::from_u128(u128::from(n)))
    }

    fn message(n: u8, line: u64) -> SentMessage {
        SentMessage {
            msg_id: Some(id(n)),
            is_ack: false,
            is_hello: false,
            end: line * 10,
            target: None,
            input: 0,
            line,
        }
    }

    fn ack(n: u8, line: u64) -> SentMessage {
        SentMessage {
            is_ack: true,
            ..message(n, line)
        }
    }

    fn without_id(line: u64) -> SentMessage {
        SentMessage {
            msg_id: None,
            ..message(0, line)
        }
    }

    fn ledger(messages: impl IntoIterator<Item = SentMessage>) -> Ledger {
        let mut ledger = Ledger::default();
        for message in messages {
            ledger.sent(message);
        }
        ledger
    }

    #[test]
    fn an_ack_that_nothing_names_was_routed_once_the_fence_is_answered() {
        let mut ledger = ledger([message(1, 1), ack(2, 2), message(3, 3)]);
        ledger.acknowledged(&id(1));
        assert_eq!(ledger.tally.routed, 0);
        assert_eq!(ledger.settled(), 1);
        ledger.acknowledged(&id(3));
        ledger.fenced();
        let tally = ledger.tally;
        assert_eq!(
            tally,
            Tally {
                sent: 3,
                acknowledged: 2,
                routed: 1,
                ..Tally::default()
            }
        );
        assert!(tally.is_clean());
    }

    #[test]
    fn an_ack_at_the_end_waits_for_the_fence() {
        let mut ledger = ledger([ack(1, 1)]);
        assert_eq!(ledger.settled(), 0);
        ledger.fenced();
        assert_eq!(ledger.tally.routed, 1);
        assert!(ledger.tally.is_clean());
    }

    #[test]
    fn a_refused_ack_is_refused() {
        let mut ledger = ledger([message(1, 1), ack(2, 2)]);
        ledger.acknowledged(&id(1));
        assert_eq!(ledger.refused(Some(&id(2))).unwrap().line, 2);
        ledger.fenced();
        assert_eq!(ledger.tally.refused, 1);
        assert_eq!(ledger.tally.routed, 0);
        assert!(!ledger.tally.is_clean());
    }

    #[test]
    fn repeated_ids_are_matched_in_order() {
        let mut ledger = ledger([message(1, 1), message(1, 2), message(1, 3)]);
        ledger.acknowledged(&id(1));
        assert_eq!(ledger.refused(Some(&id(1))).unwrap().line, 2);
        ledger.acknowledged(&id(1));
        ledger.fenced();
        assert_eq!(ledger.tally.acknowledged, 2);
        assert_eq!(ledger.tally.refused, 1);
        assert_eq!(ledger.tally.unanswered, 0);
    }

    #[test]
    fn the_ack_of_a_message_is_not_taken_for_that_of_an_ack_with_its_id() {
        let mut ledger = ledger([ack(1, 1), message(1, 2)]);
        ledger.acknowledged(&id(1));
        ledger.fenced();
        assert_eq!(ledger.tally.acknowledged, 1);
        assert_eq!(ledger.tally.routed, 1);
    }

    #[test]
    fn an_error_without_id_is_about_the_first_message_without_one() {
        let mut ledger = ledger([message(1, 1), without_id(2), without_id(3)]);
        ledger.acknowledged(&id(1));
        assert_eq!(ledger.refused(None).unwrap().line, 2);
        assert_eq!(ledger.refused(None).unwrap().line, 3);
        assert_eq!(ledger.refused(None), None);
        ledger.fenced();
        assert_eq!(ledger.tally.refused, 2);
    }

    #[test]
    fn answers_of_durable_names_may_come_later_than_others() {
        let mut ledger = ledger((1..6).map(|n| message(n, n.into())));
        for n in [2, 4, 1, 3, 5] {
            assert!(ledger.acknowledged(&id(n)), "{n}");
        }
        assert_eq!(ledger.settled(), 5);
        assert!(ledger.places.is_empty());
        ledger.fenced();
        let tally = ledger.tally;
        assert_eq!((tally.acknowledged, tally.unanswered), (5, 0));
    }

    #[test]
    fn what_answers_pass_over_is_unanswered() {
        let mut ledger = ledger([message(1, 1), message(2, 2), message(3, 3)]);
        ledger.acknowledged(&id(2));
        // The first may be for a durable name.
        assert_eq!(ledger.tally.unanswered, 0);
        ledger.fenced();
        assert_eq!(ledger.tally.unanswered, 2);
        assert!(!ledger.tally.is_clean());
    }

    #[test]
    fn what_answers_pass_over_after_a_hello_that_wants_no_acks_was_accepted() {
        // Messages 2 and 5 are hellos.
        let mut ledger = ledger((1..8).map(|n| SentMessage {
            is_hello: n == 2 || n == 5,
            ..message(n, n.into())
        }));
        ledger.acknowledged(&id(2));
        ledger.expect_acks(false);
        ledger.refused(Some(&id(4)));
        ledger.acknowledged(&id(5));
        ledger.expect_acks(true);
        ledger.acknowledged(&id(6));
        ledger.fenced();
        let tally = ledger.tally;
        assert_eq!((tally.silent, tally.refused), (1, 1), "3; 4");
        assert_eq!(
            (tally.acknowledged, tally.unanswered),
            (3, 2),
            "2, 5, 6; 1, 7"
        );
    }

    #[test]
    fn without_the_fence_nothing_that_waits_counts_as_routed() {
        let mut ledger = ledger([message(1, 1), ack(2, 2)]);
        ledger.acknowledged(&id(1));
        ledger.lost();
        assert_eq!(ledger.tally.unanswered, 1);
        assert_eq!(ledger.tally.routed, 0);
    }

    #[test]
    fn what_is_lost_is_known_and_nothing_is_sent_after_it() {
        let mut ledger = ledger([message(1, 1), message(2, 2), ack(3, 3)]);
        ledger.acknowledged(&id(1));
        let lost: Vec<_> = ledger.lost().into_iter().map(|sent| sent.line).collect();
        assert_eq!(lost, [2, 3]);
        ledger.sent(message(4, 4));
        assert_eq!((ledger.tally.sent, ledger.tally.unanswered), (3, 2));
    }

    #[test]
    fn answers_are_owed_to_what_has_left_and_surely_gets_one() {
        let mut ledger = ledger([ack(1, 1), message(2, 2), message(3, 3)]);
        assert!(!ledger.is_owed(19), "an ack, and half a message");
        assert!(ledger.is_owed(20));
        ledger.acknowledged(&id(2));
        assert!(!ledger.is_owed(20));
        ledger.acknowledged(&id(3));
        assert!(!ledger.is_owed(u64::MAX));
        // A hello that asks for no acks is answered itself.
        ledger.sent(SentMessage {
            is_hello: true,
            ..message(4, 4)
        });
        ledger.sent(message(5, 5));
        assert!(ledger.is_owed(40));
        ledger.acknowledged(&id(4));
        ledger.expect_acks(false);
        assert!(!ledger.is_owed(50));
        ledger.sent(SentMessage {
            is_hello: true,
            ..message(6, 6)
        });
        assert!(!ledger.is_owed(50));
        assert!(ledger.is_owed(60));
    }

    #[test]
    fn answers_to_nothing_that_was_sent_change_nothing() {
        let mut ledger = ledger([message(1, 1)]);
        ledger.acknowledged(&id(9));
        assert_eq!(ledger.refused(Some(&id(9))), None);
        assert_eq!(ledger.settled(), 0);
        ledger.acknowledged(&id(1));
        ledger.fenced();
        assert_eq!(ledger.tally.acknowledged, 1);
    }
}
