//! Messages queued for a name wait for its next owner, for a time.

use std::time::Duration;

use tickwire::ServerHandle;

use super::fill;
use super::undelivered::Report;
use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, start_server_with};

async fn start_server(linger: Duration) -> ServerHandle {
    start_server_with(|server| server.queue_bytes(64 * 1024 * 1024).linger(linger)).await
}

/// A name that lost its owner with something queued for it.
struct Left {
    sender: RawClient,
    /// All that was acknowledged; the kernel had taken the first of it.
    sent: Vec<String>,
}

/// Cuts the owner of `slow` off while far more than the kernel takes is queued
/// for it.
async fn cut_off(server: &ServerHandle) -> Left {
    const MESSAGES: usize = 200;
    let address = server.local_addr();
    let slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut sent = Vec::new();
    for _ in 0..MESSAGES {
        let order = Draft::order("sender", "slow").padded(100_000);
        sender.ask_acked(&order).await;
        sent.push(order.id);
    }
    drop(slow);
    // From when the server has seen it, nothing new is taken for the name.
    loop {
        let order = Draft::order("sender", "slow");
        let answer = sender.ask(&order).await;
        if answer.code() == "TARGET_UNAVAILABLE" {
            break;
        }
        answer.assert_acknowledges(&order.id);
        sent.push(order.id);
    }
    Left { sender, sent }
}

/// `received` must be the last of the messages sent, in order, and most of
/// them.
#[track_caller]
fn assert_is_the_rest(received: &[Received], sent: &[String]) {
    let ids: Vec<_> = received.iter().map(|got| got.text("/msg_id")).collect();
    assert!(!ids.is_empty(), "nothing was kept");
    assert_eq!(ids, sent[sent.len() - ids.len()..]);
}

/// Everything that comes up to the last message sent, but for answers.
async fn receive_the_rest(next: &mut RawClient, sent: &[String]) -> Vec<Received> {
    let last = sent.last().expect("something was sent");
    let mut rest = Vec::new();
    while rest
        .last()
        .is_none_or(|got: &Received| got.text("/msg_id") != last)
    {
        let received = next.receive().await;
        if received.kind() == "ingest_event" {
            rest.push(received);
        } else {
            assert_eq!(received.kind(), "ack", "{received:?}");
        }
    }
    rest
}

#[tokio::test]
async fn who_comes_back_gets_what_was_queued_and_then_what_is_new() {
    for by_hello in [true, false] {
        let server = start_server(Duration::from_secs(3_600)).await;
        let Left { mut sender, sent } = cut_off(&server).await;
        let mut next = if by_hello {
            RawClient::owning(server.local_addr(), &["slow"]).await
        } else {
            let mut next = RawClient::connect(server.local_addr()).await;
            next.send(&Draft::heartbeat("slow", "health-monitor")).await;
            next
        };
        let rest = receive_the_rest(&mut next, &sent).await;
        assert_is_the_rest(&rest, &sent);
        let order = Draft::order("sender", "slow");
        sender.ask_acked(&order).await;
        let mut received = next.receive().await;
        if received.kind() == "ack" {
            received = next.receive().await;
        }
        assert_eq!(received.frame, order.frame());
        // Nothing was given up, and nothing more is to come.
        next.assert_no_answer_waits().await;
        sender.assert_no_answer_waits().await;
    }
}

#[tokio::test]
async fn what_nobody_came_for_is_reported_in_the_end() {
    let server = start_server(Duration::from_secs(1)).await;
    let Left { mut sender, sent } = cut_off(&server).await;
    let report = Report::of(&sender.receive().await);
    assert_eq!(report.target, "slow");
    let count = usize::try_from(report.count).expect("small");
    assert_eq!(report.first_msg_id, sent[sent.len() - count]);
    let mut late = RawClient::owning(server.local_addr(), &["slow"]).await;
    late.assert_no_answer_waits().await;
    sender.assert_no_answer_waits().await;
}

#[tokio::test]
async fn what_waits_when_the_server_stops_is_reported() {
    let server = start_server(Duration::from_secs(3_600)).await;
    let Left { mut sender, .. } = cut_off(&server).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    let report = Report::of(&sender.receive().await);
    assert_eq!(report.target, "slow");
    sender.expect_last_words("SERVER_SHUTTING_DOWN").await;
    stopping.await.expect("stops");
}

#[tokio::test]
async fn what_was_dropped_is_told_to_the_next_owner_in_its_place() {
    let server =
        start_server_with(|server| server.queue_messages(16).queue_bytes(64 * 1024 * 1024)).await;
    let address = server.local_addr();
    let slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    let mut due = fill(&mut filler, "slow").await;
    let mut next = RawClient::owning(address, &["slow"]).await;
    // The kernel had taken the first for the old owner.
    let first = next.receive().await;
    due.skip_to(first.text("/msg_id"));
    due.take(&first);
    due.receive_all(&mut next).await;
    next.assert_no_answer_waits().await;
    drop(slow);
}
