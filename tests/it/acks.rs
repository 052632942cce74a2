//! How a `hello` chooses the acks.

use serde_json::json;
use tickwire::ServerHandle;

use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, framed, start_server, start_server_with};

fn beat() -> Draft {
    Draft::heartbeat("me", "health-monitor")
}

/// Orders to `gateway`, each hundredth to nobody, and all of them as bytes.
fn orders(count: usize) -> (Vec<Draft>, Vec<u8>) {
    let orders: Vec<Draft> = (0..count)
        .map(|number| match number % 100 {
            99 => Draft::order("me", "nobody"),
            _ => Draft::order("me", "gateway"),
        })
        .collect();
    let bytes = orders.iter().flat_map(|order| framed(&order.frame()));
    let bytes = bytes.collect();
    (orders, bytes)
}

/// A connection that owns "me" and has chosen these acks.
async fn choosing(server: &ServerHandle, acks: &str) -> RawClient {
    let mut peer = RawClient::connect(server.local_addr()).await;
    let hello = Draft::hello("me").payload("acks", acks);
    let welcome = peer.greet(&hello).await;
    assert_eq!(welcome.json["payload"]["granted"]["acks"], acks);
    peer
}

/// The messages that a batch ack covers.
fn covered(ack: &Received) -> Vec<String> {
    let list = ack.json["payload"]["acknowledged_msg_ids"].as_array();
    let list = list.unwrap_or_else(|| panic!("no batch ack: {ack:?}"));
    assert!((1..=1_024).contains(&list.len()));
    assert_eq!(list.last().unwrap(), ack.acknowledged());
    list.iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

/// The answers, in order: the ids of the messages, and whether each was
/// accepted. Returns the number of frames, too.
async fn fates_until(
    peer: &mut RawClient,
    is_last: impl Fn(&Received) -> bool,
) -> (Vec<(String, bool)>, usize) {
    let mut fates = Vec::new();
    for frames in 0.. {
        let answer = peer.receive().await;
        if is_last(&answer) {
            return (fates, frames);
        }
        match answer.kind() {
            "ack" => fates.extend(covered(&answer).into_iter().map(|id| (id, true))),
            _ => {
                assert_eq!(answer.code(), "TARGET_UNAVAILABLE", "{answer:?}");
                fates.push((answer.about().to_owned(), false));
            }
        }
    }
    unreachable!("a connection doesn't answer for ever")
}

fn expected(orders: &[Draft]) -> Vec<(String, bool)> {
    let fate = |(number, order): (usize, &Draft)| (order.id.clone(), number % 100 != 99);
    orders.iter().enumerate().map(fate).collect()
}

#[tokio::test]
async fn a_batch_ack_answers_many_messages_once_each_and_in_their_order() {
    let server = start_server().await;
    let mut gateway = RawClient::owning(server.local_addr(), &["gateway"]).await;
    let mut peer = choosing(&server, "batch").await;
    let (orders, mut bytes) = orders(5_000);
    let fence = Draft::hello("me");
    bytes.extend(framed(&fence.frame()));
    peer.send_bytes(&bytes).await;
    let is_welcome = |answer: &Received| answer.text("/payload/hello_msg_id") == fence.id;
    let (fates, frames) = fates_until(&mut peer, is_welcome).await;
    assert_eq!(fates, expected(&orders));
    assert!(frames < 1_000, "{frames} answers to 5,000 messages");
    for (order, (_, accepted)) in orders.iter().zip(fates) {
        if accepted {
            assert_eq!(gateway.receive().await.frame, order.frame());
        }
    }
}

#[tokio::test]
async fn a_message_by_itself_is_acknowledged_at_once() {
    let server = start_server().await;
    let mut peer = choosing(&server, "batch").await;
    for _ in 0..3 {
        let beat = beat();
        let ack = peer.ask_acked(&beat).await;
        assert_eq!(covered(&ack), [beat.id]);
        assert_eq!(ack.json["target"], "me");
    }
}

#[tokio::test]
async fn who_ends_its_input_still_gets_every_batch() {
    let server = start_server().await;
    let mut gateway = RawClient::owning(server.local_addr(), &["gateway"]).await;
    let mut peer = choosing(&server, "batch").await;
    let (orders, bytes) = orders(3_000);
    peer.send_bytes(&bytes).await;
    let last = orders.last().unwrap().id.clone();
    peer.writer.end().await;
    let (fates, _) = fates_until(&mut peer, |answer| answer.about() == last).await;
    assert_eq!(fates, expected(&orders)[..2_999]);
    peer.reader.expect_end().await;
    gateway.receive().await;
}

#[tokio::test]
async fn without_acks_a_fence_tells_that_the_rest_was_accepted() {
    let server = start_server().await;
    let mut gateway = RawClient::owning(server.local_addr(), &["gateway"]).await;
    let mut peer = choosing(&server, "none").await;
    let (orders, mut bytes) = orders(1_000);
    let fence = Draft::hello("me").payload("acks", "each");
    bytes.extend(framed(&fence.frame()));
    peer.send_bytes(&bytes).await;
    let is_welcome = |answer: &Received| answer.text("/payload/hello_msg_id") == fence.id;
    let (fates, frames) = fates_until(&mut peer, is_welcome).await;
    let refused: Vec<_> = expected(&orders)
        .into_iter()
        .filter(|fate| !fate.1)
        .collect();
    assert_eq!((fates, frames), (refused, 10));
    for _ in 0..990 {
        gateway.receive().await;
    }
    // The fence asked for acks again.
    peer.ask_acked(&beat()).await;
}

#[tokio::test]
async fn details_are_there_also_when_nothing_was_dropped() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    for (acks, none_dropped) in [("each", json!(0)), ("batch", json!([0]))] {
        let hello = Draft::hello("me").payload("acks", acks);
        peer.greet(&hello.payload("ack_details", true)).await;
        let ack = peer.ask_acked(&beat()).await;
        assert_eq!(ack.json["payload"]["dropped"], none_dropped);
    }
    // An option that a hello leaves out stays.
    peer.greet(&Draft::hello("me")).await;
    let ack = peer.ask_acked(&beat()).await;
    assert_eq!(ack.json["payload"]["dropped"], json!([0]));
}

#[cfg(feature = "client")]
#[tokio::test]
async fn a_client_that_asks_for_batches_answers_each_send_by_itself() {
    use futures_util::future::join_all;
    use tickwire::client::SendError;
    use tickwire::wire::{Level, LogRecord, Message, Order, Side, Timestamp};
    use tickwire::{Client, ClientConfig};

    let server = start_server_with(|server| server.queue_messages(16)).await;
    // It doesn't receive, so messages to it are dropped in the end.
    let (_busy, _inbox) = server.attach("busy").expect("attached");
    let config = ClientConfig::new("me").batch_acks(true);
    let connecting = Client::connect(server.local_addr(), config);
    let (client, _events) = connecting.await.expect("welcomed");
    let messages: Vec<Message> = (0..300)
        .map(|number| match number % 3 {
            0 => Message::heartbeat("me", "alive").unwrap(),
            1 => {
                let record = LogRecord::new(Timestamp::now(), Level::Info, "tests", "all is well");
                Message::new("me", "busy", record).unwrap()
            }
            _ => Message::order("me", "nobody", "run", Order::new("o", "X", Side::Buy, 1)).unwrap(),
        })
        .collect();
    let sends = messages.iter().map(|message| client.send(message.clone()));
    let outcomes = join_all(sends).await;
    let mut dropped = 0;
    for (number, (message, outcome)) in messages.iter().zip(outcomes).enumerate() {
        match outcome {
            Ok(ack) => {
                assert_eq!(ack.acknowledged_msg_id, message.msg_id);
                assert!(ack.dropped() == 0 || number % 3 == 1);
                dropped += ack.dropped();
            }
            Err(SendError::Refused(report)) => {
                assert_eq!(number % 3, 2);
                assert_eq!(report.code, "TARGET_UNAVAILABLE");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(dropped, 100 - 14, "seven eighths of the queue took it");
    client.close().await.expect("everything was answered");
}
