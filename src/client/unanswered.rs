//! The messages under way: handed to a connection, and not yet answered. They stay
//! in the order in which they were first handed over, across connections. Answers
//! nearly always come in that order, so an id is compared with the first message's.

mod ids;
mod ring;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::ids::Ids;
use self::ring::Ring;
use super::outgoing::{Outgoing, Purpose};
use super::subscriptions::Change;
use crate::ids::MsgId;
use crate::limits::CLIENT_DURATION_MAX;
use crate::wire::Message;

#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// By position, which counts up as messages are handed over.
    under_way: Ring<UnderWay>,
    /// The messages that are to be answered.
    due: usize,
    /// Their positions by id, as far as an answer has come out of order.
    ids: Ids,
    next_position: u64,
    /// The positions before this were handed to the connection that stands.
    handed_before: u64,
    /// The number of answers at which one was given up that is owed until the next.
    given_up_at: Option<u64>,
    timeout: Duration,
}

#[derive(Debug)]
struct UnderWay {
    message: Outgoing,
    /// By when it must be answered. Later positions have no earlier deadlines.
    deadline: Instant,
}

impl Unanswered {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            ..Self::default()
        }
    }

    /// Begins with another connection, which was handed nothing.
    pub(super) fn connected(&mut self) {
        self.handed_before = 0;
        self.given_up_at = None;
    }

    /// Notes that the connection was handed everything so far.
    pub(super) fn all_handed_over(&mut self) {
        self.handed_before = self.next_position;
    }

    /// Returns whether the connection owes an answer, after so many in all.
    pub(super) fn is_owed(&self, answers: u64) -> bool {
        let first = self.under_way.first();
        first.is_some_and(|(position, _)| position < self.handed_before)
            || self.given_up_at == Some(answers)
    }

    /// Returns whether no answer is due.
    pub(super) fn is_empty(&self) -> bool {
        self.due == 0
    }

    /// The number of messages of the program under way.
    pub(super) fn messages(&self) -> usize {
        let all = self.under_way.iter();
        all.filter(|(_, it)| it.message.purpose == Purpose::Message)
            .count()
    }

    pub(super) fn first_position(&self) -> Option<u64> {
        let (position, _) = self.under_way.first()?;
        Some(position)
    }

    pub(super) fn next_position(&self) -> u64 {
        self.next_position
    }

    /// Notes a message that is about to be handed over; returns its position.
    pub(super) fn insert(&mut self, mut message: Outgoing, now: Instant) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        message.set_handed(true);
        self.due += usize::from(message.answered_as.is_some());
        let deadline = now.checked_add(self.timeout);
        let deadline = deadline.unwrap_or_else(|| now + CLIENT_DURATION_MAX);
        self.under_way
            .push(position, UnderWay { message, deadline });
        position
    }

    /// The message that an answer to `id` answers.
    pub(super) fn take(&mut self, id: &MsgId) -> Option<Outgoing> {
        let (first_position, first) = self.under_way.first()?;
        let position = match first.message.answered_as == Some(*id) {
            true => first_position,
            false => self.position_of(id)?,
        };
        self.remove(position)
    }

    /// The first position of the id of an answer that came out of order.
    fn position_of(&mut self, id: &MsgId) -> Option<u64> {
        for (position, it) in self.under_way.range(self.ids.before()..self.next_position) {
            self.ids.add(it.message.answered_as, position);
        }
        self.ids.all_before(self.next_position);
        self.ids.first(id)
    }

    /// Notes that all of the message at `position` was handed over. Returns the bytes
    /// of room that are free again: it may never be answered, or need not be kept.
    pub(super) fn handed_over(&mut self, position: u64, keep: bool) -> u32 {
        let Some(UnderWay { message, .. }) = self.under_way.get_mut(position) else {
            return 0;
        };
        if message.answered_as.is_none() {
            return self
                .remove(position)
                .map_or(0, |message| message.queued_bytes);
        }
        if keep || message.is_change() {
            return 0;
        }
        message.frame = Bytes::new();
        std::mem::take(&mut message.queued_bytes)
    }

    /// Takes back the message at `position`, which wasn't handed over in full.
    pub(super) fn take_back(&mut self, position: u64) -> Option<Outgoing> {
        let mut message = self.remove(position)?;
        message.set_handed(false);
        Some(message)
    }

    /// The first message from `from` to before `end` that is to be written again: a
    /// change of the subscriptions, or any other.
    pub(super) fn to_repeat(&self, from: u64, end: u64, change: bool) -> Option<(u64, &Outgoing)> {
        let mut positions = self.under_way.range(from..end);
        let (position, under_way) = positions
            .find(|(_, it)| !it.message.frame.is_empty() && it.message.is_change() == change)?;
        Some((position, &under_way.message))
    }

    /// Gives the changes other ids and frames: no server must take them for known ones.
    pub(super) fn renew_changes(&mut self, renew: impl Fn(&Change) -> Message) {
        for (position, UnderWay { message, .. }) in self.under_way.iter_mut() {
            let Purpose::Change(change) = &message.purpose else {
                continue;
            };
            let renewed = renew(change);
            message.frame = renewed.to_frame();
            let former = message.answered_as.replace(renewed.msg_id);
            if position < self.ids.before() {
                self.ids.remove(former, position);
                self.ids.add(message.answered_as, position);
            }
        }
    }

    /// Drops the client's own messages, which belonged to the connection that ended.
    pub(super) fn drop_own(&mut self) {
        drop(self.take_where(|message| !message.is_the_programs()));
    }

    pub(super) fn take_where(&mut self, meets: impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        let all = self.under_way.iter();
        let positions = all.filter(|(_, it)| meets(&it.message)).map(|(at, _)| at);
        let positions: Vec<u64> = positions.collect();
        (positions.into_iter())
            .filter_map(|position| self.remove(position))
            .collect()
    }

    fn remove(&mut self, position: u64) -> Option<Outgoing> {
        let UnderWay { message, .. } = self.under_way.remove(position)?;
        self.due -= usize::from(message.answered_as.is_some());
        if position < self.ids.before() {
            self.ids.remove(message.answered_as, position);
        }
        Some(message)
    }

    /// The time by which the next answer must come, if one is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, first) = self.under_way.first()?;
        Some(first.deadline)
    }

    /// Takes out the messages with late answers, after so many answers in all.
    pub(super) fn take_late(&mut self, now: Instant, answers: u64) -> Vec<Outgoing> {
        let mut late = Vec::new();
        while let Some((position, first)) = self.under_way.first()
            && first.deadline <= now
        {
            if position < self.handed_before {
                self.given_up_at = Some(answers);
            }
            late.extend(self.remove(position));
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::super::SendError;
    use super::super::outgoing::{Outcome, Waiter};
    use super::*;
    use crate::wire::{Ack, Timestamp};

    fn id(n: u128) -> MsgId {
        uuid::Uuid::from_u128(n).into()
    }

    fn outgoing(n: u128, waiter: Option<Waiter>) -> Outgoing {
        Outgoing {
            frame: Bytes::from(format!("frame {n}")),
            queued_bytes: 10,
            answered_as: Some(id(n)),
            waiter,
            purpose: Purpose::Message,
        }
    }

    fn waiting(table: &mut Unanswered, n: u128, now: Instant) -> oneshot::Receiver<Outcome> {
        let (waiter, outcome) = Waiter::new();
        table.insert(outgoing(n, Some(waiter)), now);
        outcome
    }

    #[test]
    fn messages_sent_under_one_id_are_answered_in_their_order() {
        let mut table = Unanswered::new(Duration::from_secs(30));
        let now = Instant::now();
        let mut outcomes = [0; 3].map(|_| waiting(&mut table, 7, now));
        for turn in 0..3 {
            assert!(!table.is_empty());
            let ack = Ack::new(id(turn), Timestamp::now());
            table.take(&id(7)).unwrap().resolve(Ok(ack.clone()));
            for (index, outcome) in outcomes.iter_mut().enumerate().skip(turn as usize) {
                if index == turn as usize {
                    assert_eq!(outcome.try_recv().unwrap(), Ok(ack.clone()));
                } else {
                    assert!(outcome.try_recv().is_err());
                }
            }
        }
        assert!(table.take(&id(7)).is_none());
        assert!(table.is_empty());
    }

    #[test]
    fn one_of_several_messages_of_an_id_can_be_taken_back() {
        let now = Instant::now();
        for taken in 0..3 {
            let mut table = Unanswered::new(Duration::from_secs(30));
            for _ in 0..3 {
                table.insert(outgoing(7, None), now);
            }
            assert!(table.take_back(taken).is_some());
            assert!(table.take_back(taken).is_none());
            assert!(table.take(&id(7)).is_some());
            assert!(table.take(&id(7)).is_some());
            assert!(table.take(&id(7)).is_none());
            assert!(table.is_empty());
        }
    }

    #[test]
    fn only_answers_that_stayed_out_too_long_are_given_up() {
        let second = Duration::from_secs(1);
        let mut table = Unanswered::new(10 * second);
        let start = Instant::now();
        assert_eq!(table.deadline(), None);
        let mut first = waiting(&mut table, 1, start);
        let mut later = waiting(&mut table, 2, start + second);
        assert_eq!(table.deadline(), Some(start + 10 * second));
        assert_eq!(table.take_late(start + 10 * second, 0).len(), 1);
        assert_eq!(first.try_recv().unwrap(), Err(SendError::FateUnknown));
        assert!(later.try_recv().is_err());
        assert!(!table.is_empty());
        assert_eq!(table.deadline(), Some(start + 11 * second));
    }

    #[test]
    fn what_is_kept_can_be_repeated_in_order_and_nothing_else() {
        let now = Instant::now();
        let mut table = Unanswered::new(Duration::from_secs(30));
        for n in 0..6 {
            table.insert(outgoing(n, None), now);
        }
        assert_eq!(table.handed_over(0, true), 0);
        assert_eq!(table.handed_over(1, false), 10);
        assert!(table.take(&id(3)).is_some());
        let (mut from, mut repeated) = (0, Vec::new());
        while let Some((position, message)) = table.to_repeat(from, 5, false) {
            repeated.push(message.answered_as.unwrap());
            from = position + 1;
        }
        assert_eq!(repeated, [id(0), id(2), id(4)]);
    }

    #[test]
    fn what_is_never_answered_is_done_when_it_is_handed_over() {
        let mut table = Unanswered::new(Duration::from_secs(30));
        let never = Outgoing {
            answered_as: None,
            ..outgoing(1, None)
        };
        let position = table.insert(never, Instant::now());
        assert!(table.is_empty());
        assert_eq!(table.handed_over(position, true), 10);
        assert!(table.take_back(position).is_none());
    }

    #[test]
    fn an_answer_is_owed_once_a_message_was_handed_over() {
        let mut table = Unanswered::new(Duration::from_secs(30));
        let now = Instant::now();
        table.connected();
        assert!(!table.is_owed(0));
        table.insert(outgoing(1, None), now);
        table.insert(outgoing(2, None), now);
        assert!(!table.is_owed(0), "it was not written yet");
        table.all_handed_over();
        table.insert(outgoing(3, None), now);
        for n in [1, 2] {
            assert!(table.is_owed(0));
            assert!(table.take(&id(n)).is_some());
        }
        assert!(!table.is_owed(0), "the third was not written yet");
        table.all_handed_over();
        assert!(table.is_owed(0));
        table.connected();
        assert!(!table.is_owed(0), "nor to this connection");
    }

    #[test]
    fn an_answer_that_was_given_up_is_owed_until_any_comes() {
        let mut table = Unanswered::new(Duration::ZERO);
        let now = Instant::now();
        table.insert(outgoing(1, None), now);
        assert_eq!(table.take_late(now, 4).len(), 1);
        assert!(!table.is_owed(4), "it was not written yet");
        table.insert(outgoing(2, None), now);
        table.all_handed_over();
        assert_eq!(table.take_late(now, 4).len(), 1);
        assert!(table.is_owed(4));
        assert!(!table.is_owed(5));
        table.connected();
        assert!(!table.is_owed(4));
    }

    #[test]
    fn the_longest_timeout_has_a_deadline_too() {
        let mut table = Unanswered::new(Duration::MAX);
        let now = Instant::now();
        table.insert(outgoing(1, None), now);
        assert!(table.deadline().unwrap() > now);
        assert!(table.take_late(now, 0).is_empty());
    }
}
