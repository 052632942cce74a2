//! A sleeping connection is woken for everything that is queued for it, whoever
//! owns the name by then.

use loom::thread;

use super::*;
use crate::router::broadcast::BroadcastReceiver;

/// Something that an owner is to hear of.
#[derive(Clone, Copy)]
enum Put {
    Message,
    DropNotice,
}

impl Put {
    /// Does the part that a change of owner may refuse.
    fn begin(self, mailbox: &Mailbox) {
        match self {
            Self::Message => {
                let granted = mailbox.reserve(&[FRAME as u32], FRAME, QueuePart::Ordinary);
                assert_eq!(granted, Ok(1));
            }
            Self::DropNotice => {}
        }
    }

    /// Does the other part.
    fn finish(self, mailbox: &Mailbox) {
        match self {
            Self::Message => mailbox.enqueue(entry("1", None), FRAME),
            Self::DropNotice => mailbox.note_dropped(notice()),
        }
    }
}

#[test]
fn an_owner_hears_of_what_two_producers_queue() {
    check(3, || {
        let owner = connection(1);
        let (mailbox, epoch) = mailbox(ROOMY, &owner);
        let producers = ["a", "b"].map(|letter| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || assert!(put(&mailbox, letter, None)))
        });
        let mut seen = String::new();
        sleep_until(&owner, || {
            seen += &take_all(&mailbox, epoch);
            seen.len() == 2
        });
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn an_owner_hears_of_a_drop() {
    check(4, || {
        let owner = connection(1);
        let (mailbox, epoch) = mailbox(ROOMY, &owner);
        let producer = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || Put::DropNotice.finish(&mailbox)
        });
        sleep_until(&owner, || take_all(&mailbox, epoch) == "1");
        producer.join().unwrap();
    });
}

/// The old owner looks no more; the new one must find the message, or be woken.
fn hears_after_change(put: Put, change: fn(&Arc<Mailbox>, &Arc<ConnectionHandle>) -> Claim) {
    check(4, move || {
        let (old, new) = (connection(1), connection(2));
        let (mailbox, _) = mailbox(ROOMY, &old);
        put.begin(&mailbox);
        let producer = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || put.finish(&mailbox)
        });
        let claim = change(&mailbox, &new);
        sleep_until(&new, || {
            take_of(&claim).is_some_and(|run| read(&run) == "1")
        });
        producer.join().unwrap();
    });
}

fn take_over(mailbox: &Arc<Mailbox>, new: &Arc<ConnectionHandle>) -> Claim {
    claim(mailbox, mailbox.take_over(new).0)
}

fn let_go_and_claim(mailbox: &Arc<Mailbox>, new: &Arc<ConnectionHandle>) -> Claim {
    mailbox.release_owner();
    take_over(mailbox, new)
}

fn let_go_and_join(mailbox: &Arc<Mailbox>, new: &Arc<ConnectionHandle>) -> Claim {
    mailbox.release_owner();
    join(mailbox, new)
}

#[test]
fn a_new_owner_hears_of_a_message_that_was_queued_around_the_takeover() {
    hears_after_change(Put::Message, take_over);
}

#[test]
fn a_new_owner_hears_of_a_drop_that_was_noted_around_the_takeover() {
    hears_after_change(Put::DropNotice, take_over);
}

#[test]
fn the_next_owner_hears_of_a_message_that_was_queued_while_the_name_had_none() {
    hears_after_change(Put::Message, let_go_and_claim);
}

#[test]
fn the_next_owner_hears_of_a_drop_that_was_noted_while_the_name_had_none() {
    hears_after_change(Put::DropNotice, let_go_and_claim);
}

#[test]
fn a_group_hears_of_a_message_that_was_queued_before_it_was_there() {
    hears_after_change(Put::Message, let_go_and_join);
}

#[test]
fn a_group_hears_of_a_drop_that_was_noted_before_it_was_there() {
    hears_after_change(Put::DropNotice, let_go_and_join);
}

#[test]
fn a_connection_hears_of_broadcasts() {
    check(3, || {
        let receiver = Arc::new(BroadcastReceiver::new(&connection(1)));
        let producers = ["a", "b"].map(|letter| {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || {
                let granted = receiver.reserve(&[FRAME as u32], FRAME, ROOMY);
                assert_eq!(granted, Ok(1));
                receiver.broadcast(entry(letter, None), FRAME);
            })
        });
        let mut seen = 0;
        sleep_until(&receiver.handle, || {
            while let Some(entry) = receiver.queue.pop() {
                receiver.release(entry.messages as usize, entry.charge);
                seen += 1;
            }
            seen == 2
        });
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn a_connection_hears_of_broadcasts_that_it_missed() {
    check(4, || {
        let receiver = Arc::new(BroadcastReceiver::new(&connection(1)));
        let producer = thread::spawn({
            let receiver = Arc::clone(&receiver);
            move || receiver.miss_broadcasts(notice())
        });
        sleep_until(&receiver.handle, || {
            let report = receiver.queue.pop();
            report.is_some_and(|report| read(&report.bytes) == "1")
        });
        producer.join().unwrap();
    });
}

#[test]
fn an_old_owner_hears_that_its_name_is_gone() {
    check(3, || {
        let (old, new) = (connection(1), connection(2));
        let (mailbox, epoch) = mailbox(ROOMY, &old);
        let producer = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(put(&mailbox, "a", None))
        });
        let taker = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || drop(mailbox.take_over(&new))
        });
        sleep_until(&old, || {
            let _ = take(&mailbox, epoch);
            !old.take_reports().is_empty()
        });
        producer.join().unwrap();
        taker.join().unwrap();
    });
}
