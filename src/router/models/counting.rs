//! The state word counts each reserved or queued message once.

use loom::thread;

use super::*;
use crate::router::mailbox::Queue;

/// Room for three messages, for producers that queue two at a time.
const TIGHT: Capacity = Capacity {
    bytes: 1_000,
    messages: 3,
};

/// Queues a run of two messages, as far as they fit. It pins two bytes more than
/// it has. Returns the number of messages accepted.
fn produce(queue: &Queue) -> u32 {
    let granted = queue.reserve(&[5, 5], 10, TIGHT).unwrap();
    if granted > 0 {
        let run = entry(&"ab"[..granted], None);
        let pinning = Entry {
            charge: run.charge + 2,
            ..run
        };
        assert!(!queue.enqueue(pinning, granted * FRAME));
    }
    granted as u32
}

fn consume(queue: &Queue) -> u32 {
    let Some(entry) = queue.pop() else { return 0 };
    let (before, after) = queue.release(entry.messages as usize, entry.charge);
    assert!(before.messages() <= TIGHT.messages);
    assert_eq!(
        before.messages() - after.messages(),
        entry.messages as usize
    );
    assert_eq!(before.bytes() - after.bytes(), entry.charge);
    entry.messages
}

#[test]
fn what_two_producers_queue_is_counted_once_and_within_bounds() {
    check(4, || {
        let queue = Arc::new(Queue::default());
        let producers = [0, 1].map(|_| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || produce(&queue))
        });
        let mut consumed = consume(&queue);
        consumed += consume(&queue);
        let accepted: u32 = producers
            .map(|producer| producer.join().unwrap())
            .iter()
            .sum();
        while let more @ 1.. = consume(&queue) {
            consumed += more;
        }
        assert_eq!(consumed, accepted);
        assert!(accepted >= 3, "there was room for three at least");
        assert!(queue.load().is_empty());
    });
}
