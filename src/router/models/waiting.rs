//! A paused sender is woken when there is room, or no owner.

use loom::thread;

use super::*;

/// Full, but for the reserve, with what [`full`] queues.
const SMALL: Capacity = Capacity {
    bytes: 40,
    messages: 100,
};

/// A mailbox with 35 bytes for ordinary messages, all used.
fn full(owner: &Arc<ConnectionHandle>) -> (Arc<Mailbox>, Epoch) {
    let (mailbox, epoch) = mailbox(SMALL, owner);
    let frames = [FRAME as u32; 7];
    assert_eq!(
        mailbox.reserve(&frames, 7 * FRAME, QueuePart::Ordinary),
        Ok(7)
    );
    mailbox.enqueue(entry("abcdefg", None), 7 * FRAME);
    (mailbox, epoch)
}

/// Sends an event that doesn't fit as a session does: waits, then looks, and
/// hands it in again if there is room. Returns whether it was accepted.
fn send(mailbox: &Mailbox, id: u64) -> bool {
    let id = ConnectionId(id);
    let accepted = loom::future::block_on(poll_fn(|cx| {
        loop {
            match mailbox.reserve(&[FRAME as u32], FRAME, QueuePart::Ordinary) {
                Ok(1) => return Poll::Ready(true),
                Ok(_) => {}
                Err(_) => return Poll::Ready(false),
            }
            mailbox.wait_for_room(id, cx.waker());
            if !mailbox.has_room(FRAME as u32) {
                return Poll::Pending;
            }
        }
    }));
    mailbox.stop_waiting(id);
    if accepted {
        mailbox.enqueue(entry("z", None), FRAME);
    }
    accepted
}

fn sender(mailbox: &Arc<Mailbox>, id: u64) -> thread::JoinHandle<bool> {
    let mailbox = Arc::clone(mailbox);
    thread::spawn(move || send(&mailbox, id))
}

#[test]
fn room_wakes_a_paused_sender() {
    check(4, || {
        let (mailbox, epoch) = full(&connection(1));
        let sender = sender(&mailbox, 2);
        assert!(take(&mailbox, epoch).is_some());
        assert!(sender.join().unwrap());
        assert_eq!(take_all(&mailbox, epoch), "z");
    });
}

#[test]
fn room_wakes_all_paused_senders() {
    check(2, || {
        let (mailbox, epoch) = full(&connection(1));
        let senders = [2, 3].map(|id| sender(&mailbox, id));
        assert!(take(&mailbox, epoch).is_some());
        assert!(senders.map(|sender| sender.join().unwrap()) == [true; 2]);
        assert_eq!(take_all(&mailbox, epoch), "zz");
    });
}

#[test]
fn who_waits_no_more_leaves_the_others_waiting() {
    check(3, || {
        let (mailbox, epoch) = full(&connection(1));
        let sender = sender(&mailbox, 2);
        let gone = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || {
                let id = ConnectionId(3);
                mailbox.wait_for_room(id, std::task::Waker::noop());
                mailbox.stop_waiting(id);
            }
        });
        assert!(take(&mailbox, epoch).is_some());
        assert!(sender.join().unwrap());
        gone.join().unwrap();
    });
}

#[test]
fn a_paused_sender_is_woken_when_the_owner_leaves() {
    check(4, || {
        let (mailbox, _) = full(&connection(1));
        let sender = sender(&mailbox, 2);
        mailbox.release_owner();
        assert!(!sender.join().unwrap());
    });
}
