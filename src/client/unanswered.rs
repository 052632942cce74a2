//! The messages that are under way: handed to a connection, and not yet
//! answered. They stay in the order in which they were first handed over,
//! across connections.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::outgoing::{Outgoing, Purpose};
use super::subscriptions::Change;
use crate::ids::MsgId;
use crate::limits::CLIENT_DURATION_MAX;

/// The messages under way.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// By position, which counts up as messages are handed over.
    under_way: BTreeMap<u64, UnderWay>,
    /// Where the messages stand that are answered under an id.
    positions: HashMap<MsgId, Positions>,
    next_position: u64,
    /// The positions before this were handed to the connection that stands.
    handed_before: u64,
    /// How many answers had come when one was given up that the connection
    /// still owes: until the next answer it owes that one too.
    given_up_at: Option<u64>,
    timeout: Duration,
}

#[derive(Debug)]
struct UnderWay {
    message: Outgoing,
    /// When its answer will have stayed out for too long. Later positions have no
    /// earlier deadlines.
    deadline: Instant,
}

/// Where the messages of one id stand: nearly always one. Answers come in the
/// order of the messages.
#[derive(Debug)]
struct Positions {
    first: u64,
    later: VecDeque<u64>,
}

impl Unanswered {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            under_way: BTreeMap::new(),
            positions: HashMap::new(),
            next_position: 0,
            handed_before: 0,
            given_up_at: None,
            timeout,
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

    /// Returns whether the connection was handed a message and has not answered
    /// it, after so many answers in all.
    pub(super) fn is_owed(&self, answers: u64) -> bool {
        let first = self.under_way.first_key_value();
        first.is_some_and(|(position, _)| *position < self.handed_before)
            || self.given_up_at == Some(answers)
    }

    /// Returns whether no answer is due.
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Returns how many messages are under way, those of the client itself left
    /// out.
    pub(super) fn messages(&self) -> usize {
        let all = self.under_way.values();
        all.filter(|it| it.message.purpose == Purpose::Message)
            .count()
    }

    /// The position of the first message under way.
    pub(super) fn first_position(&self) -> Option<u64> {
        let (position, _) = self.under_way.first_key_value()?;
        Some(*position)
    }

    /// The position that the next message will have.
    pub(super) fn next_position(&self) -> u64 {
        self.next_position
    }

    /// Notes a message that is about to be handed to the connection; returns
    /// its position.
    pub(super) fn insert(&mut self, mut message: Outgoing, now: Instant) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        message.set_handed(true);
        add_position(&mut self.positions, message.answered_as, position);
        let deadline = later(now, self.timeout);
        self.under_way
            .insert(position, UnderWay { message, deadline });
        position
    }

    /// The message that an answer to `id` answers.
    pub(super) fn take(&mut self, id: &MsgId) -> Option<Outgoing> {
        let position = self.positions.get(id)?.first;
        self.remove(position)
    }

    /// Notes that all of the message at `position` was handed over. If it will
    /// never be answered, or need not be kept for writing it again, this gives
    /// how many bytes of room are free again.
    pub(super) fn handed_over(&mut self, position: u64, keep: bool) -> u32 {
        let Some(UnderWay { message, .. }) = self.under_way.get_mut(&position) else {
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

    /// Takes the message at `position` back, of which the server can't have got
    /// all.
    pub(super) fn take_back(&mut self, position: u64) -> Option<Outgoing> {
        let mut message = self.remove(position)?;
        message.set_handed(false);
        Some(message)
    }

    /// The first message at `from` or behind it, and before `end`, that is to
    /// be written again: a change of the subscriptions, or any other.
    pub(super) fn to_repeat(&self, from: u64, end: u64, change: bool) -> Option<(u64, &Outgoing)> {
        let mut positions = self.under_way.range(from..end);
        let (position, under_way) = positions
            .find(|(_, it)| !it.message.frame.is_empty() && it.message.is_change() == change)?;
        Some((*position, &under_way.message))
    }

    /// Gives the changes of the subscriptions other ids and frames: no server
    /// must take them for ones that it has seen.
    pub(super) fn renew_changes(&mut self, renew: impl Fn(&Change) -> (MsgId, Bytes)) {
        for (position, UnderWay { message, .. }) in &mut self.under_way {
            let Purpose::Change(change) = &message.purpose else {
                continue;
            };
            let (id, frame) = renew(change);
            message.frame = frame;
            let former = message.answered_as.replace(id);
            remove_position(&mut self.positions, former, *position);
            add_position(&mut self.positions, Some(id), *position);
        }
    }

    /// Takes out the client's own messages, which belonged to the connection
    /// that ended.
    pub(super) fn take_the_clients_own(&mut self) -> Vec<Outgoing> {
        self.take_where(|message| !message.is_the_programs())
    }

    /// Takes out the messages that must not be written again: all but changes
    /// of the subscriptions.
    pub(super) fn take_messages(&mut self) -> Vec<Outgoing> {
        self.take_where(|message| !message.is_change())
    }

    /// Takes out all messages.
    pub(super) fn take_all(&mut self) -> Vec<Outgoing> {
        self.take_where(|_| true)
    }

    /// Takes the message at `position` out.
    fn remove(&mut self, position: u64) -> Option<Outgoing> {
        let UnderWay { message, .. } = self.under_way.remove(&position)?;
        remove_position(&mut self.positions, message.answered_as, position);
        Some(message)
    }

    /// Returns the time at which the next answer will have stayed out for too
    /// long; `None` if no answer is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (_, first) = self.under_way.first_key_value()?;
        Some(first.deadline)
    }

    /// Takes out the messages whose answers stayed out for too long, after so
    /// many answers in all.
    pub(super) fn take_late(&mut self, now: Instant, answers: u64) -> Vec<Outgoing> {
        let mut late = Vec::new();
        while let Some((&position, first)) = self.under_way.first_key_value()
            && first.deadline <= now
        {
            if position < self.handed_before {
                self.given_up_at = Some(answers);
            }
            late.extend(self.remove(position));
        }
        late
    }

    fn take_where(&mut self, which: impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        let positions: Vec<u64> = self
            .under_way
            .iter()
            .filter(|(_, it)| which(&it.message))
            .map(|(position, _)| *position)
            .collect();
        let removed = positions
            .into_iter()
            .filter_map(|position| self.remove(position));
        removed.collect()
    }
}

/// `now` and so much later, as far as there is such a time.
fn later(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration)
        .unwrap_or_else(|| now + CLIENT_DURATION_MAX)
}

fn add_position(all: &mut HashMap<MsgId, Positions>, id: Option<MsgId>, position: u64) {
    match id.map(|id| all.entry(id)) {
        None => {}
        Some(Entry::Occupied(positions)) => positions.into_mut().later.push_back(position),
        Some(Entry::Vacant(vacant)) => {
            vacant.insert(Positions {
                first: position,
                later: VecDeque::new(),
            });
        }
    }
}

fn remove_position(all: &mut HashMap<MsgId, Positions>, id: Option<MsgId>, position: u64) {
    let Some(Entry::Occupied(mut positions)) = id.map(|id| all.entry(id)) else {
        return;
    };
    if positions.get().first != position {
        positions.get_mut().later.retain(|later| *later != position);
    } else if let Some(next) = positions.get_mut().later.pop_front() {
        positions.get_mut().first = next;
    } else {
        positions.remove();
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
