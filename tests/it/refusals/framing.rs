//! Lengths that can't be: the error, then the orderly end of the stream, even
//! while the peer is still sending. A reset would destroy the error.

use std::time::Duration;

use crate::draft::Draft;
use crate::queues::fill;
use crate::raw_client::{RawClient, framed, start_server, start_server_with};

/// Sends `opening`, which loses the framing, with much more behind it.
async fn is_told_and_closed(opening: &[u8], code: &str) {
    let server = start_server().await;
    // As the first thing, and behind a valid message.
    for first in [true, false] {
        let mut peer = RawClient::connect(server.local_addr()).await;
        let valid = Draft::heartbeat("a", "health-monitor");
        let mut bytes = Vec::new();
        if !first {
            bytes.extend(framed(&valid.frame()));
        }
        bytes.extend_from_slice(opening);
        bytes.extend(std::iter::repeat_n(b'x', 300_000));
        peer.send_bytes(&bytes).await;
        if !first {
            peer.receive().await.assert_acknowledges(&valid.id);
        }
        let error = peer.expect_last_words(code).await;
        assert_eq!(error.json["source"], "tickwire");
        assert_eq!(error.about(), "");
    }
    let mut other = RawClient::connect(server.local_addr()).await;
    other.assert_no_answer_waits().await;
}

#[tokio::test]
async fn a_length_of_zero_closes_the_connection() {
    is_told_and_closed(&[0, 0, 0, 0], "FRAME_EMPTY").await;
}

#[tokio::test]
async fn a_length_just_above_the_limit_closes_the_connection() {
    is_told_and_closed(&(1024 * 1024 + 1_u32).to_be_bytes(), "FRAME_TOO_LARGE").await;
}

#[tokio::test]
async fn a_length_of_4_gib_closes_the_connection() {
    is_told_and_closed(&u32::MAX.to_be_bytes(), "FRAME_TOO_LARGE").await;
}

#[tokio::test]
async fn an_http_request_closes_the_connection() {
    let request = b"GET / HTTP/1.1\r\nHost: localhost:7411\r\n\r\n";
    is_told_and_closed(request, "FRAME_TOO_LARGE").await;
}

#[tokio::test]
async fn a_tls_hello_closes_the_connection() {
    let hello = [
        0x16, 0x03, 0x01, 0x00, 0xA5, 0x01, 0x00, 0x00, 0xA1, 0x03, 0x03,
    ];
    is_told_and_closed(&hello, "FRAME_TOO_LARGE").await;
}

#[tokio::test]
async fn a_configured_limit_holds_to_the_byte() {
    let server = start_server_with(|server| server.frame_bytes_max(2000)).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let heartbeat = || Draft::heartbeat("a", "health-monitor");
    let missing = 2000 - heartbeat().frame().len();
    let full = heartbeat().padded(missing);
    assert_eq!(full.frame().len(), 2000);
    peer.ask_acked(&full).await;
    peer.send(&heartbeat().padded(missing + 1)).await;
    peer.expect_last_words("FRAME_TOO_LARGE").await;
}

/// The one test that takes the 10 s of the protocol's own clock.
#[tokio::test]
async fn a_frame_that_stays_incomplete_times_out() {
    let server = start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .stall_timeout(Duration::from_secs(3_600))
    })
    .await;
    let address = server.local_addr();
    let heartbeat = Draft::heartbeat("a", "health-monitor");
    let frame = framed(&heartbeat.frame());

    let mut idle = RawClient::connect(address).await;
    let mut half_a_length = RawClient::connect(address).await;
    half_a_length.send_bytes(&frame[..2]).await;
    let mut only_a_length = RawClient::connect(address).await;
    only_a_length.send_bytes(&frame[..4]).await;
    let mut half_a_frame = RawClient::connect(address).await;
    half_a_frame.send_bytes(&frame[..100]).await;
    let mut one_and_a_half = RawClient::connect(address).await;
    one_and_a_half
        .send_bytes(&[&frame[..], &frame[..100]].concat())
        .await;
    // While tickwire isn't reading, the clock stands: this peer is paused with
    // half a frame behind the event that waits.
    let slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    fill(&mut filler, "slow").await;
    let mut paused = RawClient::connect(address).await;
    let waiting = Draft::order("paused", "slow");
    let begun = [&framed(&waiting.frame())[..], &frame[..100]].concat();
    paused.send_bytes(&begun).await;
    // So it does for one that is paused because it reads no answers: its bytes
    // are cut somewhere within a frame.
    const UNREAD: usize = 20_000;
    let deaf = RawClient::connect_narrow(address).await;
    let (mut deaf_reader, mut deaf_writer) = (deaf.reader, deaf.writer);
    let many = frame.repeat(100);
    let writing = tokio::spawn(async move {
        for _ in 0..UNREAD / 100 {
            deaf_writer.send_bytes(&many).await;
        }
        deaf_writer
    });
    // Bytes that go on dripping don't stop the clock.
    let dripping = RawClient::connect(address).await;
    let (mut drip_reader, mut drip_writer) = (dripping.reader, dripping.writer);
    let dripping = tokio::spawn(async move {
        drip_writer.send_bytes(&1000_u32.to_be_bytes()).await;
        while drip_writer.try_send_bytes(b" ").await {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });

    one_and_a_half
        .receive()
        .await
        .assert_acknowledges(&heartbeat.id);
    for peer in [
        &mut half_a_length,
        &mut only_a_length,
        &mut half_a_frame,
        &mut one_and_a_half,
    ] {
        peer.expect_last_words("FRAME_TIMEOUT").await;
    }
    assert_eq!(drip_reader.receive().await.code(), "FRAME_TIMEOUT");
    drip_reader.expect_end().await;
    dripping.abort();
    // Nothing is incomplete where nothing was begun.
    idle.assert_no_answer_waits().await;

    let mut slow_reader = slow.reader;
    let reading =
        tokio::spawn(async move { while slow_reader.receive_or_break().await.is_some() {} });
    paused.receive().await.assert_acknowledges(&waiting.id);
    paused.send_bytes(&frame[100..]).await;
    paused.receive().await.assert_acknowledges(&heartbeat.id);
    reading.abort();
    for _ in 0..UNREAD {
        deaf_reader
            .receive()
            .await
            .assert_acknowledges(&heartbeat.id);
    }
    let _deaf_writer = writing.await.expect("all is written");
}
