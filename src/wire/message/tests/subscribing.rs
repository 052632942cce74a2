//! Subscriptions, written by a client and read by the server.

use super::*;
use crate::wire::{Mode, Parser, SubscribeRequest, UnsubscribeRequest};

fn written(payload: impl Into<Payload>) -> Message {
    let message = Message::new("dashboard", Target::Everyone, payload).unwrap();
    let json = message.to_json();
    assert_eq!(Message::from_json(json.as_bytes()).unwrap(), message);
    let header = Parser::default().parse(json.as_bytes()).unwrap();
    assert_eq!(header.msg_id, message.msg_id);
    message
}

#[test]
fn the_server_reads_what_a_client_asks_for() {
    let symbol = "/payload/payload_json/symbol";
    let subscribe = Subscribe::new("bars")
        .with(Condition::eq("source", "feed"))
        .with(Condition::eq(symbol, ()))
        .with(Condition::one_of(symbol, ["BTCUSDT", "ETH\"USDT"]))
        .with(Condition::prefix(symbol, "BTC"))
        .with(Condition::present(symbol))
        .with(Condition::absent("/x"))
        .with(Condition::new("/n", Operator::Ge).against("45000.50".parse::<Number>().unwrap()))
        .with(Condition::new("/n", Operator::Lt).against(5_i64))
        .latest(symbol)
        .with_snapshot(symbol);
    let message = written(subscribe);
    let json = message.to_json();
    assert!(json.contains(
        r#""where":[{"field":"source","op":"eq","value":"feed"},{"field":"/payload/payload_json/symbol","op":"eq","value":null},"#
    ), "{json}");
    let read = SubscribeRequest::read(json.as_bytes()).unwrap();
    assert_eq!(read.id, "bars");
    assert_eq!(read.mode, Mode::Latest);
    assert_eq!(read.key.unwrap().to_string(), symbol);
    assert!(read.snapshot);
    let equals: Vec<usize> = (read.filter.conditions().iter())
        .map(|condition| condition.equals().map_or(0, <[_]>::len))
        .collect();
    assert_eq!(equals, [1, 1, 2, 0, 0, 0, 0, 0]);

    let plain = written(Subscribe::new("all")).to_json();
    assert!(plain.ends_with(r#""payload":{"id":"all"}}"#), "{plain}");

    let end = written(Unsubscribe::new("bars")).to_json();
    assert_eq!(UnsubscribeRequest::read(end.as_bytes()).unwrap().id, "bars");
}

#[test]
fn keeps_what_it_does_not_know_of_a_subscription() {
    let json = r#"{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"subscribe","timestamp":"2026-01-03T12:41:00Z","source":"a","payload":{"id":"a","where":[{"field":"/a","op":"near","value":1.50e1,"by":2},{"field":"/a","op":"eq","value":null}],"mode":"some","later":[1]}}"#;
    let message = read(json);
    let Payload::Subscribe(subscribe) = &message.payload else {
        panic!("{message:?}");
    };
    let conditions = subscribe.conditions.as_ref().unwrap();
    assert_eq!(conditions[0].op, Operator::Other("near".into()));
    assert_eq!(conditions[0].value.as_ref().unwrap().as_str(), "1.50e1");
    assert_eq!(conditions[1], Condition::eq("/a", ()));
    assert_eq!(subscribe.mode, Some(SubscriptionMode::Other("some".into())));
    assert_eq!(message.to_json(), json);
}
