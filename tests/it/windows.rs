//! `hello` with a `window`, over TCP: a receiver that takes no more than it
//! wants leaves the rest to the next owner.

use serde_json::{Value, json};
use tickwire::ServerHandle;

use crate::draft::Draft;
use crate::raw_client::{RawClient, framed, start_server};

/// A connection that owns "desk" and is handed so many messages.
async fn windowed(server: &ServerHandle, messages: u32) -> RawClient {
    let mut peer = RawClient::connect(server.local_addr()).await;
    let hello = Draft::hello("desk").payload("window", messages);
    let welcome = peer.greet(&hello).await;
    assert_eq!(welcome.json["payload"]["granted"]["window"], messages);
    peer
}

/// Sends so many orders to "desk" at once, and waits until all are queued.
async fn send_orders(server: &ServerHandle, count: usize) -> Vec<Vec<u8>> {
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let orders: Vec<Draft> = (0..count).map(|_| Draft::order("me", "desk")).collect();
    let frames: Vec<_> = orders.iter().map(Draft::frame).collect();
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
    sender.send_bytes(&bytes).await;
    for order in &orders {
        sender.receive().await.assert_acknowledges(&order.id);
    }
    frames
}

async fn receive(peer: &mut RawClient, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for _ in 0..count {
        frames.push(peer.receive().await.frame.to_vec());
    }
    frames
}

#[tokio::test]
async fn what_was_not_handed_over_goes_to_the_next_owner_in_its_order() {
    let server = start_server().await;
    let mut first = windowed(&server, 3).await;
    let orders = send_orders(&server, 10).await;
    assert_eq!(receive(&mut first, 3).await, orders[..3]);
    // The fence comes next: nothing more was handed over.
    first.greet(&Draft::hello("desk")).await;
    first.send(&Draft::ack("desk", "tickwire")).await;
    assert_eq!(receive(&mut first, 1).await, orders[3..4]);
    first.greet(&Draft::hello("desk")).await;
    let mut next = RawClient::owning(server.local_addr(), &["desk"]).await;
    assert_eq!(receive(&mut next, 6).await, orders[4..]);
    assert_eq!(next.fence().await.len(), 0);
}

#[tokio::test]
async fn a_window_is_an_integer_or_nothing_changes() {
    let server = start_server().await;
    let mut peer = windowed(&server, 2).await;
    for wrong in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(true),
        Value::Null,
        json!(4_294_967_296_u64),
    ] {
        let hello = Draft::hello("desk").payload("window", wrong);
        let refused = peer.ask_refused(&hello, "INVALID_PAYLOAD").await;
        assert_eq!(refused.text("/payload/details/field"), "payload.window");
    }
    let welcome = peer.greet(&Draft::hello("desk")).await;
    assert_eq!(welcome.json["payload"]["granted"]["window"], 2);
    let mut other = RawClient::connect(server.local_addr()).await;
    let welcome = other.greet(&Draft::hello("other")).await;
    assert!(welcome.json["payload"]["granted"].get("window").is_none());
}

#[cfg(feature = "client")]
#[tokio::test]
async fn a_client_that_wants_two_messages_takes_no_others_with_it() {
    use tickwire::client::Event;
    use tickwire::{Client, ClientConfig};

    use crate::raw_client::within;

    let server = start_server().await;
    let holder = windowed(&server, 0).await;
    let orders = send_orders(&server, 10).await;
    let config = ClientConfig::new("desk").window(2);
    let connecting = within("connect", Client::connect(server.local_addr(), config));
    let (client, mut receiver) = connecting.await.expect("it is welcomed");
    assert_eq!(client.welcome().granted.window, Some(2));
    for order in &orders[..2] {
        let event = within("a message", receiver.receive()).await;
        let Some(Event::Message(inbound)) = event else {
            panic!("{event:?}")
        };
        assert_eq!(inbound.json(), order);
    }
    within("close", client.close()).await.expect("it closes");
    drop(holder);
    let mut next = RawClient::owning(server.local_addr(), &["desk"]).await;
    assert_eq!(receive(&mut next, 8).await, orders[2..]);
}
