//! A client that comes back sends again what was not answered.

use serde_json::Value;

use crate::draft::Draft;
use crate::peer::{Peer, start_server};

fn granted(welcome: &Value) -> (bool, bool) {
    let granted = &welcome["payload"]["granted"];
    (granted["resumable"] == true, granted["resume"] == true)
}

/// A connector whose connection breaks before it has read its acks sends all of
/// its orders again: the gateway must get each of them once.
#[tokio::test]
async fn what_is_sent_again_after_a_broken_connection_is_delivered_once() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut gateway = Peer::owning(address, &["gateway"]).await;
    let orders: Vec<_> = (0..6).map(|_| Draft::order("me", "gateway")).collect();

    let mut first = Peer::connect(address).await;
    let hello = Draft::hello("me").payload("resumable", true);
    assert_eq!(granted(&first.greet(&hello).await.json), (true, false));
    for order in &orders[..4] {
        first.send(order).await;
    }
    for order in &orders[..4] {
        assert_eq!(gateway.receive().await.frame, order.frame());
    }
    drop(first);

    let mut second = Peer::connect(address).await;
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
