//! Subscriptions over TCP.

use serde_json::{Value, json};

use crate::draft::Draft;
use crate::raw_client::{RawClient, start_server};

const SYMBOL: &str = "/payload/payload_json/symbol";

fn bar(symbol: &str) -> Draft {
    Draft::order("feed", Value::Null).payload("payload_json", json!({"symbol": symbol}))
}

fn subscribe(id: &str, symbol: &str) -> Draft {
    Draft::new("subscribe", "me", Value::Null)
        .payload("id", id)
        .payload(
            "where",
            json!([{"field": SYMBOL, "op": "eq", "value": symbol}]),
        )
}

#[tokio::test]
async fn each_gets_what_it_subscribed_to_byte_for_byte() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut btc = RawClient::speaking_for_others(address).await;
    let mut eth = RawClient::owning(address, &["eth"]).await;
    let mut all = RawClient::owning(address, &["all"]).await;
    let mut feed = RawClient::speaking_for_others(address).await;
    btc.ask_acked(&subscribe("x", "BTC")).await;
    eth.ask_acked(&subscribe("x", "ETH")).await;
    let bars: Vec<Draft> = ["BTC", "ETH", "BTC", "SOL", "ETH"].map(bar).into();
    for bar in &bars {
        feed.ask_acked(bar).await;
    }
    for (peer, expected) in [
        (&mut btc, &[0, 2][..]),
        (&mut eth, &[1, 4]),
        (&mut all, &[0, 1, 2, 3, 4]),
    ] {
        for &index in expected {
            assert_eq!(&peer.receive().await.frame[..], bars[index].frame());
        }
        peer.assert_no_answer_waits().await;
    }
}

#[tokio::test]
async fn who_comes_late_finds_the_last_of_each() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut feed = RawClient::speaking_for_others(address).await;
    let snapshot = || {
        Draft::new("subscribe", "me", Value::Null)
            .payload("id", "bars")
            .payload("key", SYMBOL)
            .payload("mode", "latest")
            .payload("snapshot", true)
    };
    let mut first = RawClient::speaking_for_others(address).await;
    first.ask_acked(&snapshot()).await;
    let bars: Vec<Draft> = ["BTC", "ETH", "BTC"].map(bar).into();
    for bar in &bars {
        feed.ask_acked(bar).await;
    }
    let mut late = RawClient::speaking_for_others(address).await;
    late.ask_acked(&snapshot()).await;
    for bar in &bars[1..] {
        assert_eq!(&late.receive().await.frame[..], bar.frame());
    }
    let next = bar("ETH");
    feed.ask_acked(&next).await;
    assert_eq!(&late.receive().await.frame[..], next.frame());
    let gone = Draft::new("unsubscribe", "me", Value::Null).payload("id", "bars");
    late.ask_acked(&gone).await;
    late.ask_refused(&gone, "INVALID_PAYLOAD").await;
}
