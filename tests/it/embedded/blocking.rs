//! Endpoints for threads without a runtime.

use std::thread;
use std::time::Duration;

use tickwire::events::{Event, InsideRuntime, SendError};

use super::{code_of, message, start_with_small_queues};
use crate::draft::Draft;
use crate::raw_client::{start_server, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_without_a_runtime_wait_for_room_and_for_messages() {
    const MESSAGES: usize = 500;
    let server = start_with_small_queues(Duration::from_secs(3_600)).await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, incoming) = server.attach("b").expect("attached");
    let sender = sender.blocking();
    let mut threads = Vec::new();
    for number in 0..2 {
        let sender = sender.clone();
        threads.push(thread::spawn(move || {
            for place in 0..MESSAGES {
                let order = message(&Draft::order("a", "b"));
                match (place + number) % 2 {
                    0 => sender.post(&order).expect("accepted"),
                    _ => {
                        let ack = sender.send(&order).expect("accepted");
                        assert_eq!(ack.acknowledged_msg_id, order.msg_id);
                    }
                }
            }
            let nobody = message(&Draft::order("a", "nobody"));
            assert_eq!(code_of(sender.send(&nobody)), "TARGET_UNAVAILABLE");
        }));
    }
    let receiving = thread::spawn(move || {
        let mut incoming = incoming.blocking();
        let mut received = 0;
        while let Some(event) = incoming.receive().expect("a thread of its own") {
            match event {
                Event::Message(_) => received += 1,
                Event::Notice(report) => assert_eq!(report.code, "SERVER_SHUTTING_DOWN"),
                other => panic!("unexpected: {other:?}"),
            }
        }
        received
    });
    let sent = tokio::task::spawn_blocking(|| {
        threads
            .into_iter()
            .map(thread::JoinHandle::join)
            .collect::<Vec<_>>()
    });
    for sent in within("the senders", sent).await.expect("no panic") {
        sent.expect("no panic");
    }
    server.shutdown().await;
    let received = tokio::task::spawn_blocking(|| receiving.join());
    let received = within("the receiver", received).await.expect("no panic");
    assert_eq!(received.expect("no panic"), 2 * MESSAGES);
}

#[tokio::test]
async fn inside_a_runtime_a_blocking_call_is_an_error_and_sends_nothing() {
    let server = start_server().await;
    let (sender, incoming) = server.attach("a").expect("attached");
    let order = message(&Draft::order("a", "a"));
    let refused = sender.blocking().send(&order);
    assert_eq!(refused, Err(SendError::InsideRuntime(InsideRuntime)));
    let mut incoming = incoming.blocking();
    assert!(matches!(incoming.receive(), Err(InsideRuntime)));
    assert_eq!(server.stats().accepted, 0);
}
