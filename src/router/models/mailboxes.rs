//! An owner holds several mailboxes at once, while another takes them over.

use loom::thread;

use super::*;
use crate::router::broadcast::BroadcastReceiver;
use crate::router::session::answers::Answers;
use crate::router::session::output::{Output, Progress};

/// Writes all that can be written now.
fn write_all(output: &mut Output, claims: &[Claim], handle: &Arc<ConnectionHandle>) -> String {
    let receiver = BroadcastReceiver::new(handle);
    let mut answers = Answers::new(name("tickwire"), uuid::Uuid::nil());
    let mut written = Vec::new();
    let mut write = |slices: &[std::io::IoSlice<'_>]| {
        slices
            .iter()
            .for_each(|slice| written.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    };
    let (_, progress) = output
        .transmit(&mut answers, claims, &receiver, usize::MAX, &mut write)
        .unwrap();
    assert_eq!(progress, Progress::Idle);
    read(&written)
}

/// Both still have the claim that they lost, behind the one that they took.
#[test]
fn two_who_took_names_from_each_other_do_not_wait_for_one_another() {
    check(4, || {
        let connections = [connection(1), connection(2)];
        let (first, lost_by_b) = mailbox(ROOMY, &connections[1]);
        let (second, lost_by_a) = mailbox(ROOMY, &connections[0]);
        let a = [
            claim(&first, first.take_over(&connections[0]).0),
            claim(&second, lost_by_a),
        ];
        let b = [
            claim(&second, second.take_over(&connections[1]).0),
            claim(&first, lost_by_b),
        ];
        assert!(put(&first, "a", None));
        assert!(put(&second, "b", None));
        let [connection_a, connection_b] = connections;
        let other = thread::spawn(move || write_all(&mut Output::default(), &b, &connection_b));
        assert_eq!(write_all(&mut Output::default(), &a, &connection_a), "a");
        assert_eq!(other.join().unwrap(), "b");
    });
}

/// Both write the mail of two names: one has just lost them, the other took them
/// in the other order. The last message is the other's.
#[test]
fn a_mailbox_that_another_delivers_from_is_not_overslept() {
    check(3, || {
        let (old, new) = (connection(1), connection(2));
        let (first, first_epoch) = mailbox(ROOMY, &old);
        let (second, second_epoch) = mailbox(ROOMY, &old);
        assert!(put(&first, "a", None));
        assert!(put(&second, "b", None));
        let lost = [claim(&first, first_epoch), claim(&second, second_epoch)];
        let loser = thread::spawn({
            let old = Arc::clone(&old);
            move || write_all(&mut Output::default(), &lost, &old)
        });
        let taken = [&second, &first].map(|mailbox| claim(mailbox, mailbox.take_over(&new).0));
        let late = thread::spawn({
            let first = Arc::clone(&first);
            move || assert!(put(&first, "c", None))
        });
        let mut seen = String::new();
        let mut output = Output::default();
        sleep_until(&new, || {
            seen += &write_all(&mut output, &taken, &new);
            seen.contains('c')
        });
        late.join().unwrap();
        seen += &loser.join().unwrap();
        seen += &write_all(&mut output, &taken, &new);
        let mut letters: Vec<char> = seen.chars().collect();
        letters.sort_unstable();
        assert_eq!(letters, ['a', 'b', 'c']);
    });
}
