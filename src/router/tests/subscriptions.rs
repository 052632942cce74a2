//! The receivers of broadcasts: subscriptions, the latest only, snapshots.

use super::*;
use crate::limits::SUBSCRIPTIONS_PER_CONNECTION_MAX;

mod latest;
mod model;
mod snapshot;

pub(super) const SYMBOL: &str = "/payload/payload_json/symbol";

/// A bar, broadcast.
pub(super) fn bar(
    number: usize,
    source: &str,
    symbol: impl Into<Value>,
    close: impl Into<Value>,
) -> Value {
    let mut bar = order(number, source, Value::Null);
    bar["payload"]["event_type"] = "market_data".into();
    bar["payload"]["payload_json"] = json!({"symbol": symbol.into(), "close": close.into()});
    bar
}

fn subscribe(number: usize, id: &str, mut options: Value) -> Value {
    options["id"] = id.into();
    message("subscribe", number, "me", Value::Null, options)
}

fn unsubscribe(number: usize, id: &str) -> Value {
    message("unsubscribe", number, "me", Value::Null, json!({"id": id}))
}

pub(super) fn symbol_is(symbol: &str) -> Value {
    json!([{"field": SYMBOL, "op": "eq", "value": symbol}])
}

impl TestClient {
    /// Subscribes and sees it acknowledged.
    pub(super) fn subscribe(&mut self, id: &str, options: Value) {
        let _ = self.say(&subscribe(900, id, options));
        let answers = self.read();
        assert_eq!(kinds(&answers)[0], "ack", "{answers:?}");
    }
}

fn id_list(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(id).collect()
}

#[test]
fn a_connection_with_subscriptions_gets_what_matches_any_of_them_once() {
    let router = router();
    let mut named = TestClient::named(&router, "named");
    let mut tool = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    let btc = |number| bar(number, "sender", "BTC", number);
    let eth = |number| bar(number, "sender", "ETH", number);
    let _ = sender.say_all(&[btc(1), eth(2)]);
    assert_eq!(ids(&named.read()), id_list([1, 2]));
    assert!(tool.read().is_empty());
    named.subscribe("btc", json!({"where": symbol_is("BTC")}));
    tool.subscribe("eth", json!({"where": symbol_is("ETH")}));
    tool.subscribe(
        "late",
        json!({"where": [{"field": "/payload/payload_json/close", "op": "ge", "value": 5}]}),
    );
    let _ = sender.say_all(&[btc(3), eth(4), btc(5), eth(6)]);
    assert_eq!(acked(&sender.read()).len(), 6);
    assert_eq!(ids(&named.read()), id_list([3, 5]));
    assert_eq!(ids(&tool.read()), id_list([4, 5, 6]));
    let _ = named.say(&unsubscribe(7, "btc"));
    assert_eq!(acked(&named.read()), [id(7)]);
    let _ = tool.say(&unsubscribe(8, "eth"));
    assert_eq!(acked(&tool.read()), [id(8)]);
    let _ = sender.say_all(&[btc(9), eth(1)]);
    assert_eq!(ids(&named.read()), id_list([9, 1]), "everything again");
    assert_eq!(ids(&tool.read()), id_list([9]));
}

#[test]
fn a_known_id_replaces_and_an_unknown_one_cannot_be_given_up() {
    let router = router();
    let mut tool = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    tool.subscribe("one", json!({"where": symbol_is("BTC")}));
    tool.subscribe("one", json!({"where": symbol_is("ETH")}));
    let _ = sender.say_all(&[bar(1, "sender", "BTC", 1), bar(2, "sender", "ETH", 1)]);
    assert_eq!(ids(&tool.read()), id_list([2]));
    let _ = tool.say(&unsubscribe(3, "two"));
    let answers = tool.read();
    assert_eq!(kinds(&answers), ["INVALID_PAYLOAD"]);
    assert_eq!(answers[0]["payload"]["details"]["field"], "payload.id");
    let _ = tool.say_all(&[unsubscribe(4, "one"), unsubscribe(5, "one")]);
    assert_eq!(kinds(&tool.read()), ["ack", "INVALID_PAYLOAD"]);
    let _ = sender.say(&bar(6, "sender", "ETH", 1));
    assert!(tool.read().is_empty());
}

#[test]
fn a_sender_does_not_hear_itself_and_a_hello_drops_no_subscription() {
    let router = router();
    let mut one = TestClient::named(&router, "one");
    let mut two = TestClient::named(&router, "two");
    one.subscribe("all", json!({}));
    two.subscribe("all", json!({}));
    let _ = one.say(&hello("one", json!({"names": ["another"]})));
    assert_eq!(kinds(&one.read()), ["welcome"]);
    let _ = one.say(&bar(1, "one", "BTC", 1));
    assert_eq!(acked(&one.read()), [id(1)]);
    assert_eq!(ids(&two.read()), id_list([1]));
    let _ = two.say(&bar(2, "two", "BTC", 1));
    assert_eq!(ids(&one.read()), id_list([2]));
    one.session.end_input();
    let _ = two.say(&bar(3, "two", "BTC", 1));
    assert!(one.read().is_empty(), "its input has ended");
}

#[test]
fn who_wants_no_broadcasts_gets_none_whatever_it_subscribed_to() {
    let router = router();
    let mut client = TestClient::new(&router);
    let mut sender = TestClient::named(&router, "sender");
    let _ = client.say(&hello("peer", json!({"broadcasts": "none"})));
    let welcome = client.read();
    assert_eq!(welcome[0]["payload"]["granted"]["broadcasts"], "none");
    client.subscribe("all", json!({}));
    let _ = sender.say(&bar(1, "sender", "BTC", 1));
    assert!(client.read().is_empty());
    let _ = client.say(&hello("peer", json!({"acks": "batch"})));
    let welcome = client.read();
    assert_eq!(welcome[0]["payload"]["granted"]["broadcasts"], "none");
    let _ = client.say(&hello("peer", json!({"broadcasts": "all"})));
    let welcome = client.read();
    assert_eq!(welcome[0]["payload"]["granted"]["broadcasts"], "all");
    let _ = sender.say(&bar(2, "sender", "BTC", 1));
    assert_eq!(ids(&client.read()), id_list([2]));
}

#[test]
fn control_messages_are_acknowledged_singly_whatever_acks_says() {
    let router = router();
    let mut client = TestClient::new(&router);
    for acks in ["none", "batch"] {
        let _ = client.say_all(&[
            hello("peer", json!({"acks": acks})),
            subscribe(1, "a", json!({})),
            unsubscribe(2, "a"),
        ]);
        let answers = client.read();
        assert_eq!(kinds(&answers), ["welcome", "ack", "ack"]);
        assert_eq!(acked(&answers), id_list([1, 2]));
    }
}

#[test]
fn a_bad_filter_is_refused_at_its_condition_and_changes_nothing() {
    let router = router();
    let mut tool = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    tool.subscribe("one", json!({"where": symbol_is("BTC")}));
    let condition = json!({"field": SYMBOL, "op": "near", "value": 1});
    let mut conditions = symbol_is("ETH");
    conditions.as_array_mut().unwrap().push(condition);
    let _ = tool.say(&subscribe(1, "one", json!({"where": conditions})));
    let answers = tool.read();
    assert_eq!(kinds(&answers), ["INVALID_FILTER"]);
    let details = json!({"msg_id": id(1), "field": "payload.where[1].op"});
    assert_eq!(answers[0]["payload"]["details"], details);
    let _ = sender.say_all(&[bar(2, "sender", "BTC", 1), bar(3, "sender", "ETH", 1)]);
    assert_eq!(ids(&tool.read()), id_list([2]));
}

#[test]
fn subscriptions_are_bounded_in_number_and_in_bytes() {
    let router = router();
    let mut tool = TestClient::anonymous(&router);
    for number in 0..SUBSCRIPTIONS_PER_CONNECTION_MAX {
        tool.subscribe(&number.to_string(), json!({}));
    }
    let _ = tool.say(&subscribe(1, "one more", json!({})));
    assert_eq!(kinds(&tool.read()), ["LIMIT_EXCEEDED"]);
    tool.subscribe("7", json!({"where": symbol_is("BTC")}));
    let mut large = TestClient::anonymous(&router);
    let texts: Vec<String> = (0..250).map(|n| format!("{n:0500}")).collect();
    let filter = json!([{"field": SYMBOL, "op": "in", "value": texts}]);
    large.subscribe("a", json!({"where": filter}));
    large.subscribe("a", json!({"where": filter}));
    let _ = large.say(&subscribe(1, "b", json!({"where": filter})));
    let _ = large.say(&subscribe(2, "c", json!({"where": filter})));
    assert_eq!(kinds(&large.read()).last(), Some(&"LIMIT_EXCEEDED"));
}

#[test]
fn what_a_subscriber_missed_is_told_in_its_place_and_in_the_ack() {
    let router = Router::new(RouterConfig {
        queue_messages: 4,
        ..RouterConfig::default()
    });
    let mut tool = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    tool.subscribe("btc", json!({"where": symbol_is("BTC")}));
    let symbols = ["BTC", "ETH", "BTC", "BTC", "ETH", "BTC", "BTC", "BTC"];
    let bars = symbols.iter().enumerate();
    let bars: Vec<Value> = bars
        .map(|(number, symbol)| bar(number, "sender", *symbol, 1))
        .collect();
    let _ = sender.say_all(&bars[..1]);
    let _ = sender.say_all(&bars[1..]);
    let answers = sender.read();
    let dropped = |answer: &Value| answer["payload"]["dropped"].as_u64().unwrap_or(0);
    let dropped: Vec<u64> = answers.iter().map(dropped).collect();
    assert_eq!(dropped, [0, 0, 0, 0, 0, 0, 1, 1]);
    // One is read, so one more has room.
    tool.write_up_to(framed(&bars[0]).len());
    let _ = sender.say_all(&bars[..1]);
    let seen = tool.read();
    assert_eq!(ids(&seen)[..4], id_list([0, 2, 3, 5]));
    assert_eq!(kinds(&seen)[4], "MESSAGES_DROPPED");
    let details = json!({"name": null, "count": 2, "first_msg_id": id(6), "last_msg_id": id(7)});
    assert_eq!(seen[4]["payload"]["details"], details);
    assert_eq!(ids(&seen)[5..], id_list([0]));
    assert_eq!(router.stats().dropped, 2);
}

#[test]
fn neighbours_in_a_read_leave_as_one_slice_of_the_window() {
    let router = router();
    let mut tool = TestClient::anonymous(&router);
    let mut sender = TestClient::named(&router, "sender");
    tool.subscribe("btc", json!({"where": symbol_is("BTC")}));
    let mut bars: Vec<Value> = (0..200).map(|n| bar(n, "sender", "BTC", n)).collect();
    bars.insert(0, bar(500, "sender", "ETH", 1));
    let bytes: Vec<u8> = bars.iter().flat_map(framed).collect();
    sender.input.extend_from_slice(&bytes);
    let input = sender.input.as_ptr_range();
    let _ = sender.arrive(&[]);
    let mut inside = false;
    let outcome = tool.session.transmit(usize::MAX, &mut |slices| {
        inside = input.contains(&slices[0].as_ptr());
        Ok(slices.iter().map(|slice| slice.len()).sum())
    });
    let bytes = bytes.len() - framed(&bars[0]).len();
    assert_eq!(outcome.unwrap(), (bytes, Progress::Idle));
    assert!(inside, "the slice written is the input that was read");
}
