//! A sender that waits for the server's memory is woken when some is free,
//! whoever frees it.

use loom::thread;

use super::*;
use crate::budget::Purpose;
use crate::router::mailbox::Pause;

const TOTAL: usize = 800;
/// Bytes beyond those that are first come.
const SHORT: isize = 700;

/// A name that holds nothing, in a server whose memory is used up.
fn short() -> (Arc<Budget>, Arc<Mailbox>) {
    let budget = Arc::new(Budget::new(TOTAL));
    budget.tell(Purpose::Queued, SHORT);
    let mailbox = unowned(ROOMY, &budget);
    mailbox.take_over(&connection(1));
    (budget, mailbox)
}

/// Sends an event as a session does, while there is no memory for it.
fn send(mailbox: &Arc<Mailbox>, id: u64) -> bool {
    let mut pause = Pause::new(
        mailbox,
        ConnectionId(id),
        FRAME as u32,
        std::time::Duration::ZERO,
        MsgId::from(uuid::Uuid::nil()),
    );
    let mut waits = false;
    loom::future::block_on(poll_fn(|cx| {
        loop {
            if waits {
                pause.wait(cx.waker());
                if !pause.has_room() {
                    return Poll::Pending;
                }
            }
            match mailbox.reserve(&[FRAME as u32], FRAME, QueuePart::Ordinary) {
                Ok(1) => return Poll::Ready(true),
                Ok(_) => waits = true,
                Err(_) => return Poll::Ready(false),
            }
        }
    }))
}

fn sender(mailbox: &Arc<Mailbox>, id: u64) -> thread::JoinHandle<bool> {
    let mailbox = Arc::clone(mailbox);
    thread::spawn(move || send(&mailbox, id))
}

#[test]
fn freed_memory_wakes_who_waits_for_any_name() {
    check(3, || {
        let (budget, mailbox) = short();
        let sender = sender(&mailbox, 2);
        budget.tell(Purpose::Queued, -SHORT);
        assert!(sender.join().unwrap());
    });
}

#[test]
fn freed_memory_wakes_all_who_wait() {
    check(2, || {
        let (budget, mailbox) = short();
        let senders = [2, 3].map(|id| sender(&mailbox, id));
        budget.tell(Purpose::Queued, -SHORT);
        assert!(senders.map(|sender| sender.join().unwrap()) == [true; 2]);
    });
}

#[test]
fn a_reader_that_waits_for_memory_is_woken_and_wakes_the_next() {
    check(2, || {
        let budget = Arc::new(Budget::new(TOTAL));
        budget.tell(Purpose::Input, SHORT);
        let readers = [2, 3].map(|id| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || {
                let id = ConnectionId(id);
                loom::future::block_on(poll_fn(|cx| {
                    budget.wait_to_read(id, cx.waker());
                    match budget.room_to_read(TOTAL * 1_000) {
                        0 => Poll::Pending,
                        _ => Poll::Ready(()),
                    }
                }));
                budget.stop_waiting_to_read(id);
            })
        });
        budget.tell(Purpose::Input, -SHORT);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}
