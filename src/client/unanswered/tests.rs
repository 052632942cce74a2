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
    // One that is not kept lies between two batches that are.
    for first in [0, 4] {
        let mut batch = Batch::default();
        for n in first..first + 3 {
            let frame = format!("frame {n}").into_bytes();
            batch.put_copy(outgoing(n.into(), None), &frame);
            table.insert(outgoing(n.into(), None), now);
        }
        table.keep(first, &mut batch);
        assert!(batch.is_empty());
        table.insert(outgoing(3, None), now);
    }
    assert!(table.take(&id(1)).is_some());
    let (mut from, mut repeated) = (0, Vec::new());
    while let Some((position, frame)) = table.to_repeat(from, 6, false) {
        repeated.push(std::str::from_utf8(frame).unwrap());
        from = position + 1;
    }
    assert_eq!(repeated, ["frame 0", "frame 2", "frame 4", "frame 5"]);
}

#[test]
fn a_message_that_stays_does_not_keep_the_frames_beside_it() {
    const FRAME: usize = 1_000;
    let now = Instant::now();
    let mut table = Unanswered::new(Duration::from_secs(30));
    let mut staying = Vec::new();
    for round in 0..200 {
        let mut batch = Batch::default();
        let first = table.next_position();
        for n in 0..60_u8 {
            let id = u128::from(n) + 1_000 * round;
            let message = || Outgoing {
                queued_bytes: FRAME as u32,
                ..outgoing(id, None)
            };
            batch.put_copy(message(), &[n; FRAME]);
            table.insert(message(), now);
        }
        table.keep(first, &mut batch);
        staying.push(first + 20);
        for n in (0..60).filter(|n| *n != 20) {
            assert!(table.take(&id(n + 1_000 * round)).is_some());
        }
        let needed = staying.len() * FRAME;
        assert!(table.kept.batch_bytes() <= 2 * needed + KEPT_BYTES_MIN);
    }
    let mut from = 0;
    for position in staying {
        let found = table.to_repeat(from, u64::MAX, false);
        assert_eq!(found, Some((position, &[20; FRAME][..])));
        from = position + 1;
    }
    assert_eq!(table.to_repeat(from, u64::MAX, false), None);
}

#[test]
fn what_is_never_answered_is_not_waited_for() {
    let mut table = Unanswered::new(Duration::from_secs(30));
    let never = Outgoing {
        answered_as: None,
        ..outgoing(1, None)
    };
    let position = table.insert(never, Instant::now());
    assert!(table.is_empty());
    assert!(table.remove(position).is_some());
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
