//! Targets, order, and answers.

mod churn;
mod ordering;

use std::collections::HashSet;

use serde_json::Value;

use crate::draft::Draft;
use crate::raw_client::{RawClient, start_server, start_server_with};

const TICKWIRE: &str = "tickwire";

#[tokio::test]
async fn a_name_that_nobody_owns_is_unavailable() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    for message in [
        Draft::order("a", "nobody"),
        Draft::log_record("a", "nobody"),
        Draft::heartbeat("a", "nobody"),
        Draft::error("a", "nobody"),
        Draft::ack("a", "nobody"),
    ] {
        let error = peer.ask_refused(&message, "TARGET_UNAVAILABLE").await;
        assert_eq!(error.json["source"], TICKWIRE);
        let text = error.text("/payload/message");
        assert!(text.contains("nobody"), "{text}");
    }
    // Neither did any of them get an ack as well.
    peer.assert_no_answer_waits().await;
}

#[tokio::test]
async fn a_routed_ack_is_answered_with_silence() {
    let server = start_server().await;
    let mut target = RawClient::owning(server.local_addr(), &["target"]).await;
    let mut sender = RawClient::connect(server.local_addr()).await;
    let ack = Draft::ack("a", "target");
    sender.send(&ack).await;
    assert_eq!(target.receive().await.frame, ack.frame());
    sender.assert_no_answer_waits().await;
}

#[tokio::test]
async fn a_target_confirms_by_an_ack_of_its_own() {
    let server = start_server().await;
    let mut gateway = RawClient::owning(server.local_addr(), &["api-gateway"]).await;
    let mut connector = RawClient::owning(server.local_addr(), &["connector"]).await;
    let order = Draft::order("connector", "api-gateway");
    let validated = connector.ask_acked(&order).await;
    gateway.receive().await;
    let confirmation =
        Draft::ack("api-gateway", "connector").payload("acknowledged_msg_id", order.id.as_str());
    gateway.send(&confirmation).await;
    let confirmed = connector.receive().await;
    confirmed.assert_acknowledges(&order.id);
    assert_eq!(confirmed.frame, confirmation.frame());
    // Its source tells the two apart.
    assert_eq!(validated.json["source"], TICKWIRE);
    assert_eq!(confirmed.json["source"], "api-gateway");
}

#[tokio::test]
async fn acks_and_errors_to_the_server_itself_end_there() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    peer.send(&Draft::ack("a", TICKWIRE)).await;
    peer.assert_no_answer_waits().await;
    peer.ask_acked(&Draft::error("a", TICKWIRE)).await;
    // Nobody can own the name, so nothing else can go there.
    let order = Draft::order("a", TICKWIRE);
    peer.ask_refused(&order, "TARGET_UNAVAILABLE").await;
    // They are checked like any other.
    let wrong = Draft::ack("a", TICKWIRE).payload("timestamp", "now");
    peer.ask_refused(&wrong, "INVALID_PAYLOAD").await;
}

#[tokio::test]
async fn a_client_that_acks_everything_does_not_loop() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let mut answer = peer
        .ask_acked(&Draft::heartbeat("a", "health-monitor"))
        .await;
    for _ in 0..3 {
        let id = answer.text("/msg_id").to_owned();
        let ack = Draft::ack("a", TICKWIRE).payload("acknowledged_msg_id", id);
        peer.send(&ack).await;
        answer = peer
            .ask_acked(&Draft::heartbeat("a", "health-monitor"))
            .await;
    }
}

#[tokio::test]
async fn a_server_of_another_name_answers_under_it() {
    let server = start_server_with(|server| server.name("switch-2")).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let ack = peer
        .ask_acked(&Draft::heartbeat(TICKWIRE, "health-monitor"))
        .await;
    assert_eq!(ack.json["source"], "switch-2");
    peer.send(&Draft::ack(TICKWIRE, "switch-2")).await;
    peer.assert_no_answer_waits().await;
    let order = Draft::order("switch-2", Value::Null);
    peer.ask_refused(&order, "SOURCE_NOT_ALLOWED").await;
    // The name that it doesn't have is one like any other.
    peer.ask_acked(&Draft::order("someone", TICKWIRE)).await;
    assert_eq!(peer.receive().await.json["source"], "someone");
}

#[tokio::test]
async fn local_services_answer_while_nobody_owns_their_names() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    for service in ["health-monitor", "log-aggregator"] {
        let message = || match service {
            "health-monitor" => Draft::heartbeat("a", service),
            _ => Draft::log_record("a", service),
        };
        peer.ask_acked(&message()).await;

        let mut owner = RawClient::owning(server.local_addr(), &[service]).await;
        let delivered = message();
        peer.ask_acked(&delivered).await;
        assert_eq!(owner.receive().await.frame, delivered.frame());
        owner.leave().await;

        peer.ask_acked(&message()).await;
    }
}

#[tokio::test]
async fn a_peer_may_address_itself() {
    let server = start_server().await;
    let mut peer = RawClient::owning(server.local_addr(), &["me"]).await;
    let order = Draft::order("me", "me");
    peer.send(&order).await;
    let (first, second) = (peer.receive().await, peer.receive().await);
    let (ack, delivered) = match first.kind() {
        "ack" => (first, second),
        _ => (second, first),
    };
    ack.assert_acknowledges(&order.id);
    assert_eq!(delivered.frame, order.frame());
}

#[tokio::test]
async fn a_broadcast_reaches_all_who_own_a_name_but_its_sender() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut one = RawClient::owning(address, &["one"]).await;
    let mut two = RawClient::owning(address, &["two", "also-two"]).await;
    let mut plain = RawClient::connect(address).await;
    plain
        .ask_acked(&Draft::heartbeat("plain", "health-monitor"))
        .await;
    let mut owns_nothing = RawClient::speaking_for_others(address).await;
    let mut said_nothing = RawClient::connect(address).await;
    let mut sender = RawClient::owning(address, &["sender"]).await;

    for message in [
        Draft::order("sender", Value::Null),
        Draft::log_record("sender", Value::Null),
        Draft::heartbeat("sender", Value::Null),
        Draft::error("sender", Value::Null),
        Draft::order("someone-else", Value::Null).without("target"),
    ] {
        let ack = sender.ask_acked(&message).await;
        assert_eq!(ack.dropped(), 0);
        for receiver in [&mut one, &mut two, &mut plain] {
            // Once, whatever the number of names.
            assert_eq!(receiver.receive().await.frame, message.frame());
        }
    }
    for receiver in [&mut one, &mut two, &mut plain, &mut owns_nothing] {
        receiver.assert_no_answer_waits().await;
    }
    sender.assert_no_answer_waits().await;

    // A connection that owns nothing may broadcast.
    let from_nobody = Draft::order("nobody", Value::Null);
    owns_nothing.ask_acked(&from_nobody).await;
    for receiver in [&mut one, &mut two, &mut plain, &mut sender] {
        assert_eq!(receiver.receive().await.frame, from_nobody.frame());
    }
    // The first that a connection gets is the first after its first name.
    said_nothing.greet(&Draft::hello("said-nothing")).await;
    let last = Draft::order("sender", Value::Null);
    sender.ask_acked(&last).await;
    assert_eq!(said_nothing.receive().await.frame, last.frame());
}

#[tokio::test]
async fn a_broadcast_that_nobody_hears_is_acknowledged() {
    let server = start_server().await;
    let mut sender = RawClient::owning(server.local_addr(), &["alone"]).await;
    let ack = sender.ask_acked(&Draft::order("alone", Value::Null)).await;
    assert_eq!(ack.dropped(), 0);
    sender.assert_no_answer_waits().await;
}

#[tokio::test]
async fn the_ack_of_a_broadcast_counts_who_missed_it() {
    let server = start_server_with(|server| server.queue_bytes(256 * 1024)).await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut quick = RawClient::owning(address, &["quick"]).await;
    let mut sender = RawClient::owning(address, &["sender"]).await;

    // The kernel holds a bounded amount for the slow one, so this ends.
    let mut missed = HashSet::new();
    let mut sent = 0;
    while missed.len() < 20 {
        let message = Draft::order("sender", Value::Null).padded(60_000);
        let ack = sender.ask_acked(&message).await;
        sent += 1;
        assert!(sent < 2_000, "nothing is ever dropped");
        match ack.dropped() {
            0 => (),
            1 => _ = missed.insert(message.id.clone()),
            more => panic!("dropped for {more}, but the quick one reads"),
        }
        // It neither waits for the slow one nor misses anything.
        assert_eq!(quick.receive().await.frame, message.frame());
    }

    // Once it reads, it gets all but those, and nothing is dropped any more.
    let slow_reader = tokio::spawn(async move {
        let mut received = Vec::new();
        let mut told = 0;
        loop {
            let message = slow.receive().await;
            if message.text("/payload/run_id") == "the-last" {
                return (received, told);
            }
            if message.text("/payload/code") == "MESSAGES_DROPPED" {
                assert!(message.json["payload"]["details"]["name"].is_null());
                told += message.json["payload"]["details"]["count"]
                    .as_u64()
                    .unwrap();
                continue;
            }
            received.push(message.text("/msg_id").to_owned());
        }
    });
    let mut missed_late = 0;
    loop {
        let last = Draft::order("sender", Value::Null).payload("run_id", "the-last");
        let ack = sender.ask_acked(&last).await;
        quick.receive().await;
        if ack.dropped() == 0 {
            break;
        }
        missed_late += 1;
    }
    let (received, told) = slow_reader.await.expect("the slow one read all");
    assert_eq!(received.len() + missed.len(), sent);
    assert_eq!(
        told,
        missed.len() as u64 + missed_late,
        "it is told what it missed"
    );
    assert!(received.iter().all(|id| !missed.contains(id)));
}
