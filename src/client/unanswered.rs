//! The messages under way: handed to a connection, and not yet answered. They stay
//! in the order in which they were first handed over, across connections. Answers
//! nearly always come in that order, so an id is compared with the first message's.

mod ids;
mod kept;
mod ring;
mod unread;

use std::time::Duration;

use tokio::time::Instant;

use self::ids::Ids;
use self::kept::Kept;
use self::ring::Ring;
use self::unread::UnreadAcks;
use super::batch::Batch;
use super::outgoing::{Outgoing, Purpose};
use super::subscriptions::Change;
use crate::ids::MsgId;
use crate::limits::{CLIENT_DURATION_MAX, READ_BUFFER_BYTES};
use crate::wire::Message;

/// So many bytes may be kept beyond those that may be needed.
const KEPT_BYTES_MIN: usize = 2 * READ_BUFFER_BYTES;

#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// By position, which counts up as messages are handed over.
    under_way: Ring<UnderWay>,
    /// Frames of messages under way, for the next connection.
    kept: Kept,
    /// Bytes of room that the messages under way take.
    queued_bytes: usize,
    /// The messages that are to be answered.
    due: usize,
    /// Their positions by id, as far as an answer has come out of order.
    ids: Ids,
    unread_acks: UnreadAcks,
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

    /// Returns whether acks were handed over that no answer will show to have been read:
    /// no message that is answered stands behind the last.
    pub(super) fn ends_with_acks(&self) -> bool {
        self.unread_acks.end_at(self.next_position)
    }

    /// The number of acks of unknown fate since this was last asked.
    pub(super) fn take_lost_acks(&mut self) -> usize {
        self.unread_acks.take_lost()
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
        match message.answered_as {
            Some(_) => self.due += 1,
            None => self.unread_acks.hand(position),
        }
        self.queued_bytes += message.queued_bytes as usize;
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
        self.unread_acks.answered(position);
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

    /// Takes back the message at `position`, which wasn't handed over in full.
    pub(super) fn take_back(&mut self, position: u64) -> Option<Outgoing> {
        let mut message = self.remove(position)?;
        message.set_handed(false);
        if message.answered_as.is_none() {
            self.unread_acks.take_back();
        }
        Some(message)
    }

    /// Keeps the frames of messages with positions from `first` on, which were written
    /// together, until they are answered. Leaves an empty batch for more.
    pub(super) fn keep(&mut self, first: u64, batch: &mut Batch) {
        self.kept.push(first, batch);
        self.kept.drop_before(self.first_due());
        self.keep_in_proportion();
    }

    /// Holds at most twice the bytes that may be needed, and a little: a message that stays
    /// for long doesn't keep its whole batch.
    #[inline]
    fn keep_in_proportion(&mut self) {
        if self.kept.batch_bytes() > 2 * self.queued_bytes + KEPT_BYTES_MIN {
            let positions = self.under_way.iter().map(|(position, _)| position);
            self.kept.copy_out(positions);
        }
    }

    /// The position of the first message under way, or of the next.
    fn first_due(&self) -> u64 {
        self.first_position().unwrap_or(self.next_position)
    }

    /// The first message from `from` to before `end` that is to be written again, with its
    /// frame: a change of the subscriptions, or any other.
    pub(super) fn to_repeat(&self, from: u64, end: u64, change: bool) -> Option<(u64, &[u8])> {
        let mut positions = self.under_way.range(from..end);
        positions.find_map(|(position, it)| {
            if it.message.is_change() != change {
                return None;
            }
            Some((position, self.kept.frame(position)?))
        })
    }

    /// Gives the changes other ids and frames: no server must take them for known ones.
    pub(super) fn renew_changes(&mut self, renew: impl Fn(&Change) -> Message) {
        for (position, it) in self.under_way.iter_mut() {
            let Purpose::Change(change) = &it.message.purpose else {
                continue;
            };
            let renewed = renew(change);
            self.kept.put(position, &renewed.to_frame());
            let former = it.message.answered_as.replace(renewed.msg_id);
            if position < self.ids.before() {
                self.ids.remove(former, position);
                self.ids.add(it.message.answered_as, position);
            }
        }
    }

    /// Drops the client's own messages, which belonged to the connection that ended. It may
    /// not have read the acks that it was handed.
    pub(super) fn connection_lost(&mut self) {
        drop(self.take_where(|message| !message.is_the_programs()));
        self.unread_acks.connection_lost();
    }

    pub(super) fn take_where(&mut self, meets: impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        let all = self.under_way.iter();
        let positions = all.filter(|(_, it)| meets(&it.message)).map(|(at, _)| at);
        let positions: Vec<u64> = positions.collect();
        (positions.into_iter())
            .filter_map(|position| self.remove(position))
            .collect()
    }

    pub(super) fn remove(&mut self, position: u64) -> Option<Outgoing> {
        let UnderWay { message, .. } = self.under_way.remove(position)?;
        self.due -= usize::from(message.answered_as.is_some());
        self.queued_bytes -= message.queued_bytes as usize;
        if position < self.ids.before() {
            self.ids.remove(message.answered_as, position);
        }
        self.kept.remove(position, self.first_due());
        self.keep_in_proportion();
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
            self.unread_acks.given_up(position);
            late.extend(self.remove(position));
        }
        late
    }
}

#[cfg(test)]
mod tests;
