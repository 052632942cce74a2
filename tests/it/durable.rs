//! Messages to durable names: kept on disk until their receiver settles them.

use std::path::Path;

use tempfile::TempDir;
use tickwire::ServerHandle;
use tickwire::router::NameConfig;

use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, start_server_with};

/// A server with a journal in `folder`, whose name `store` is durable.
async fn start_server(folder: &Path) -> ServerHandle {
    let mut durable = NameConfig::default();
    durable.durable = true;
    start_server_with(|server| server.data_dir(folder).queue_of("store", durable)).await
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The ack by which the owner of `store` settles a message of `source`.
fn settling(source: &str, msg_id: &str) -> Draft {
    Draft::ack("store", source).payload("acknowledged_msg_id", msg_id)
}

/// Sends orders to `store`, each acknowledged before the next.
async fn send_orders(sender: &mut RawClient, count: usize) -> Vec<Draft> {
    let mut sent = Vec::new();
    for _ in 0..count {
        let order = Draft::order("sender", "store");
        sender.ask_acked(&order).await;
        sent.push(order);
    }
    sent
}

/// Receives exactly these messages, in this order and byte for byte.
async fn receive_all(receiver: &mut RawClient, expected: &[Draft]) {
    for order in expected {
        let received = receiver.receive().await;
        assert_eq!(received.frame, order.frame(), "{received:?}");
    }
}

/// Settles these messages, and waits until that is on disk. Fails if anything else comes.
async fn settle_all(receiver: &mut RawClient, orders: &[Draft]) {
    for order in orders {
        receiver.send(&settling("sender", &order.id)).await;
    }
    let before = fence(receiver).await;
    assert!(before.is_empty(), "nothing should have come: {before:?}");
}

/// Everything that comes before the `welcome` to a `hello` sent now.
async fn fence(client: &mut RawClient) -> Vec<Received> {
    let hello = Draft::hello("fence");
    client.send(&hello).await;
    let mut before = Vec::new();
    loop {
        let received = client.receive().await;
        if received.text("/payload/hello_msg_id") == hello.id {
            return before;
        }
        before.push(received);
    }
}

#[tokio::test]
async fn what_nobody_owns_yet_is_kept_and_delivered_until_it_is_settled() {
    let folder = folder();
    let server = start_server(folder.path()).await;
    let address = server.local_addr();
    let mut sender = RawClient::speaking_for_others(address).await;
    let sent = send_orders(&mut sender, 3).await;
    // Unsettled, it comes to the next owner again.
    for _ in 0..2 {
        let mut receiver = RawClient::owning(address, &["store"]).await;
        receive_all(&mut receiver, &sent).await;
        receiver.leave().await;
    }
    let mut receiver = RawClient::owning(address, &["store"]).await;
    receive_all(&mut receiver, &sent).await;
    settle_all(&mut receiver, &sent[..2]).await;
    let mut next = RawClient::owning(address, &["store"]).await;
    receive_all(&mut next, &sent[2..]).await;
    settle_all(&mut next, &sent[2..]).await;
    next.leave().await;
    // Its sender has gone, which is no error, and nothing is left.
    let mut last = RawClient::owning(address, &["store"]).await;
    let live = send_orders(&mut sender, 1).await;
    receive_all(&mut last, &live).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_that_was_started_again_delivers_what_is_not_settled() {
    let folder = folder();
    let server = start_server(folder.path()).await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let mut receiver = RawClient::owning(server.local_addr(), &["store"]).await;
    let sent = send_orders(&mut sender, 5).await;
    receive_all(&mut receiver, &sent).await;
    settle_all(&mut receiver, &sent[1..3]).await;
    server.shutdown().await;
    let server = start_server(folder.path()).await;
    let mut receiver = RawClient::owning(server.local_addr(), &["store"]).await;
    let unsettled = [&sent[..1], &sent[3..]].concat();
    receive_all(&mut receiver, &unsettled).await;
    settle_all(&mut receiver, &unsettled).await;
    server.shutdown().await;
    let server = start_server(folder.path()).await;
    let mut receiver = RawClient::owning(server.local_addr(), &["store"]).await;
    receiver.assert_no_answer_waits().await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_ack_that_settles_is_routed_and_one_that_does_not_is_as_any_other() {
    let folder = folder();
    let server = start_server(folder.path()).await;
    let address = server.local_addr();
    let mut sender = RawClient::owning(address, &["sender"]).await;
    let mut receiver = RawClient::owning(address, &["store"]).await;
    let sent = send_orders(&mut sender, 2).await;
    receive_all(&mut receiver, &sent).await;
    let settles = settling("sender", &sent[0].id);
    receiver.send(&settles).await;
    assert_eq!(sender.receive().await.frame, settles.frame());
    sender.leave().await;
    // The sender is away. Only the first of these has settled something.
    receiver.send(&settling("sender", &sent[1].id)).await;
    let again = settling("sender", &sent[1].id);
    receiver.send(&again).await;
    let answer = receiver.receive().await;
    answer.assert_refuses(&again.id, "TARGET_UNAVAILABLE");
    // A stranger settles nothing, and neither does an owner of another name.
    server.shutdown().await;
}

#[tokio::test]
async fn strangers_and_former_owners_settle_nothing() {
    let folder = folder();
    let server = start_server(folder.path()).await;
    let address = server.local_addr();
    let mut sender = RawClient::owning(address, &["sender", "other"]).await;
    let mut former = RawClient::owning(address, &["store", "former"]).await;
    let sent = send_orders(&mut sender, 1).await;
    receive_all(&mut former, &sent).await;
    let mut owner = RawClient::owning(address, &["store"]).await;
    assert_eq!(former.receive().await.code(), "NAME_TAKEN_OVER");
    receive_all(&mut owner, &sent).await;
    let mut stranger = RawClient::speaking_for_others(address).await;
    for client in [&mut former, &mut stranger] {
        client.send(&settling("sender", &sent[0].id)).await;
        fence(client).await;
        // They are routed all the same.
        assert_eq!(sender.receive().await.kind(), "ack");
    }
    // Ids are unique for each source only.
    owner.send(&settling("other", &sent[0].id)).await;
    fence(&mut owner).await;
    let mut next = RawClient::owning(address, &["store"]).await;
    receive_all(&mut next, &sent).await;
    server.shutdown().await;
}

#[tokio::test]
async fn more_than_the_owner_may_hold_unsettled_comes_as_it_settles() {
    const MESSAGES: usize = 5_000;
    let folder = folder();
    let server = start_server(folder.path()).await;
    let address = server.local_addr();
    let mut sender = RawClient::connect(address).await;
    let hello = Draft::hello("sender").payload("acks", "none");
    sender.greet(&hello).await;
    let mut receiver = RawClient::owning(address, &["store"]).await;
    let sent: Vec<Draft> = (0..MESSAGES)
        .map(|_| Draft::order("sender", "store"))
        .collect();
    for part in sent.chunks(50) {
        let frames = part
            .iter()
            .map(|order| crate::raw_client::framed(&order.frame()));
        sender
            .send_bytes(&frames.collect::<Vec<_>>().concat())
            .await;
    }
    assert!(fence(&mut sender).await.is_empty());
    for part in sent.chunks(500) {
        receive_all(&mut receiver, part).await;
        for order in part {
            receiver.send(&settling("sender", &order.id)).await;
        }
    }
    assert!(fence(&mut receiver).await.is_empty());
    let acks = fence(&mut sender).await;
    assert_eq!(acks.len(), MESSAGES, "each was routed to the sender");
    server.shutdown().await;
}

#[tokio::test]
async fn two_durable_names_that_acknowledge_everything_come_to_rest() {
    let folder = folder();
    let mut durable = NameConfig::default();
    durable.durable = true;
    let server =
        start_server_with(|server| server.data_dir(folder.path()).queue_of("d-*", durable)).await;
    let address = server.local_addr();
    let mut one = RawClient::owning(address, &["d-one"]).await;
    let mut two = RawClient::owning(address, &["d-two"]).await;
    let order = Draft::order("d-one", "d-two");
    one.ask_acked(&order).await;
    let received = two.receive().await;
    let ack = Draft::ack("d-two", "d-one").payload("acknowledged_msg_id", received.text("/msg_id"));
    two.send(&ack).await;
    // An ack is not kept: this one settles nothing, and goes from memory.
    let received = one.receive().await;
    let second =
        Draft::ack("d-one", "d-two").payload("acknowledged_msg_id", received.text("/msg_id"));
    one.send(&second).await;
    assert_eq!(two.receive().await.frame, second.frame());
    two.leave().await;
    one.ask_refused(&second, "TARGET_UNAVAILABLE").await;
    let mut two = RawClient::owning(address, &["d-two"]).await;
    two.assert_no_answer_waits().await;
    server.shutdown().await;
}
