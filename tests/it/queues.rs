//! Full queues: which senders are paused or refused, which messages are
//! dropped, and that the sums add up.

mod answers;
mod lingering;
mod undelivered;

use std::collections::HashSet;
use std::time::Duration;

use tickwire::ServerHandle;

use crate::draft::Draft;
use crate::due::Due;
use crate::raw_client::{RawClient, framed, start_server_with, within};

/// Longer than any test: whoever is paused stays paused until there is room.
const FOREVER: Duration = Duration::from_secs(3_600);

/// A server with queues of 16 messages, of any size.
async fn start_server(stall_timeout: Duration) -> ServerHandle {
    start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .stall_timeout(stall_timeout)
    })
    .await
}

/// Fills the queue of `name` with records that never pause, while its owner
/// doesn't read. Returns the frames that the owner is due for it.
pub async fn fill(sender: &mut RawClient, name: &str) -> Due {
    let mut due = Due::of(name);
    let mut dropped_in_a_row = 0;
    // The kernel may take a last one late, so one drop isn't the end.
    while dropped_in_a_row < 50 {
        let record = Draft::log_record("filler", name).padded(100_000);
        let ack = sender.ask_acked(&record).await;
        match ack.dropped() {
            0 => {
                due.queued(record.id);
                dropped_in_a_row = 0;
            }
            1 => {
                due.dropped(record.id);
                dropped_in_a_row += 1;
            }
            more => panic!("{more} dropped for one receiver"),
        }
        assert!(due.messages() < 1_000, "the queue never fills");
    }
    due
}

#[tokio::test]
async fn a_full_queue_drops_records_and_heartbeats_and_says_so() {
    let server = start_server(FOREVER).await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut due = fill(&mut sender, "slow").await;
    for message in [
        Draft::log_record("a", "slow"),
        Draft::heartbeat("a", "slow"),
    ] {
        assert_eq!(sender.ask_acked(&message).await.dropped(), 1);
        due.dropped(message.id);
    }
    due.receive_all(&mut slow).await;
    // Now that it has read, there is room again.
    let message = Draft::heartbeat("a", "slow");
    assert_eq!(sender.ask_acked(&message).await.dropped(), 0);
    assert_eq!(slow.receive().await.frame, message.frame());
    slow.assert_no_answer_waits().await;
}

#[tokio::test]
async fn errors_and_acks_still_pass_through_the_reserve_of_a_full_queue() {
    let server = start_server(FOREVER).await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut due = fill(&mut sender, "slow").await;

    let error = Draft::error("a", "slow");
    assert_eq!(sender.ask_acked(&error).await.dropped(), 0);
    due.queued(error.id);
    // The reserve is not for others, and a report stands in the place of those
    // they miss.
    let heartbeat = Draft::heartbeat("a", "slow");
    assert_eq!(sender.ask_acked(&heartbeat).await.dropped(), 1);
    due.dropped(heartbeat.id);
    let ack = Draft::ack("a", "slow");
    sender.send(&ack).await;
    sender.assert_no_answer_waits().await;
    due.queued(ack.id);
    // The reserve has an end, too, and nothing pauses at it.
    let mut refused = 0;
    for number in 0..20 {
        let message = match number % 2 {
            0 => Draft::error("a", "slow"),
            _ => Draft::ack("a", "slow"),
        };
        sender.send(&message).await;
        match sender.fence().await.as_slice() {
            [] if message_is_ack(&message) => due.queued(message.id),
            [answer] if answer.acknowledged() == message.id => due.queued(message.id),
            [answer] => {
                answer.assert_refuses(&message.id, "QUEUE_FULL");
                refused += 1;
            }
            several => panic!("one answer at most was due: {several:?}"),
        }
    }
    assert!(refused >= 16, "the reserve is an eighth, not {refused}");

    due.receive_all(&mut slow).await;
    sender.ask_acked(&Draft::error("a", "slow")).await;
    slow.receive().await;
    slow.assert_no_answer_waits().await;
}

fn message_is_ack(message: &Draft) -> bool {
    let frame = message.frame();
    let frame = str::from_utf8(&frame).expect("JSON");
    frame.contains(r#""msg_type":"ack""#)
}

#[tokio::test]
async fn a_sender_of_events_waits_for_room_and_all_others_go_on() {
    const EVENTS: usize = 300;
    let server = start_server(FOREVER).await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    let mut due = fill(&mut filler, "slow").await;

    // 30 MB, of which neither queue nor kernels take more than a part.
    let mut sender = RawClient::connect(address).await;
    let events: Vec<_> = (0..EVENTS)
        .map(|_| Draft::order("sender", "slow").padded(100_000))
        .collect();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let mut writer = sender.writer;
    let writing = tokio::spawn(async move {
        for event in &events {
            writer.send(event).await;
        }
        writer
    });

    let mut one = RawClient::owning(address, &["one"]).await;
    let mut other = RawClient::owning(address, &["other"]).await;
    for _ in 0..200 {
        let order = Draft::order("one", "other");
        one.ask_acked(&order).await;
        assert_eq!(other.receive().await.frame, order.frame());
    }
    assert!(!writing.is_finished(), "what the slow one left was taken");

    // As soon as it reads, everything flows: nothing is lost or refused.
    for id in &ids {
        due.queued(id);
    }
    let reading = tokio::spawn(async move {
        due.receive_all(&mut slow).await;
        slow
    });
    for id in &ids {
        sender.reader.receive().await.assert_acknowledges(id);
    }
    let mut slow = reading.await.expect("all are delivered in order");
    slow.assert_no_answer_waits().await;
    let _writer = writing.await.expect("all is written");
}

#[tokio::test]
async fn a_sender_that_waited_long_enough_is_refused_from_then_on_at_once() {
    let server = start_server(Duration::from_millis(200)).await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    let mut due = fill(&mut filler, "slow").await;

    let mut sender = RawClient::connect(address).await;
    let first = Draft::order("sender", "slow");
    let error = sender.ask_refused(&first, "QUEUE_FULL").await;
    assert!(error.text("/payload/message").contains("slow"), "{error:?}");
    // A stall costs a connection one timeout, not one a message: these would
    // take minutes.
    let events: Vec<_> = (0..1_000).map(|_| Draft::order("sender", "slow")).collect();
    for event in &events {
        sender.ask_refused(event, "QUEUE_FULL").await;
    }
    // Other names are no part of it.
    let heartbeat = Draft::heartbeat("sender", "health-monitor");
    sender.ask_acked(&heartbeat).await;

    // The sum of the pauses returns to zero when the queue falls below half. A
    // refusal is no drop: its sender knows.
    due.receive_all(&mut slow).await;
    let event = Draft::order("sender", "slow");
    sender.ask_acked(&event).await;
    assert_eq!(slow.receive().await.frame, event.frame());
    slow.assert_no_answer_waits().await;
}

#[tokio::test]
async fn what_is_behind_a_paused_event_is_answered_in_its_turn() {
    let server = start_server(Duration::from_millis(300)).await;
    let address = server.local_addr();
    let _slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    fill(&mut filler, "slow").await;
    let mut sender = RawClient::connect(address).await;
    let before = Draft::heartbeat("sender", "health-monitor");
    let paused = Draft::order("sender", "slow");
    let behind = Draft::heartbeat("sender", "health-monitor");
    let bytes: Vec<u8> = [&before, &paused, &behind]
        .iter()
        .flat_map(|message| framed(&message.frame()))
        .collect();
    sender.send_bytes(&bytes).await;
    sender.receive().await.assert_acknowledges(&before.id);
    sender
        .receive()
        .await
        .assert_refuses(&paused.id, "QUEUE_FULL");
    sender.receive().await.assert_acknowledges(&behind.id);
}

#[tokio::test]
async fn a_queue_is_full_by_bytes_as_well_and_an_empty_one_takes_any_message() {
    let server = start_server_with(|server| {
        server
            .queue_bytes(64 * 1024)
            .stall_timeout(Duration::from_millis(100))
    })
    .await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut sender = RawClient::connect(address).await;
    let mut taken = HashSet::new();
    let mut sent = 0;
    loop {
        // Each larger than the whole queue may be.
        let event = Draft::order("sender", "slow").padded(500_000);
        let answer = sender.ask(&event).await;
        sent += 1;
        if answer.code() == "QUEUE_FULL" {
            break;
        }
        answer.assert_acknowledges(&event.id);
        taken.insert(event.id);
        assert!(sent < 200, "the queue never fills");
    }
    assert!(!taken.is_empty());
    for _ in 0..taken.len() {
        assert!(taken.contains(slow.receive().await.text("/msg_id")));
    }
}

#[tokio::test]
async fn a_peer_that_reads_no_answers_is_paused_not_lost() {
    const HEARTBEATS: usize = 20_000;
    let server = start_server(FOREVER).await;
    let deaf = RawClient::connect_narrow(server.local_addr()).await;
    let (mut reader, mut writer) = (deaf.reader, deaf.writer);
    let frame = framed(&Draft::heartbeat("deaf", "health-monitor").frame());
    let bytes = frame.repeat(100);
    // About 5 MB of answers, more than lane and kernels hold.
    let mut writing = tokio::spawn(async move {
        for _ in 0..HEARTBEATS / 100 {
            writer.send_bytes(&bytes).await;
        }
        writer
    });
    // Somebody else is served all the while.
    let mut other = RawClient::connect(server.local_addr()).await;
    for _ in 0..100 {
        other.assert_no_answer_waits().await;
    }
    for _ in 0..HEARTBEATS {
        assert_eq!(reader.receive().await.kind(), "ack");
    }
    within("the writer", &mut writing)
        .await
        .expect("all is written");
}

#[tokio::test]
async fn input_goes_on_as_soon_as_the_answers_that_held_it_up_are_written() {
    // Far more refusals than the lane holds, each round; were each delayed by a
    // second or two, that would add up to more than the deadline.
    const ROUNDS: usize = 20;
    const HEARTBEATS: usize = 3_000;
    let server = start_server(FOREVER).await;
    let RawClient {
        mut reader,
        mut writer,
    } = RawClient::connect(server.local_addr()).await;
    let frame = framed(&Draft::heartbeat("a", "nobody").frame());
    let bytes = frame.repeat(HEARTBEATS);
    let rounds = async {
        for _ in 0..ROUNDS {
            let writing = writer.send_bytes(&bytes);
            let reading = async {
                for _ in 0..HEARTBEATS {
                    reader.receive_frame().await;
                }
            };
            tokio::join!(writing, reading);
        }
    };
    within("all rounds", rounds).await;
}

#[tokio::test]
async fn a_peer_that_fills_its_own_queue_does_not_wait_for_itself() {
    const EVENTS: usize = 3_000;
    let server = start_server(FOREVER).await;
    let peer = RawClient::owning(server.local_addr(), &["me"]).await;
    let (mut reader, mut writer) = (peer.reader, peer.writer);
    let events: Vec<_> = (0..EVENTS).map(|_| Draft::order("me", "me")).collect();
    let bytes: Vec<u8> = events
        .iter()
        .flat_map(|event| framed(&event.frame()))
        .collect();
    let writing = tokio::spawn(async move {
        writer.send_bytes(&bytes).await;
        writer
    });
    let mut acked = events.iter();
    let mut delivered = events.iter();
    for _ in 0..2 * EVENTS {
        let received = reader.receive().await;
        if received.kind() == "ack" {
            received.assert_acknowledges(&acked.next().expect("one each").id);
        } else {
            let due = delivered.next().expect("one each");
            assert_eq!(received.frame, due.frame());
        }
    }
    let _writer = writing.await.expect("all is written");
}

#[tokio::test]
async fn two_that_fill_each_others_queues_do_not_wait_for_each_other() {
    const EVENTS: usize = 3_000;
    let server = start_server(FOREVER).await;
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    let mut peers = Vec::new();
    for name in ["one", "other"] {
        peers.push(RawClient::owning(server.local_addr(), &[name]).await);
    }
    for (peer, (from, to)) in peers.into_iter().zip([("one", "other"), ("other", "one")]) {
        let (mut reader, mut writer) = (peer.reader, peer.writer);
        writing.push(tokio::spawn(async move {
            for _ in 0..EVENTS {
                writer.send(&Draft::order(from, to)).await;
            }
            writer
        }));
        reading.push(tokio::spawn(async move {
            let (mut acks, mut events) = (0, 0);
            while acks < EVENTS || events < EVENTS {
                match reader.receive().await.kind() {
                    "ack" => acks += 1,
                    "ingest_event" => events += 1,
                    other => panic!("{other}"),
                }
            }
        }));
    }
    for task in reading {
        task.await.expect("all went through");
    }
    for task in writing {
        task.await.expect("all is written");
    }
}
