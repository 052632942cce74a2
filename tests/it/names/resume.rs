//! A client that comes back sends its unanswered messages again.

use serde_json::Value;

use crate::draft::Draft;
use crate::raw_client::{RawClient, start_server};

fn granted(welcome: &Value) -> (bool, bool) {
    let granted = &welcome["payload"]["granted"];
    (granted["resumable"] == true, granted["resume"] == true)
}

/// A connector loses its connection before it has read its acks, and sends all
/// of its orders again: the gateway must get each of them once.
#[tokio::test]
async fn what_is_sent_again_after_a_broken_connection_is_delivered_once() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut gateway = RawClient::owning(address, &["gateway"]).await;
    let orders: Vec<_> = (0..6).map(|_| Draft::order("me", "gateway")).collect();

    let mut first = RawClient::connect(address).await;
    let hello = Draft::hello("me").payload("resumable", true);
    assert_eq!(granted(&first.greet(&hello).await.json), (true, false));
    for order in &orders[..4] {
        first.send(order).await;
    }
    for order in &orders[..4] {
        assert_eq!(gateway.receive().await.frame, order.frame());
    }
    drop(first);

    let mut second = RawClient::connect(address).await;
    let hello = Draft::hello("me")
        .payload("resumable", true)
        .payload("resume", true);
    assert_eq!(granted(&second.greet(&hello).await.json), (true, true));
    for order in &orders {
        second.ask_acked(order).await;
    }
    for order in &orders[4..] {
        assert_eq!(gateway.receive().await.frame, order.frame());
    }
    gateway.assert_no_answer_waits().await;
}
