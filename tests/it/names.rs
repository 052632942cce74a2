//! The owners of names, changes of owner, and the options of a `hello`.

mod hello;
mod resume;
mod takeover;

use serde_json::Value;

use crate::draft::Draft;
use crate::raw_client::{RawClient, framed, start_server, within};

/// Fails unless messages to `name` are delivered to `owner`.
async fn assert_owns(owner: &mut RawClient, name: &str, stranger: &mut RawClient) {
    let message = Draft::order("stranger", name);
    stranger.ask_acked(&message).await;
    assert_eq!(owner.receive().await.frame, message.frame(), "{name}");
}

async fn assert_unowned(name: &str, stranger: &mut RawClient) {
    let message = Draft::order("stranger", name);
    stranger.ask_refused(&message, "TARGET_UNAVAILABLE").await;
}

#[tokio::test]
async fn the_first_accepted_message_claims_its_source_and_only_that() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    for first in [
        Draft::heartbeat("first", "health-monitor"),
        Draft::log_record("first", "log-aggregator"),
        Draft::order("first", Value::Null),
        Draft::error("first", Value::Null),
    ] {
        let mut peer = RawClient::connect(server.local_addr()).await;
        peer.ask_acked(&first).await;
        peer.ask_acked(&Draft::heartbeat("second", "health-monitor"))
            .await;
        assert_owns(&mut peer, "first", &mut stranger).await;
        assert_unowned("second", &mut stranger).await;
        peer.leave().await;
        assert_unowned("first", &mut stranger).await;
    }
}

#[tokio::test]
async fn an_ack_may_be_what_claims() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut target = RawClient::owning(server.local_addr(), &["target"]).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    peer.send(&Draft::ack("first", "target")).await;
    peer.assert_no_answer_waits().await;
    target.receive().await;
    assert_owns(&mut peer, "first", &mut stranger).await;
    assert_unowned("fence", &mut stranger).await;
}

#[tokio::test]
async fn a_refused_message_claims_nothing() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let invalid = Draft::heartbeat("refused", "health-monitor").payload("status", 1);
    peer.ask_refused(&invalid, "INVALID_PAYLOAD").await;
    let unroutable = Draft::order("refused", "nobody");
    peer.ask_refused(&unroutable, "TARGET_UNAVAILABLE").await;
    let unroutable = Draft::ack("refused", "nobody");
    peer.ask_refused(&unroutable, "TARGET_UNAVAILABLE").await;
    assert_unowned("refused", &mut stranger).await;
    peer.ask_acked(&Draft::heartbeat("accepted", "health-monitor"))
        .await;
    assert_owns(&mut peer, "accepted", &mut stranger).await;
    assert_unowned("refused", &mut stranger).await;
}

#[tokio::test]
async fn nothing_can_be_sent_as_the_server() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    for message in [
        Draft::heartbeat("tickwire", "health-monitor"),
        Draft::order("tickwire", Value::Null),
        Draft::ack("tickwire", "health-monitor"),
        Draft::hello("tickwire"),
    ] {
        let error = peer.ask_refused(&message, "SOURCE_NOT_ALLOWED").await;
        assert_eq!(error.text("/payload/details/field"), "source");
    }
    assert_unowned("tickwire", &mut stranger).await;
}

#[tokio::test]
async fn a_name_is_free_again_when_its_owners_input_ends_and_all_it_sent_is_answered() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::owning(server.local_addr(), &["owner"]).await;
    let messages: Vec<_> = (0..500)
        .map(|_| Draft::heartbeat("owner", "health-monitor"))
        .collect();
    let bytes: Vec<u8> = messages
        .iter()
        .flat_map(|message| framed(&message.frame()))
        .collect();
    peer.send_bytes(&bytes).await;
    peer.writer.end().await;
    for message in &messages {
        peer.receive().await.assert_acknowledges(&message.id);
    }
    peer.reader.expect_end().await;
    assert_unowned("owner", &mut stranger).await;
}

#[tokio::test]
async fn a_name_that_is_owned_is_claimed_once_its_owner_has_gone() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut older = RawClient::connect(address).await;
    older
        .ask_acked(&Draft::heartbeat("name", "health-monitor"))
        .await;
    // The same connector, started twice: messages of the second are passed on.
    let mut newer = RawClient::connect(address).await;
    newer
        .ask_acked(&Draft::heartbeat("name", "health-monitor"))
        .await;
    assert_owns(&mut older, "name", &mut stranger).await;
    let broadcast = Draft::order("name", Value::Null);
    newer.ask_acked(&broadcast).await;
    assert_eq!(older.receive().await.frame, broadcast.frame());
    older.leave().await;
    assert_unowned("name", &mut stranger).await;
    newer
        .ask_acked(&Draft::heartbeat("name", "health-monitor"))
        .await;
    assert_owns(&mut newer, "name", &mut stranger).await;
}

#[tokio::test]
async fn a_connector_that_reconnects_without_hello_gets_its_name_back() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    for _ in 0..5 {
        let mut connector = RawClient::connect(address).await;
        let heartbeat = Draft::heartbeat("connector", "health-monitor");
        connector.ask_acked(&heartbeat).await;
        assert_owns(&mut connector, "connector", &mut stranger).await;
        connector.leave().await;
    }
}

#[tokio::test]
async fn what_a_connection_owns_ends_with_a_reset_as_well() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut peer = RawClient::owning(address, &["name"]).await;
    // Closing with something unread makes the kernel send a reset.
    stranger.ask_acked(&Draft::order("stranger", "name")).await;
    peer.send(&Draft::heartbeat("name", "health-monitor")).await;
    drop(peer);
    // The server learns of it by itself, so it may take a few looks.
    within("the name is free", async {
        loop {
            let message = Draft::order("stranger", "name");
            let mut answer = stranger.ask(&message).await;
            // The messages that the dead connection still took are reported.
            while answer.code() == "UNDELIVERED" {
                answer = stranger.receive().await;
            }
            if answer.code() == "TARGET_UNAVAILABLE" {
                break;
            }
            answer.assert_acknowledges(&message.id);
        }
    })
    .await;
}
