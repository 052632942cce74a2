//! A paused sender is woken when there is room, or no owner.

use loom::thread;

use super::*;

/// Full, but for the reserve, with what [`full`] queues.
const SMALL: Capacity = Capacity {
    bytes: 40,
    messages: 100,
};

/// An outbox of which 35 bytes are ordinary, and used.
fn full(owner: &Arc<Peer>) -> (Arc<Outbox>, Epoch) {
    let (outbox, epoch) = outbox(SMALL, owner);
    let frames = [FRAME as u32; 7];
    assert_eq!(outbox.reserve(&frames, 7 * FRAME, Share::Ordinary), Ok(7));
    outbox.enqueue(entry("abcdefg", None), 7 * FRAME);
    (outbox, epoch)
}

/// What a session does with an event that doesn't fit: it waits, then looks, and
/// hands it in again when that is worth it. Says whether it was accepted.
fn send(outbox: &Outbox, id: u64) -> bool {
    let id = ConnectionId(id);
    let accepted = loom::future::block_on(poll_fn(|cx| {
        loop {
            match outbox.reserve(&[FRAME as u32], FRAME, Share::Ordinary) {
                Ok(1) => return Poll::Ready(true),
                Ok(_) => {}
                Err(_) => return Poll::Ready(false),
            }
            outbox.wait_for_room(id, cx.waker());
            if !outbox.has_room(FRAME as u32) {
                return Poll::Pending;
            }
        }
    }));
    outbox.stop_waiting(id);
    if accepted {
        outbox.enqueue(entry("z", None), FRAME);
    }
    accepted
}

fn sender(outbox: &Arc<Outbox>, id: u64) -> thread::JoinHandle<bool> {
    let outbox = Arc::clone(outbox);
    thread::spawn(move || send(&outbox, id))
}

#[test]
fn room_wakes_a_paused_sender() {
    check(4, || {
        let (outbox, epoch) = full(&peer(1));
        let sender = sender(&outbox, 2);
        assert!(outbox.take(epoch).is_some());
        assert!(sender.join().unwrap());
        assert_eq!(take_all(&outbox, epoch), "z");
    });
}

#[test]
fn room_wakes_all_paused_senders() {
    check(2, || {
        let (outbox, epoch) = full(&peer(1));
        let senders = [2, 3].map(|id| sender(&outbox, id));
        assert!(outbox.take(epoch).is_some());
        assert!(senders.map(|sender| sender.join().unwrap()) == [true; 2]);
        assert_eq!(take_all(&outbox, epoch), "zz");
    });
}

#[test]
fn who_waits_no_more_leaves_the_others_waiting() {
    check(3, || {
        let (outbox, epoch) = full(&peer(1));
        let sender = sender(&outbox, 2);
        let gone = thread::spawn({
            let outbox = Arc::clone(&outbox);
            move || {
                let id = ConnectionId(3);
                outbox.wait_for_room(id, std::task::Waker::noop());
                outbox.stop_waiting(id);
            }
        });
        assert!(outbox.take(epoch).is_some());
        assert!(sender.join().unwrap());
        gone.join().unwrap();
    });
}

#[test]
fn a_paused_sender_is_woken_when_the_owner_leaves() {
    check(4, || {
        let (outbox, _) = full(&peer(1));
        let sender = sender(&outbox, 2);
        outbox.let_go();
        assert!(!sender.join().unwrap());
    });
}
