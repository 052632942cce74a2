//! Who sleeps is woken for whatever is put before it, whoever owns the name by
//! then.

use loom::thread;

use super::*;

/// What is put before an owner.
#[derive(Clone, Copy)]
enum Put {
    Message,
    Gap,
}

impl Put {
    /// Does the part that a change of owner may refuse.
    fn begin(self, outbox: &Outbox) {
        match self {
            Self::Message => {
                let granted = outbox.reserve(&[FRAME as u32], FRAME, Share::Ordinary);
                assert_eq!(granted, Ok(1));
            }
            Self::Gap => {}
        }
    }

    /// Does the rest.
    fn finish(self, outbox: &Outbox) {
        match self {
            Self::Message => outbox.enqueue(entry("1", None), FRAME),
            Self::Gap => outbox.note_gap(gap()),
        }
    }
}

#[test]
fn an_owner_hears_of_what_two_producers_queue() {
    check(3, || {
        let owner = peer(1);
        let (outbox, epoch) = outbox(ROOMY, &owner);
        let producers = ["a", "b"].map(|letter| {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || assert!(put(&outbox, letter, None)))
        });
        let mut seen = String::new();
        sleep_until(&owner, || {
            seen += &take_all(&outbox, epoch);
            seen.len() == 2
        });
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn an_owner_hears_of_a_gap() {
    check(4, || {
        let owner = peer(1);
        let (outbox, epoch) = outbox(ROOMY, &owner);
        let producer = thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || Put::Gap.finish(&outbox)
        });
        sleep_until(&owner, || take_all(&outbox, epoch) == "1");
        producer.join().unwrap();
    });
}

/// The old owner looks no more; the new one must find what was put, or be woken.
fn hears_after_change(put: Put, change: fn(&Arc<Outbox>, &Arc<Peer>) -> Claim) {
    check(4, move || {
        let (old, new) = (peer(1), peer(2));
        let (outbox, _) = outbox(ROOMY, &old);
        put.begin(&outbox);
        let producer = thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || put.finish(&outbox)
        });
        let claim = change(&outbox, &new);
        sleep_until(&new, || claim.take().is_some_and(|run| read(&run) == "1"));
        producer.join().unwrap();
    });
}

fn take_over(outbox: &Arc<Outbox>, new: &Arc<Peer>) -> Claim {
    claim(outbox, outbox.take_over(new).0)
}

fn let_go_and_claim(outbox: &Arc<Outbox>, new: &Arc<Peer>) -> Claim {
    outbox.let_go();
    take_over(outbox, new)
}

fn let_go_and_join(outbox: &Arc<Outbox>, new: &Arc<Peer>) -> Claim {
    outbox.let_go();
    join(outbox, new)
}

#[test]
fn a_new_owner_hears_of_a_message_that_was_queued_around_the_takeover() {
    hears_after_change(Put::Message, take_over);
}

#[test]
fn a_new_owner_hears_of_a_gap_that_was_noted_around_the_takeover() {
    hears_after_change(Put::Gap, take_over);
}

#[test]
fn the_next_owner_hears_of_a_message_that_was_queued_while_the_name_had_none() {
    hears_after_change(Put::Message, let_go_and_claim);
}

#[test]
fn the_next_owner_hears_of_a_gap_that_was_noted_while_the_name_had_none() {
    hears_after_change(Put::Gap, let_go_and_claim);
}

#[test]
fn a_group_hears_of_a_message_that_was_queued_before_it_was_there() {
    hears_after_change(Put::Message, let_go_and_join);
}

#[test]
fn a_group_hears_of_a_gap_that_was_noted_before_it_was_there() {
    hears_after_change(Put::Gap, let_go_and_join);
}

#[test]
fn a_connection_hears_of_broadcasts() {
    check(3, || {
        let receiver = peer(1);
        let producers = ["a", "b"].map(|letter| {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || {
                let granted = receiver.broadcasts.reserve(&[FRAME as u32], FRAME, ROOMY);
                assert_eq!(granted, Ok(1));
                receiver.broadcast(entry(letter, None), FRAME);
            })
        });
        let mut seen = 0;
        sleep_until(&receiver, || {
            while let Some(entry) = receiver.broadcasts.pop() {
                (receiver.broadcasts).release(entry.frames as usize, entry.charge);
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
        let receiver = peer(1);
        let producer = thread::spawn({
            let receiver = Arc::clone(&receiver);
            move || receiver.miss_broadcasts(gap())
        });
        sleep_until(&receiver, || {
            let report = receiver.broadcasts.pop();
            report.is_some_and(|report| read(&report.bytes) == "1")
        });
        producer.join().unwrap();
    });
}

#[test]
fn an_old_owner_hears_that_its_name_is_gone() {
    check(3, || {
        let (old, new) = (peer(1), peer(2));
        let (outbox, epoch) = outbox(ROOMY, &old);
        let producer = thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || assert!(put(&outbox, "a", None))
        });
        let taker = thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || drop(outbox.take_over(&new))
        });
        sleep_until(&old, || {
            let _ = outbox.take(epoch);
            !old.take_reports().is_empty()
        });
        producer.join().unwrap();
        taker.join().unwrap();
    });
}
