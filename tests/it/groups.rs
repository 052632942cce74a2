//! Names that several connections share, under load.

use std::collections::HashSet;
use std::net::SocketAddr;

use futures_util::future::join_all;
use serde_json::json;

use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, start_server, within};

const ORDERS: usize = 3_000;

fn hello(options: serde_json::Value) -> Draft {
    let hello = Draft::hello("worker")
        .payload("names", json!(["workers"]))
        .payload("group", true);
    let options = options.as_object().cloned().unwrap_or_default();
    (options.into_iter()).fold(hello, |hello, (key, value)| hello.payload(&key, value))
}

async fn worker(address: SocketAddr) -> RawClient {
    let mut peer = RawClient::connect_narrow(address).await;
    let welcome = peer.greet(&hello(json!({}))).await;
    assert_eq!(welcome.json["payload"]["granted"]["group"], true);
    peer
}

/// Sends `count` orders to the group, and gives their ids once all are acked.
async fn send_orders(address: SocketAddr, count: usize) -> HashSet<String> {
    let peer = RawClient::speaking_for_others(address).await;
    let orders: Vec<Draft> = (0..count)
        .map(|_| Draft::order("sender", "workers").padded(900))
        .collect();
    let (mut reader, mut writer) = (peer.reader, peer.writer);
    let write = async {
        for order in &orders {
            writer.send(order).await;
        }
    };
    let read = async {
        for order in &orders {
            reader.receive().await.assert_acknowledges(&order.id);
        }
    };
    tokio::join!(write, read);
    orders.into_iter().map(|order| order.id).collect()
}

/// The messages that each of the workers receives until all have received
/// `count` together.
async fn share(workers: &mut [RawClient], count: usize) -> Vec<Vec<Received>> {
    let (found, mut all) = tokio::sync::mpsc::unbounded_channel();
    let (done, _) = tokio::sync::watch::channel(false);
    let reading = workers.iter_mut().map(|worker| {
        let found = found.clone();
        let mut stop = done.subscribe();
        async move {
            let mut own = Vec::new();
            loop {
                tokio::select! {
                    message = worker.receive() => {
                        own.push(message);
                        found.send(()).expect("it is counted");
                    }
                    _ = stop.wait_for(|done| *done) => return own,
                }
            }
        }
    });
    let counting = async {
        for _ in 0..count {
            all.recv().await;
        }
        done.send_replace(true);
    };
    within("the share of each worker", async {
        tokio::join!(join_all(reading), counting).0
    })
    .await
}

#[tokio::test]
async fn workers_share_the_work_and_one_that_is_slow_takes_less() {
    let server = start_server().await;
    let address = server.local_addr();
    // It never reads.
    let _slow = worker(address).await;
    let mut workers = [worker(address).await, worker(address).await];
    let sent = tokio::spawn(send_orders(address, ORDERS));
    // The slow one took as much as its socket's buffers and 64 KiB hold.
    let at_least = ORDERS / 2;
    let shares = share(&mut workers, at_least).await;
    let mut seen = HashSet::new();
    for message in shares.iter().flatten() {
        assert!(seen.insert(message.text("/msg_id").to_owned()), "twice");
    }
    let sent = within("the acks", sent).await.expect("the sender succeeds");
    assert!(seen.is_subset(&sent));
    assert_eq!(server.name_count(), 1);
}

#[tokio::test]
async fn what_a_leaving_worker_did_not_get_goes_to_another() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut leaving = worker(address).await;
    let mut all = send_orders(address, 200).await;
    leaving.writer.end().await;
    // One comes while the other goes; a frame that the first had begun is
    // finished.
    let mut staying = [worker(address).await];
    all.extend(send_orders(address, 50).await);
    let by_leaving = leaving.reader.receive_to_end().await;
    let ids = |messages: &[Received]| -> HashSet<String> {
        let id = |message: &Received| message.text("/msg_id").to_owned();
        messages.iter().map(id).collect()
    };
    let mut seen = ids(&by_leaving);
    let missing = all.len() - seen.len();
    let shares = share(&mut staying, missing).await;
    seen.extend(ids(&shares[0]));
    // A frame that was begun may have gone to both, in place of the last.
    assert!(seen.is_subset(&all));
    assert!(
        all.len() - seen.len() <= 1,
        "{} are lost",
        all.len() - seen.len()
    );
}

#[tokio::test]
async fn a_group_and_an_owner_exclude_each_other() {
    let server = start_server().await;
    let address = server.local_addr();
    let _worker = worker(address).await;
    let mut other = RawClient::connect(address).await;
    let claim = Draft::hello("workers");
    other.ask_refused(&claim, "SOURCE_NOT_ALLOWED").await;
    let other_key = hello(json!({"group_key": "/payload/run_id"}));
    other.ask_refused(&other_key, "SOURCE_NOT_ALLOWED").await;
    let without_group = Draft::hello("x").payload("group_key", "/source");
    other.ask_refused(&without_group, "INVALID_PAYLOAD").await;
}
