//! How long connections keep their slots in the server: refused and closing
//! ones take none, and one that says nothing, or next to nothing, loses its
//! own.
//!
//! Where time passes, it is the runtime's own: it skips whatever nobody does
//! anything in.

use std::net::SocketAddr;
use std::time::Duration;

use tickwire::{Server, ServerHandle};
use tokio::time::sleep;

use crate::draft::Draft;
use crate::raw_client::{RawClient, framed};

async fn start(change: impl FnOnce(&mut tickwire::ServerConfig)) -> ServerHandle {
    let mut config = tickwire::ServerConfig::default();
    config.listen = vec!["127.0.0.1:0".to_owned()];
    change(&mut config);
    Server::start(config).await.expect("starts")
}

async fn refused(address: SocketAddr) -> RawClient {
    let mut peer = RawClient::connect(address).await;
    peer.expect_last_words("LIMIT_EXCEEDED").await;
    peer
}

/// A place that is free was denied for a second after somebody else had been
/// refused: both counted, and so did whoever had just left.
#[tokio::test]
async fn a_free_place_is_given_while_others_are_refused_or_closing() {
    let server = start(|config| config.connections_max = 1).await;
    let address = server.local_addr();
    let mut first = RawClient::connect(address).await;
    first.assert_no_answer_waits().await;
    // They have read why, and leave their sockets open.
    let _lingering = [refused(address).await, refused(address).await];
    // Its closing sequence waits for the end of its input.
    first.send_bytes(&[0; 4]).await;
    first.expect_last_words("FRAME_EMPTY").await;
    let mut second = RawClient::connect(address).await;
    second.assert_no_answer_waits().await;
    refused(address).await;
    first.leave().await;
    refused(address).await;
    second.assert_no_answer_waits().await;
}

#[tokio::test]
async fn participants_inside_the_process_take_no_place() {
    let server = start(|config| config.connections_max = 1).await;
    let _inside = server.attach("inside").expect("attached");
    let mut peer = RawClient::connect(server.local_addr()).await;
    peer.assert_no_answer_waits().await;
}

#[tokio::test(start_paused = true)]
async fn who_sends_nothing_loses_its_place() {
    let server = start(|config| {
        config.connections_max = 3;
        config.first_message_timeout = Duration::from_secs(10);
    });
    let server = server.await;
    let address = server.local_addr();
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(RawClient::connect(address).await);
    }
    refused(address).await;
    for peer in &mut silent {
        peer.expect_last_words("FIRST_MESSAGE_TIMEOUT").await;
    }
    let mut served = RawClient::owning(address, &["a"]).await;
    // A connection that has said something once may be silent for as long as it
    // likes.
    sleep(Duration::from_secs(120)).await;
    served.assert_no_answer_waits().await;
}

#[tokio::test(start_paused = true)]
async fn only_a_message_that_is_accepted_keeps_a_place() {
    let server = start(|config| config.first_message_timeout = Duration::from_secs(20)).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let mut codes = Vec::new();
    while codes
        .last()
        .is_none_or(|code| code != "FIRST_MESSAGE_TIMEOUT")
    {
        let order = Draft::order("a", "nobody");
        peer.writer.try_send_bytes(&framed(&order.frame())).await;
        codes.push(peer.receive().await.code().to_owned());
        assert!(codes.len() < 20, "{codes:?}");
        sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(codes[0], "TARGET_UNAVAILABLE");
}

/// The outcome of a message that comes `bytes` at a time, one piece `every` so
/// often, in virtual time.
async fn send_slowly(peer: &mut RawClient, frame: &[u8], bytes: usize, every: Duration) -> bool {
    for piece in frame.chunks(bytes) {
        if !peer.writer.try_send_bytes(piece).await {
            return false;
        }
        sleep(every).await;
    }
    true
}

/// 300 KB at 20 KB a second were cut off after 10 seconds.
#[tokio::test(start_paused = true)]
async fn a_large_message_over_a_slow_line_is_accepted() {
    // Once a frame has begun, how it comes is all that counts.
    let server = start(|config| config.first_message_timeout = Duration::from_secs(5)).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let message = Draft::heartbeat("a", "health-monitor").padded(300_000);
    let frame = framed(&message.frame());
    assert!(send_slowly(&mut peer, &frame, 20_000, Duration::from_secs(1)).await);
    peer.receive().await.assert_acknowledges(&message.id);
    peer.assert_no_answer_waits().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_drips_is_given_up() {
    let server = start(|config| config.frame_rate_min = 1024).await;
    let message = Draft::heartbeat("a", "health-monitor").padded(300_000);
    let frame = framed(&message.frame());
    for (bytes, every) in [(1, 9_000), (1, 100), (500, 1_000)] {
        let mut peer = RawClient::connect(server.local_addr()).await;
        let every = Duration::from_millis(every);
        tokio::select! {
            error = peer.reader.receive() => assert_eq!(error.code(), "FRAME_TIMEOUT"),
            () = async {
                for piece in frame.chunks(bytes) {
                    peer.writer.try_send_bytes(piece).await;
                    sleep(every).await;
                }
            } => panic!("{bytes} bytes every {every:?} were waited for"),
        }
        peer.reader.expect_end().await;
    }
}
