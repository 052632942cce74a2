//! Frames that are checked once, JSON that is passed on, and batches of them.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tickwire::events::{Event, Inbound, SendError};
use tickwire::ids::MsgId;
use tickwire::server::EndpointReceiver;
use tickwire::wire::{Kind, Message, ValidFrame};

use super::{code_of, message, start_with_small_queues};
use crate::draft::Draft;
use crate::raw_client::{RawClient, start_server, start_server_with, within};

fn frame(source: &str, target: &str) -> ValidFrame {
    ValidFrame::new(&message(&Draft::order(source, target))).expect("a valid draft")
}

async fn receive(receiver: &mut EndpointReceiver) -> Inbound {
    match within("an event", receiver.receive()).await {
        Some(Event::Message(inbound)) => inbound,
        other => panic!("a message was due: {other:?}"),
    }
}

/// Polls `future` once, and drops it.
fn begin(future: impl Future<Output = Result<(), SendError>>) {
    let mut future = pin!(future);
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it had to wait");
}

#[tokio::test]
async fn a_frame_that_is_sent_often_arrives_as_often_with_another_id_each_time() {
    const TIMES: usize = 1_000;
    let server = start_server().await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, mut incoming) = server.attach("b").expect("attached");
    let frame = frame("a", "b");
    let original = Message::from_json(frame.json()).expect("valid");
    let mut ids = HashSet::new();
    for number in 0..TIMES {
        let id = match number % 2 {
            0 => sender.post_frame(&frame).await.expect("accepted"),
            _ => {
                sender
                    .send_frame(&frame)
                    .await
                    .expect("accepted")
                    .acknowledged_msg_id
            }
        };
        assert!(ids.insert(id));
        let inbound = receive(&mut incoming).await;
        assert_eq!(inbound.msg_id(), Some(id));
        assert_eq!(inbound.kind(), Some(Kind::IngestEvent));
        let received = inbound.message().expect("valid");
        assert_eq!(received.payload, original.payload);
        assert!(received.timestamp.to_utc() > original.timestamp.to_utc());
    }
}

#[tokio::test]
async fn a_prepared_ack_is_posted_and_never_answered() {
    let server = start_server().await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, mut incoming) = server.attach("b").expect("attached");
    let received = message(&Draft::order("b", "a"));
    let mut ack = Message::ack_of("a", &received).expect("names");
    ack.target = Some("b".to_owned().try_into().expect("a name"));
    let ack = ValidFrame::new(&ack).expect("valid");
    let sent = sender.send_frame(&ack).await;
    assert_eq!(sent, Err(SendError::NeverAnswered));
    let id = sender.post_frame(&ack).await.expect("routed");
    assert_eq!(receive(&mut incoming).await.msg_id(), Some(id));
}

#[tokio::test]
async fn json_is_passed_on_byte_for_byte_or_refused_with_the_reason() {
    let server = start_server_with(|server| server.frame_bytes_max(64 * 1024)).await;
    let (sender, _) = server.attach("a").expect("attached");
    let mut receiver = RawClient::owning(server.local_addr(), &["b"]).await;
    for spelled in [false, true] {
        let order = Draft::order("a", "b");
        let mut json = order.frame().to_vec();
        if spelled {
            json.splice(1..1, b"  \n ".iter().copied());
        }
        let ack = sender.send_json(&json).await.expect("accepted");
        assert_eq!(ack.acknowledged_msg_id.as_str(), order.id);
        assert_eq!(receiver.receive().await.frame, json);
    }
    let code = |outcome| code_of::<()>(outcome);
    assert_eq!(code(sender.post_json(b"").await), "FRAME_EMPTY");
    assert_eq!(code(sender.post_json(b"{} {}").await), "INVALID_JSON");
    let nobody = Draft::order("a", "nobody").frame();
    assert_eq!(code(sender.post_json(&nobody).await), "TARGET_UNAVAILABLE");
    let large = Draft::order("a", "b").padded(70_000).frame();
    let refused = sender.post_json(&large).await;
    let (bytes, limit) = (large.len(), 64 * 1024);
    assert_eq!(refused, Err(SendError::TooLarge { bytes, limit }));
    // None of them is the end of the endpoint.
    let order = Draft::order("a", "b").frame();
    sender.post_json(&order).await.expect("accepted");
    assert_eq!(receiver.receive().await.frame, order);
}

#[tokio::test]
async fn a_batch_ends_at_the_first_refusal_and_goes_on_behind_it() {
    let server = start_server().await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, mut incoming) = server.attach("b").expect("attached");
    let (known, unknown) = (frame("a", "b"), frame("a", "nobody"));
    let mut batch = sender.batch();
    let mut ids: Vec<MsgId> = Vec::new();
    for number in 0..6 {
        let frame = if number == 3 { &unknown } else { &known };
        ids.push(batch.push(frame).expect("small"));
    }
    let refused = match within("the batch", batch.post_all()).await {
        Err(SendError::Refused(report)) => report,
        other => panic!("a refusal was due: {other:?}"),
    };
    assert_eq!(refused.code, "TARGET_UNAVAILABLE");
    assert_eq!(refused.msg_id(), Some(ids[3]));
    assert_eq!(batch.len(), 2);
    let typed = message(&Draft::order("a", "b"));
    batch.push_message(&typed).expect("small");
    batch.push_again(&known).expect("small");
    within("the batch", batch.post_all())
        .await
        .expect("accepted");
    assert!(batch.is_empty());
    ids.remove(3);
    ids.push(typed.msg_id);
    ids.push(Message::from_json(known.json()).expect("valid").msg_id);
    for id in ids {
        assert_eq!(receive(&mut incoming).await.msg_id(), Some(id));
    }
    assert_eq!(server.stats().accepted, 7);
    assert_eq!(server.stats().refused, 1);
}

#[tokio::test]
async fn a_batch_that_is_dropped_while_it_waits_keeps_what_was_not_accepted() {
    const MESSAGES: usize = 1_000;
    let server = start_with_small_queues(Duration::from_secs(3_600)).await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, mut incoming) = server.attach("b").expect("attached");
    let frame = frame("a", "b");
    let mut batch = sender.batch();
    let ids: Vec<_> = (0..MESSAGES).map(|_| batch.push(&frame)).collect();
    let mut received = 0;
    while !batch.is_empty() {
        begin(batch.post_all());
        // Another send of the endpoint isn't kept waiting by the one that is gone.
        let accepted = MESSAGES - batch.len() - received;
        assert!(accepted > 0);
        for id in &ids[received..received + accepted] {
            assert_eq!(
                receive(&mut incoming).await.msg_id(),
                Some(*id.as_ref().expect("small"))
            );
        }
        received += accepted;
        if batch.len() <= 10 {
            within("the rest", batch.post_all())
                .await
                .expect("accepted");
        }
    }
    for id in &ids[received..] {
        assert_eq!(
            receive(&mut incoming).await.msg_id(),
            Some(*id.as_ref().expect("small"))
        );
    }
    assert_eq!(server.stats().accepted, MESSAGES as u64);
}

#[tokio::test]
async fn batches_and_sends_of_one_endpoint_wait_without_losing_anything() {
    const BATCHES: usize = 4;
    const MESSAGES: usize = 300;
    let server = start_with_small_queues(Duration::from_secs(3_600)).await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, mut incoming) = server.attach("b").expect("attached");
    let frame = frame("a", "b");
    let mut tasks = Vec::new();
    for _ in 0..BATCHES {
        let (sender, frame) = (sender.clone(), frame.clone());
        tasks.push(tokio::spawn(async move {
            let mut batch = sender.batch();
            for _ in 0..MESSAGES {
                batch.push(&frame).expect("small");
                sender.post_frame(&frame).await.expect("accepted");
            }
            batch.post_all().await.expect("accepted");
        }));
    }
    for _ in 0..2 * BATCHES * MESSAGES {
        receive(&mut incoming).await;
    }
    for task in tasks {
        within("a task", task).await.expect("no panic");
    }
    server.shutdown().await;
    let mut late = sender.batch();
    late.push(&frame).expect("small");
    assert_eq!(late.post_all().await, Err(SendError::Closed));
    assert_eq!(late.len(), 1);
}

#[tokio::test]
async fn large_and_small_frames_of_a_batch_arrive_whole_and_in_order() {
    let server = start_server().await;
    let (sender, _) = server.attach("a").expect("attached");
    let (_, mut incoming) = server.attach("b").expect("attached");
    let mut batch = sender.batch();
    let mut due = Vec::new();
    for number in 0..200 {
        let size = [400, 70_000, 3_000, 200_000][number % 4];
        let frame = ValidFrame::from_json(&Draft::order("a", "b").padded(size).frame());
        let frame = frame.expect("valid").keeping_timestamp();
        let id = batch.push(&frame).expect("within the limit");
        let old = Message::from_json(frame.json()).expect("valid").msg_id;
        let json = String::from_utf8(frame.json().to_vec()).expect("valid");
        due.push(json.replacen(old.as_str(), id.as_str(), 1));
    }
    // Refused at once, whether or not a chunk was begun for them.
    let too_large = message(&Draft::order("a", "b").padded(20 * 1024 * 1024));
    for batch in [&mut batch, &mut sender.batch()] {
        let before = batch.len();
        let refused = batch.push_message(&too_large);
        assert!(
            matches!(refused, Err(SendError::TooLarge { .. })),
            "{refused:?}"
        );
        assert_eq!(batch.len(), before);
    }
    let sending = tokio::spawn(async move { batch.post_all().await });
    for json in due {
        let inbound = receive(&mut incoming).await;
        assert!(inbound.json() == json.as_bytes(), "{:?}", inbound.msg_id());
    }
    within("the batch", sending)
        .await
        .expect("no panic")
        .expect("accepted");
}
