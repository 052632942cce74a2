//! Stopping in order: queued messages are delivered, everybody is told, and
//! nobody new is let in.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::draft::Draft;
use crate::queues::fill;
use crate::raw_client::{RawClient, framed, start_server, start_server_with, within};

const CODE: &str = "SERVER_SHUTTING_DOWN";

#[tokio::test]
async fn every_peer_is_told_and_then_the_stream_ends() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut owner = RawClient::owning(address, &["owner"]).await;
    let mut tool = RawClient::speaking_for_others(address).await;
    let mut silent = RawClient::connect(address).await;
    // A connection exists for the server once it was accepted.
    silent.assert_no_answer_waits().await;
    let mut half = RawClient::connect(address).await;
    half.assert_no_answer_waits().await;
    half.send_bytes(b"\0\0\x01\0{").await;
    let stopping = tokio::spawn(async move { server.shutdown().await });
    for peer in [&mut owner, &mut tool, &mut silent, &mut half] {
        let error = peer.expect_last_words(CODE).await;
        assert_eq!(error.json["source"], "tickwire");
        assert_eq!(error.about(), "", "no message of theirs was waiting");
    }
    within("shutdown", stopping).await.expect("no panic");
    let late = within("connect", TcpStream::connect(address)).await;
    assert!(late.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_server_without_peers_stops_at_once() {
    let server = start_server().await;
    within("shutdown", server.shutdown()).await;
}

#[tokio::test]
async fn what_is_queued_is_delivered_before_the_end() {
    const MESSAGES: usize = 150;
    let server = start_server_with(|server| {
        server
            .queue_bytes(64 * 1024 * 1024)
            .drain_timeout(Duration::from_secs(20))
    })
    .await;
    let address = server.local_addr();
    let mut receiver = RawClient::owning_narrow(address, &["receiver"]).await;
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut sent = Vec::new();
    for _ in 0..MESSAGES {
        let order = Draft::order("sender", "receiver").padded(100_000);
        sender.ask_acked(&order).await;
        sent.push(order.id);
    }
    let broadcast = Draft::order("sender", Value::Null);
    sender.ask_acked(&broadcast).await;
    let stopping = tokio::spawn(async move { server.shutdown().await });

    let mut received = receiver.reader.receive_to_end().await;
    let last = received.pop().expect("something came");
    assert_eq!(last.code(), CODE);
    let (broadcasts, addressed): (Vec<_>, Vec<_>) = received
        .iter()
        .map(|received| received.text("/msg_id"))
        .partition(|id| *id == broadcast.id);
    assert_eq!(addressed, sent);
    assert_eq!(broadcasts.len(), 1);
    sender.expect_last_words(CODE).await;
    within("shutdown", stopping).await.expect("no panic");
}

#[tokio::test]
async fn what_was_sent_before_the_end_is_answered() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let messages: Vec<_> = (0..500)
        .map(|_| Draft::heartbeat("peer", "health-monitor"))
        .collect();
    let bytes: Vec<u8> = messages
        .iter()
        .flat_map(|message| framed(&message.frame()))
        .collect();
    peer.send_bytes(&bytes).await;
    peer.receive().await.assert_acknowledges(&messages[0].id);
    let stopping = tokio::spawn(async move { server.shutdown().await });
    // Those that the server had read are answered, in order, and no other.
    let mut answers = peer.reader.receive_to_end().await;
    assert_eq!(answers.pop().expect("an end").code(), CODE);
    for (answer, message) in answers.iter().zip(&messages[1..]) {
        answer.assert_acknowledges(&message.id);
    }
    within("shutdown", stopping).await.expect("no panic");
}

#[tokio::test]
async fn what_could_not_be_delivered_or_was_waiting_is_named() {
    let server = start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .stall_timeout(Duration::from_secs(3_600))
            .drain_timeout(Duration::from_millis(200))
    })
    .await;
    let address = server.local_addr();
    let slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    fill(&mut filler, "slow").await;

    let mut paused = RawClient::connect(address).await;
    let before = Draft::heartbeat("paused", "health-monitor");
    let waiting = Draft::order("paused", "slow");
    let both = [framed(&before.frame()), framed(&waiting.frame())].concat();
    paused.send_bytes(&both).await;
    paused.receive().await.assert_acknowledges(&before.id);
    let stopping = tokio::spawn(async move { server.shutdown().await });

    let error = paused.expect_last_words(CODE).await;
    assert_eq!(error.about(), waiting.id);
    let report = filler.receive().await;
    assert_eq!(report.code(), "UNDELIVERED");
    assert_eq!(report.text("/payload/details/target"), "slow");
    filler.expect_last_words(CODE).await;
    // One that never reads doesn't keep the server from stopping.
    within("shutdown", stopping).await.expect("no panic");
    drop(slow);
}

#[tokio::test]
async fn a_shutdown_that_was_given_up_can_be_taken_up_again() {
    let server = start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .drain_timeout(Duration::from_millis(500))
    })
    .await;
    let _slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    fill(&mut sender, "slow").await;
    let given_up = tokio::time::timeout(Duration::from_millis(10), server.shutdown()).await;
    assert!(given_up.is_err(), "a queue can't be drained");
    within("shutdown", server.shutdown()).await;
    let told = sender.reader.receive_to_end().await;
    let codes: Vec<_> = told.iter().map(|received| received.code()).collect();
    assert_eq!(codes, ["UNDELIVERED", CODE]);
}
