//! An accepted message is delivered, kept for the next owner, or swept and
//! reported: one of these, once.

use std::io;

use loom::thread;

use super::*;
use crate::router::broadcast::BroadcastReceiver;
use crate::router::connection::Report;
use crate::router::mailbox::{NotOwner, Slices};

/// The number of messages that `sender` is told were given up.
fn given_up(sender: &ConnectionHandle) -> usize {
    let reports = sender.take_reports();
    let counts = reports.into_iter().map(|report| match report {
        Report::Undelivered { count, .. } => count as usize,
        Report::NameTakenOver(_) => panic!("the sender owns no name"),
        Report::Stored { .. } => panic!("no name is durable"),
    });
    counts.sum()
}

/// Queues each letter as a frame from a thread of its own, which returns whether
/// it was accepted.
fn producers<const N: usize>(
    letters: [&'static str; N],
    mailbox: &Arc<Mailbox>,
    sender: &Arc<ConnectionHandle>,
) -> [thread::JoinHandle<bool>; N] {
    letters.map(|letter| {
        let (mailbox, sender) = (Arc::clone(mailbox), Arc::clone(sender));
        thread::spawn(move || put(&mailbox, letter, Some(&sender)))
    })
}

fn accepted<const N: usize>(producers: [thread::JoinHandle<bool>; N]) -> usize {
    let accepted = producers.map(|producer| usize::from(producer.join().unwrap()));
    accepted.iter().sum()
}

#[test]
fn a_mailbox_that_ends_reports_what_it_had_accepted() {
    check(3, || {
        let sender = connection(1);
        let (mailbox, _) = mailbox(ROOMY, &connection(2));
        let producers = producers(["a", "b"], &mailbox, &sender);
        mailbox.release_owner();
        mailbox.end();
        let accepted = accepted(producers);
        assert_eq!(given_up(&sender), accepted);
        assert_eq!(mailbox.kept_bytes(), 0);
        assert!(!mailbox.has_mail());
    });
}

/// As the registry does it: a mailbox that holds something is kept for the next
/// owner, an empty one ends.
#[test]
fn what_a_leaving_owner_did_not_take_is_kept_or_reported() {
    check(3, || {
        let (sender, old, new) = (connection(1), connection(2), connection(3));
        let (mailbox, epoch) = mailbox(ROOMY, &old);
        let producers = producers(["a", "b"], &mailbox, &sender);
        let run = take(&mailbox, epoch);
        let mut delivered = run.map_or_else(String::new, |run| read(&run));
        let kept = mailbox.release_owner();
        let epoch = if kept {
            Some(mailbox.take_over(&new).0)
        } else {
            mailbox.end();
            None
        };
        let accepted = accepted(producers);
        if let Some(epoch) = epoch {
            delivered += &take_all(&mailbox, epoch);
        }
        let given_up = given_up(&sender);
        assert!(!kept || given_up == 0);
        assert_eq!(delivered.len() + given_up, accepted);
        assert_eq!(mailbox.kept_bytes(), 0);
    });
}

/// The owner leaves, another one comes and leaves, and the mailbox ends, with a
/// producer that may be anywhere in between.
#[test]
fn a_mailbox_that_was_open_again_before_it_ended_loses_nothing() {
    check(4, || {
        let (sender, new) = (connection(1), connection(3));
        let (mailbox, _) = mailbox(ROOMY, &connection(2));
        let producers = producers(["a"], &mailbox, &sender);
        mailbox.release_owner();
        let (epoch, old) = mailbox.take_over(&new);
        assert!(old.is_none());
        let delivered = take_all(&mailbox, epoch).len();
        mailbox.release_owner();
        mailbox.end();
        let accepted = accepted(producers);
        assert_eq!(delivered + given_up(&sender), accepted);
        assert_eq!(mailbox.kept_bytes(), 0);
    });
}

#[test]
fn two_owners_share_what_is_queued_around_a_takeover() {
    check(3, || {
        let (sender, old, new) = (connection(1), connection(2), connection(3));
        let (mailbox, first) = mailbox(ROOMY, &old);
        let producers = producers(["a"], &mailbox, &sender);
        let owner = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || take_all(&mailbox, first)
        });
        let (epoch, _) = mailbox.take_over(&new);
        let mut delivered = take_all(&mailbox, epoch);
        assert_eq!(accepted(producers), 1, "the name was owned throughout");
        delivered += &owner.join().unwrap();
        delivered += &take_all(&mailbox, epoch);
        assert_eq!(delivered, "a");
        assert_eq!(old.take_reports().len(), 1);
        assert_eq!(mailbox.kept_bytes(), 0);
    });
}

/// The socket of the old owner takes half a frame at a time.
#[test]
fn a_frame_that_is_begun_when_the_name_is_taken_over_arrives_once() {
    check(3, || {
        let (old, new) = (connection(2), connection(3));
        let (mailbox, first) = mailbox(ROOMY, &old);
        let frames = [FRAME as u32; 2];
        assert_eq!(
            mailbox.reserve(&frames, 2 * FRAME, QueuePart::Ordinary),
            Ok(2)
        );
        mailbox.enqueue(entry("ab", None), 2 * FRAME);
        let owner = thread::spawn({
            let (mailbox, old) = (Arc::clone(&mailbox), Arc::clone(&old));
            move || {
                let mut written = Vec::new();
                let mut write = || -> Result<(), NotOwner> {
                    let mut delivery = mailbox.deliver(first)?;
                    let mut slices = Slices::default();
                    delivery.in_flight.offer(&mut slices, usize::MAX);
                    let next: Option<&io::IoSlice<'_>> = slices.0.first();
                    let part = next.map_or(&[][..], |next| &next[..next.len().min(3)]);
                    written.extend_from_slice(part);
                    let count = part.len();
                    drop(slices);
                    delivery.advance(count);
                    Ok(())
                };
                let lost = write().and_then(|()| write()).is_err();
                if lost && let Some(rest) = old.take_unfinished() {
                    written.extend_from_slice(&rest);
                }
                written
            }
        });
        let (epoch, _) = mailbox.take_over(&new);
        let mut written = owner.join().unwrap();
        if let Some(rest) = old.take_unfinished() {
            written.extend_from_slice(&rest);
        }
        // That frame goes whole to the new owner as well.
        let whole = written.len() / FRAME;
        assert_eq!(written.len() % FRAME, 0);
        let delivered = take_all(&mailbox, epoch);
        assert!("ab".ends_with(&delivered));
        assert!(whole + delivered.len() >= 2);
        assert_eq!(mailbox.kept_bytes(), 0);
        assert!(!mailbox.has_mail());
    });
}

#[test]
fn broadcasts_to_a_connection_that_closes_leave_nothing_behind() {
    check(4, || {
        let receiver = Arc::new(BroadcastReceiver::new(&connection(1)));
        let producers = ["a", "b"].map(|letter| {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || {
                if receiver.reserve(&[FRAME as u32], FRAME, ROOMY) == Ok(1) {
                    receiver.broadcast(entry(letter, None), FRAME);
                }
            })
        });
        receiver.close_broadcasts();
        for producer in producers {
            producer.join().unwrap();
        }
        assert!(receiver.queue.load().is_empty());
        assert!(receiver.queue.pop().is_none());
    });
}
