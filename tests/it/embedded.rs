//! A server inside another program: its handle, and endpoints that skip TCP but
//! meet the same rules.

mod blocking;
mod prepared;

use std::time::Duration;

use serde_json::Value;
use tickwire::ServerHandle;
use tickwire::events::{Event, SendError};
use tickwire::server::EndpointReceiver;
use tickwire::wire::Message;

use crate::draft::Draft;
use crate::due::Due;
use crate::queues::fill;
use crate::raw_client::{RawClient, Received, framed, start_server, start_server_with, within};

fn message(draft: &Draft) -> Message {
    Message::from_json(&draft.frame()).expect("a valid draft")
}

/// The next message's bytes.
async fn receive(receiver: &mut EndpointReceiver) -> Vec<u8> {
    match within("an event", receiver.receive()).await {
        Some(Event::Message(inbound)) => inbound.json().to_vec(),
        other => panic!("a message was due: {other:?}"),
    }
}

/// The next event, which must be a notice: its code.
async fn receive_notice(receiver: &mut EndpointReceiver) -> String {
    match within("an event", receiver.receive()).await {
        Some(Event::Notice(report)) => report.code.to_string(),
        other => panic!("a notice was due: {other:?}"),
    }
}

fn code_of<T: std::fmt::Debug>(outcome: Result<T, SendError>) -> String {
    match outcome {
        Err(SendError::Refused(report)) => report.code.to_string(),
        other => panic!("a refusal was due: {other:?}"),
    }
}

/// A server with queues of 16 messages of any size.
async fn start_with_small_queues(stall_timeout: Duration) -> ServerHandle {
    start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .stall_timeout(stall_timeout)
            .drain_timeout(Duration::from_millis(200))
    })
    .await
}

#[tokio::test]
async fn an_endpoint_exchanges_messages_with_connections_byte_for_byte() {
    let server = start_server().await;
    let (gateway, mut incoming) = server.attach("api-gateway").expect("attached");
    let mut connector = RawClient::owning(server.local_addr(), &["connector"]).await;

    let order = Draft::order("connector", "api-gateway").text("n", "1e400");
    connector.ask_acked(&order).await;
    assert_eq!(receive(&mut incoming).await, order.frame());
    let broadcast = Draft::order("connector", Value::Null);
    connector.ask_acked(&broadcast).await;
    assert_eq!(receive(&mut incoming).await, broadcast.frame());

    let reply = Draft::order("api-gateway", "connector");
    let ack = gateway.send(&message(&reply)).await.expect("accepted");
    assert_eq!(ack.acknowledged_msg_id.to_string(), reply.id);
    assert_eq!(connector.receive().await.text("/msg_id"), reply.id);
    let confirmation = Draft::ack("api-gateway", "connector");
    gateway.post(&message(&confirmation)).await.expect("routed");
    assert_eq!(connector.receive().await.text("/msg_id"), confirmation.id);

    // A broadcast needs no settling, so the order's acks come next.
    let settled = gateway.settle_json(&broadcast.frame()).await;
    settled.expect("nothing is sent");
    let settled = gateway.settle(&message(&order)).await;
    settled.expect("routed");
    let settled = gateway.settle_json(&order.frame()).await;
    settled.expect("routed");
    for _ in 0..2 {
        let ack = connector.receive().await;
        assert_eq!(ack.text("/payload/acknowledged_msg_id"), order.id);
        assert_eq!(ack.text("/source"), "api-gateway");
    }
}

#[tokio::test]
async fn an_endpoint_meets_the_same_refusals() {
    let server = start_server().await;
    let (sender, _incoming) = server.attach("endpoint").expect("attached");
    let nobody = message(&Draft::order("endpoint", "nobody"));
    assert_eq!(code_of(sender.send(&nobody).await), "TARGET_UNAVAILABLE");
    let nobody = message(&Draft::ack("endpoint", "nobody"));
    assert_eq!(code_of(sender.post(&nobody).await), "TARGET_UNAVAILABLE");
    let mine = message(&Draft::order("tickwire", Value::Null));
    assert_eq!(code_of(sender.send(&mine).await), "SOURCE_NOT_ALLOWED");
    assert!(server.attach("tickwire").is_err());
    assert!(server.attach("").is_err());
    // It goes on behind them, however many.
    for _ in 0..200 {
        let mine = message(&Draft::order("tickwire", Value::Null));
        assert_eq!(code_of(sender.send(&mine).await), "SOURCE_NOT_ALLOWED");
    }
    let heartbeat = message(&Draft::heartbeat("endpoint", "health-monitor"));
    sender.send(&heartbeat).await.expect("accepted");
}

#[tokio::test]
async fn endpoints_and_connections_take_names_over_from_each_other() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut older = RawClient::owning(server.local_addr(), &["name"]).await;
    let (sender, mut incoming) = server.attach("name").expect("attached");
    older.expect_last_words("NAME_TAKEN_OVER").await;
    let order = Draft::order("stranger", "name");
    stranger.ask_acked(&order).await;
    assert_eq!(receive(&mut incoming).await, order.frame());

    let mut newer = RawClient::owning(server.local_addr(), &["name"]).await;
    assert_eq!(receive_notice(&mut incoming).await, "NAME_TAKEN_OVER");
    let end = within("the end", incoming.receive()).await;
    assert!(end.is_none(), "{end:?}");
    // Messages that its sender still sends are passed on as a stranger's.
    let late = Draft::order("name", "name");
    sender.send(&message(&late)).await.expect("accepted");
    assert_eq!(newer.receive().await.text("/msg_id"), late.id);
}

#[tokio::test]
async fn what_an_endpoint_did_not_receive_is_reported_when_it_is_dropped() {
    let server = start_server_with(|server| server.linger(Duration::ZERO)).await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let (_sender, incoming) = server.attach("name").expect("attached");
    let orders: Vec<_> = (0..3).map(|_| Draft::order("a", "name")).collect();
    for order in &orders {
        sender.ask_acked(order).await;
    }
    drop(incoming);
    let report = sender.receive().await;
    assert_eq!(report.code(), "UNDELIVERED");
    assert_eq!(report.json["payload"]["details"]["count"], 3);
    assert_eq!(report.text("/payload/details/first_msg_id"), orders[0].id);
    let late = Draft::order("a", "name");
    sender.ask_refused(&late, "TARGET_UNAVAILABLE").await;
}

#[tokio::test]
async fn what_an_endpoint_did_not_receive_waits_for_the_next_owner() {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let (_sender, incoming) = server.attach("name").expect("attached");
    let orders: Vec<_> = (0..3).map(|_| Draft::order("a", "name")).collect();
    for order in &orders {
        sender.ask_acked(order).await;
    }
    drop(incoming);
    let late = Draft::order("a", "name");
    sender.ask_refused(&late, "TARGET_UNAVAILABLE").await;
    let (_sender, mut incoming) = server.attach("name").expect("attached again");
    for order in &orders {
        assert_eq!(receive(&mut incoming).await, order.frame());
    }
    sender.assert_no_answer_waits().await;
}

/// Attaches an endpoint to "name" that has received the first of five orders,
/// which came as one run. Gives the other four as well.
async fn receive_the_first_of_a_run(
    server: &ServerHandle,
    sender: &mut RawClient,
) -> (EndpointReceiver, Vec<Draft>) {
    let (_sender, mut incoming) = server.attach("name").expect("attached");
    let mut orders: Vec<_> = (0..5).map(|_| Draft::order("a", "name")).collect();
    let run: Vec<u8> = (orders.iter())
        .flat_map(|order| framed(&order.frame()))
        .collect();
    sender.send_bytes(&run).await;
    for order in &orders {
        sender.receive().await.assert_acknowledges(&order.id);
    }
    assert_eq!(receive(&mut incoming).await, orders.remove(0).frame());
    (incoming, orders)
}

// The receiver used to take whole runs out of the queue: those of their messages
// that it had not returned were lost with it, though they were acknowledged.
#[tokio::test]
async fn the_rest_of_a_run_is_reported_when_its_endpoint_is_dropped() {
    let server = start_server_with(|server| server.linger(Duration::ZERO)).await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let (incoming, rest) = receive_the_first_of_a_run(&server, &mut sender).await;
    drop(incoming);
    let report = sender.receive().await;
    assert_eq!(report.code(), "UNDELIVERED");
    assert_eq!(report.json["payload"]["details"]["count"], 4);
    assert_eq!(report.text("/payload/details/first_msg_id"), rest[0].id);
}

#[tokio::test]
async fn the_rest_of_a_run_waits_for_the_next_owner() {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let (incoming, rest) = receive_the_first_of_a_run(&server, &mut sender).await;
    drop(incoming);
    let (_sender, mut incoming) = server.attach("name").expect("attached again");
    for order in &rest {
        assert_eq!(receive(&mut incoming).await, order.frame());
    }
    sender.assert_no_answer_waits().await;
}

#[tokio::test]
async fn the_rest_of_a_run_goes_to_an_owner_that_takes_the_name_over() {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let (mut incoming, rest) = receive_the_first_of_a_run(&server, &mut sender).await;
    let mut newer = RawClient::owning(server.local_addr(), &["name"]).await;
    for order in &rest {
        assert_eq!(newer.receive().await.frame, order.frame());
    }
    assert_eq!(receive_notice(&mut incoming).await, "NAME_TAKEN_OVER");
    assert!(within("the end", incoming.receive()).await.is_none());
}

#[tokio::test]
async fn the_rest_of_a_run_is_reported_when_the_server_stops() {
    let server = start_with_small_queues(Duration::ZERO).await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let (_incoming, rest) = receive_the_first_of_a_run(&server, &mut sender).await;
    within("shutdown", server.shutdown()).await;
    let report = sender.receive().await;
    assert_eq!(report.code(), "UNDELIVERED");
    assert_eq!(report.text("/payload/details/first_msg_id"), rest[0].id);
}

/// Receives all that is due, and nothing else in between.
async fn receive_all(due: &mut Due, incoming: &mut EndpointReceiver) {
    while !due.is_done() {
        match within("an event", incoming.receive()).await {
            Some(Event::Message(inbound)) => {
                let received = Received::new(inbound.into_json());
                assert_ne!(received.code(), "MESSAGES_DROPPED", "this is a notice");
                due.take(&received);
            }
            Some(Event::Notice(report)) => {
                assert_eq!(report.code, "MESSAGES_DROPPED");
                let details = report.details.expect("details");
                let details = serde_json::to_value(details).expect("JSON");
                due.take_report(&details);
            }
            other => panic!("an event was due: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_receive_pauses_its_senders() {
    let server = start_with_small_queues(Duration::from_secs(3_600)).await;
    let (_sender, mut incoming) = server.attach("slow").expect("attached");
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let mut due = fill(&mut peer, "slow").await;
    let waiting = Draft::order("peer", "slow");
    peer.send(&waiting).await;
    // A notice stands in the place of the dropped messages.
    receive_all(&mut due, &mut incoming).await;
    peer.receive().await.assert_acknowledges(&waiting.id);
    assert_eq!(receive(&mut incoming).await, waiting.frame());
}

#[tokio::test]
async fn an_endpoint_waits_for_room_like_a_connection() {
    let server = start_with_small_queues(Duration::from_millis(200)).await;
    let mut slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(server.local_addr()).await;
    let mut due = fill(&mut filler, "slow").await;
    let (sender, _incoming) = server.attach("endpoint").expect("attached");
    let order = message(&Draft::order("endpoint", "slow"));
    let outcome = within("a refusal", sender.send(&order)).await;
    assert_eq!(code_of(outcome), "QUEUE_FULL");
    let record = message(&Draft::log_record("endpoint", "slow"));
    let ack = sender.send(&record).await.expect("accepted");
    assert_eq!(ack.dropped(), 1);
    due.dropped(record.msg_id.to_string());
    due.receive_all(&mut slow).await;
    sender.send(&order).await.expect("there is room again");
}

#[tokio::test]
async fn many_senders_of_one_endpoint_wait_without_losing_anything() {
    const EVENTS: usize = 200;
    let server = start_with_small_queues(Duration::from_secs(3_600)).await;
    let (sender, _incoming) = server.attach("endpoint").expect("attached");
    let (_sender, mut incoming) = server.attach("target").expect("attached");
    let mut sending = Vec::new();
    for _ in 0..5 {
        let sender = sender.clone();
        sending.push(tokio::spawn(async move {
            for _ in 0..EVENTS {
                let event = message(&Draft::order("endpoint", "target"));
                sender.send(&event).await.expect("accepted");
            }
        }));
    }
    for _ in 0..5 * EVENTS {
        receive(&mut incoming).await;
    }
    for task in sending {
        task.await.expect("all are accepted");
    }
}

#[tokio::test]
async fn an_endpoint_is_told_of_the_shutdown_behind_what_was_queued() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let (sender, mut incoming) = server.attach("name").expect("attached");
    let order = Draft::order("peer", "name");
    peer.ask_acked(&order).await;
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    assert_eq!(receive(&mut incoming).await, order.frame());
    assert_eq!(receive_notice(&mut incoming).await, "SERVER_SHUTTING_DOWN");
    assert!(within("the end", incoming.receive()).await.is_none());
    peer.expect_last_words("SERVER_SHUTTING_DOWN").await;
    within("shutdown", stopping).await.expect("no panic");
    let late = message(&Draft::heartbeat("name", "health-monitor"));
    assert!(matches!(sender.send(&late).await, Err(SendError::Closed)));
    assert!(server.attach("another").is_err());
}

#[tokio::test]
async fn an_endpoint_that_lost_its_name_does_not_hold_up_the_end_of_the_server() {
    let server = start_server_with(|server| server.drain_timeout(Duration::from_secs(3_600))).await;
    let (_sender, mut incoming) = server.attach("name").expect("attached");
    let _owner = RawClient::owning(server.local_addr(), &["name"]).await;
    assert_eq!(receive_notice(&mut incoming).await, "NAME_TAKEN_OVER");
    assert!(within("the end", incoming.receive()).await.is_none());
    within("shutdown", server.shutdown()).await;
}

#[tokio::test]
async fn a_receiver_that_nobody_asks_again_does_not_hold_up_the_end_of_the_server() {
    let server = start_server_with(|server| server.drain_timeout(Duration::from_secs(3_600))).await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    // One has received all, the other does while the server waits for it.
    let (_, mut first) = server.attach("first").expect("attached");
    let (_, mut second) = server.attach("second").expect("attached");
    let orders = ["first", "second", "second"].map(|name| Draft::order("peer", name));
    for order in &orders {
        peer.ask_acked(order).await;
    }
    assert_eq!(receive(&mut first).await, orders[0].frame());
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    while server.attach("late").is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished(), "two orders are queued");
    for order in &orders[1..] {
        assert_eq!(receive(&mut second).await, order.frame());
    }
    within("shutdown", stopping).await.expect("no panic");
    assert_eq!(receive_notice(&mut first).await, "SERVER_SHUTTING_DOWN");
    assert_eq!(receive_notice(&mut second).await, "SERVER_SHUTTING_DOWN");
    peer.expect_last_words("SERVER_SHUTTING_DOWN").await;
}

#[tokio::test]
async fn an_endpoint_that_waits_for_room_does_not_outlast_the_server() {
    let server = start_with_small_queues(Duration::from_secs(3_600)).await;
    let _slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(server.local_addr()).await;
    fill(&mut filler, "slow").await;
    let (sender, _incoming) = server.attach("endpoint").expect("attached");
    let order = message(&Draft::order("endpoint", "slow"));
    let sending = sender.send(&order);
    tokio::pin!(sending);
    // It waits once it was polled.
    let waits = futures_util::poll!(sending.as_mut()).is_pending();
    assert!(waits, "there is no room");
    within("shutdown", server.shutdown()).await;
    let outcome = within("the end of the wait", sending).await;
    assert!(outcome.is_err(), "{outcome:?}");
}

#[tokio::test]
async fn liveness_and_log_see_what_is_accepted_whoever_owns_the_name() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let mut monitor = RawClient::owning(server.local_addr(), &["health-monitor"]).await;
    let record = |text: &str, target: Value| {
        Draft::log_record("trade-service", target).payload("message", text)
    };
    let heartbeat = Draft::heartbeat("connector", "health-monitor").payload("status", "degraded");
    peer.ask_acked(&heartbeat).await;
    assert_eq!(monitor.receive().await.frame, heartbeat.frame());
    peer.ask_acked(&Draft::heartbeat("feed", Value::Null)).await;
    let first = record("first", "log-aggregator".into());
    let second = record("second", "health-monitor".into());
    peer.ask_acked(&first).await;
    peer.ask_acked(&second).await;
    // Refused messages are not seen.
    let refused = record("refused", "nobody".into());
    peer.ask_refused(&refused, "TARGET_UNAVAILABLE").await;
    let refused = Draft::heartbeat("stranger", "nobody");
    peer.ask_refused(&refused, "TARGET_UNAVAILABLE").await;

    let mut seen: Vec<_> = server
        .liveness()
        .into_iter()
        .map(|liveness| {
            (
                liveness.source.to_string(),
                liveness.status,
                liveness.heartbeats,
            )
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            ("connector".to_owned(), Some("degraded".to_owned()), 1),
            ("feed".to_owned(), Some("alive".to_owned()), 1),
        ]
    );
    let logs = server.recent_logs();
    assert_eq!(logs, [first.frame(), second.frame()]);
}
