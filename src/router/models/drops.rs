//! The report of a drop stands between the messages queued before and after it,
//! and there is one.

use loom::thread;

use super::*;
use crate::router::mailbox::Queue;

fn queue_one(queue: &Queue, letter: &str) {
    assert_eq!(queue.reserve(&[FRAME as u32], FRAME, ROOMY), Ok(1));
    assert!(!queue.enqueue(entry(letter, None), FRAME));
}

fn pop(queue: &Queue) -> Option<String> {
    let entry = queue.pop()?;
    queue.release(entry.messages as usize, entry.charge);
    Some(read(&entry.bytes))
}

fn pop_all(queue: &Queue) -> String {
    std::iter::from_fn(|| pop(queue)).collect()
}

#[test]
fn a_report_stands_between_what_came_before_and_after_the_drop() {
    check(2, || {
        let queue = Arc::new(Queue::default());
        let dropping = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                queue_one(&queue, "a");
                queue.note_dropped(notice());
                queue_one(&queue, "b");
            }
        });
        let other = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue_one(&queue, "c")
        });
        let mut seen = pop(&queue).unwrap_or_default();
        seen += &pop(&queue).unwrap_or_default();
        dropping.join().unwrap();
        other.join().unwrap();
        seen += &pop_all(&queue);
        let of_one = seen.replace('c', "");
        assert_eq!((of_one.as_str(), seen.len()), ("a1b", 4), "{seen}");
        assert!(queue.load().is_empty());
        assert_eq!(queue.load().bytes(), 0);
    });
}

/// Two producers drop and queue; each drop is in one report, in front of what
/// its producer queued next.
#[test]
fn each_drop_is_reported_once_and_before_what_follows() {
    check(3, || {
        let queue = Arc::new(Queue::default());
        let producers = ["a", "b"].map(|letter| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.note_dropped(notice());
                queue_one(&queue, letter);
            })
        });
        let mut seen = pop(&queue).unwrap_or_default();
        for producer in producers {
            producer.join().unwrap();
        }
        seen += &pop_all(&queue);
        let dropped = seen.chars().filter_map(|c| c.to_digit(10));
        assert_eq!(dropped.sum::<u32>(), 2, "{seen}");
        assert!(seen.starts_with(|c: char| c.is_ascii_digit()), "{seen}");
        assert!(queue.load().is_empty());
    });
}
