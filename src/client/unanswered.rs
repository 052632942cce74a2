//! The messages that wait for their answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::SendError;
use crate::ids::MsgId;
use crate::wire::Ack;

type Outcome = Result<Ack, SendError>;

/// Who waits for the outcome of a send, which it gets exactly once: a waiter
/// that is dropped unanswered says what it knows.
#[derive(Debug)]
pub(super) struct Waiter {
    outcome: Option<oneshot::Sender<Outcome>>,
    /// Whether the message has been handed to the connection.
    written: bool,
}

impl Waiter {
    pub(super) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (outcome, receiver) = oneshot::channel();
        let waiter = Self {
            outcome: Some(outcome),
            written: false,
        };
        (waiter, receiver)
    }

    pub(super) fn resolve(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(sender) = self.outcome.take() {
            // An error is a dropped future: it has given the answer up.
            let _ = sender.send(outcome);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.tell(Err(if self.written {
            SendError::FateUnknown
        } else {
            SendError::Closed
        }));
    }
}

/// The messages that were handed to the connection and are not yet answered.
#[derive(Debug)]
pub(super) struct Unanswered {
    due: HashMap<MsgId, Due>,
    count: usize,
    timeout: Duration,
}

/// An answer that is due.
#[derive(Debug)]
pub(super) struct Due {
    waiter: Option<Waiter>,
    deadline: Instant,
    /// Whether it takes room among the messages under way.
    pub(super) takes_room: bool,
    /// The next message that was sent under the same id. Answers come in the
    /// order of the messages.
    next: Option<Box<Due>>,
}

impl Due {
    /// Gives the outcome to who waits for it; says whether anybody does.
    pub(super) fn resolve(self, outcome: Outcome) -> bool {
        match self.waiter {
            Some(waiter) => {
                waiter.resolve(outcome);
                true
            }
            None => false,
        }
    }
}

impl Unanswered {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            due: HashMap::new(),
            count: 0,
            timeout,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Notes a message that is about to be written.
    pub(super) fn insert(
        &mut self,
        id: MsgId,
        mut waiter: Option<Waiter>,
        takes_room: bool,
        now: Instant,
    ) {
        if let Some(waiter) = &mut waiter {
            waiter.written = true;
        }
        let due = Due {
            waiter,
            deadline: now + self.timeout,
            takes_room,
            next: None,
        };
        self.count += 1;
        match self.due.entry(id) {
            Entry::Vacant(place) => {
                place.insert(due);
            }
            Entry::Occupied(place) => {
                let mut last = place.into_mut();
                while last.next.is_some() {
                    last = last.next.as_mut().expect("asked in the line above");
                }
                last.next = Some(Box::new(due));
            }
        }
    }

    /// The message that is answered by an answer to `id`.
    pub(super) fn take(&mut self, id: &MsgId) -> Option<Due> {
        let Entry::Occupied(mut place) = self.due.entry(*id) else {
            return None;
        };
        self.count -= 1;
        let next = place.get_mut().next.take();
        Some(match next {
            Some(next) => place.insert(*next),
            None => place.remove(),
        })
    }

    /// When the next answer will have stayed out for too long; if none is due,
    /// the earliest time at which one could.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        self.due
            .values()
            .map(|due| due.deadline)
            .min()
            .unwrap_or(now + self.timeout)
    }

    /// Gives up the answers that stayed out for too long; says how many
    /// messages no longer take room.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let late: Vec<MsgId> = self
            .due
            .iter()
            .filter(|(_, due)| due.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        late.iter()
            .filter_map(|id| self.take(id))
            .filter(|due| due.takes_room)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Timestamp;

    fn id(n: u128) -> MsgId {
        uuid::Uuid::from_u128(n).into()
    }

    fn waiting(table: &mut Unanswered, n: u128, now: Instant) -> oneshot::Receiver<Outcome> {
        let (waiter, outcome) = Waiter::new();
        table.insert(id(n), Some(waiter), true, now);
        outcome
    }

    #[test]
    fn a_waiter_that_is_dropped_says_whether_its_message_was_written() {
        let (waiter, mut outcome) = Waiter::new();
        drop(waiter);
        assert_eq!(outcome.try_recv().unwrap(), Err(SendError::Closed));

        let mut table = Unanswered::new(Duration::from_secs(30));
        let mut outcome = waiting(&mut table, 1, Instant::now());
        drop(table);
        assert_eq!(outcome.try_recv().unwrap(), Err(SendError::FateUnknown));
    }

    #[test]
    fn messages_sent_under_one_id_are_answered_in_their_order() {
        let mut table = Unanswered::new(Duration::from_secs(30));
        let now = Instant::now();
        let mut outcomes = [0; 3].map(|_| waiting(&mut table, 7, now));
        assert_eq!(table.len(), 3);
        for turn in 0..3 {
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
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn only_answers_that_stayed_out_too_long_are_given_up() {
        let second = Duration::from_secs(1);
        let mut table = Unanswered::new(10 * second);
        let start = Instant::now();
        assert_eq!(table.deadline(start), start + 10 * second);
        let mut first = waiting(&mut table, 1, start);
        let mut later = waiting(&mut table, 2, start + second);
        table.insert(id(3), None, false, start);
        assert_eq!(table.deadline(start + second), start + 10 * second);
        assert_eq!(table.expire(start + 10 * second), 1);
        assert_eq!(first.try_recv().unwrap(), Err(SendError::FateUnknown));
        assert!(later.try_recv().is_err());
        assert_eq!(table.len(), 1);
        assert_eq!(table.deadline(start), start + 11 * second);
    }
}
