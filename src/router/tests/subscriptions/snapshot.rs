//! The state of the market for late subscribers.

use super::*;
use crate::limits::SNAPSHOT_KEYS_MAX;

fn snapshot(filter: Value) -> Value {
    json!({"where": filter, "key": SYMBOL, "snapshot": true})
}

fn keeping(keys: &[&str]) -> Router {
    Router::new(RouterConfig {
        snapshot_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..RouterConfig::default()
    })
}

#[test]
fn the_last_broadcast_of_each_key_comes_after_the_ack_and_before_live_ones() {
    let router = keeping(&[SYMBOL]);
    let mut sender = TestClient::named(&router, "sender");
    let _ = sender.say_all(&[
        bar(1, "sender", "A", 1),
        bar(2, "sender", "B", 1),
        bar(3, "sender", "A", 2),
        order(4, "sender", Value::Null),
        bar(5, "sender", "C", 1),
    ]);
    for mode in ["all", "latest"] {
        let mut late = TestClient::anonymous(&router);
        let mut options = snapshot(json!([{"field": SYMBOL, "op": "in", "value": ["A", "B"]}]));
        options["mode"] = mode.into();
        let _ = late.say(&subscribe(900, "bars", options));
        let _ = sender.say_all(&[bar(6, "sender", "D", 1), order(7, "sender", Value::Null)]);
        let seen = late.read();
        assert_eq!(kinds(&seen)[0], "ack");
        assert_eq!(ids(&seen)[1..], id_list([2, 3]));
        let _ = sender.say(&bar(8, "sender", "D", 2));
        assert!(late.read().is_empty());
    }
}

#[test]
fn a_newer_message_takes_the_place_of_the_one_in_the_snapshot() {
    let router = keeping(&[SYMBOL]);
    let mut sender = TestClient::named(&router, "sender");
    let _ = sender.say_all(&[bar(1, "sender", "A", 1), bar(2, "sender", "B", 1)]);
    let mut late = TestClient::anonymous(&router);
    let mut options = snapshot(json!([]));
    options["mode"] = "latest".into();
    let _ = late.say(&subscribe(900, "bars", options));
    let _ = sender.say(&bar(3, "sender", "A", 2));
    assert_eq!(ids(&late.read())[1..], id_list([3, 2]));
}

#[test]
fn who_broadcasts_and_asks_for_a_snapshot_in_one_read_does_not_wait_for_itself() {
    let router = keeping(&[SYMBOL]);
    let mut chooser = TestClient::anonymous(&router);
    chooser.subscribe("a", json!({"where": symbol_is("A")}));
    let mut other = TestClient::named(&router, "other");
    let _ = other.say(&bar(1, "other", "B", 1));
    let mut sender = TestClient::named(&router, "sender");
    let asks = subscribe(900, "bars", snapshot(symbol_is("B")));
    let _ = sender.say_all(&[bar(2, "sender", "A", 1), asks, bar(3, "sender", "A", 2)]);
    let told = sender.read();
    assert_eq!(acked(&told), [id(2), id(900), id(3)]);
    assert_eq!(ids(&told).last(), Some(&id(1)), "{told:?}");
    assert_eq!(ids(&chooser.read()), id_list([2, 3]));
}

#[test]
fn what_is_kept_begins_with_the_first_who_asks() {
    let router = router();
    let mut sender = TestClient::named(&router, "sender");
    let _ = sender.say(&bar(1, "sender", "A", 1));
    let mut first = TestClient::anonymous(&router);
    first.subscribe("bars", snapshot(json!([])));
    let _ = sender.say(&bar(2, "sender", "B", 1));
    assert_eq!(ids(&first.read()), id_list([2]));
    drop(first);
    let _ = sender.say(&bar(3, "sender", "C", 1));
    let mut second = TestClient::anonymous(&router);
    let _ = second.say(&subscribe(900, "bars", snapshot(json!([]))));
    assert_eq!(ids(&second.read())[1..], id_list([2, 3]));
}

#[test]
fn what_was_queued_before_comes_before_the_snapshot() {
    let router = keeping(&[SYMBOL]);
    let mut sender = TestClient::named(&router, "sender");
    let mut client = TestClient::named(&router, "peer");
    let _ = sender.say_all(&[bar(1, "sender", "A", 1), bar(2, "sender", "A", 2)]);
    let _ = client.say(&subscribe(900, "bars", snapshot(json!([]))));
    let _ = sender.say(&bar(3, "sender", "A", 3));
    let seen = client.read();
    assert_eq!(kinds(&seen)[0], "ack");
    assert_eq!(ids(&seen)[1..], id_list([1, 2, 2, 3]));
}

#[test]
fn nobody_gets_a_snapshot_of_its_own_broadcasts_nor_while_it_wants_none() {
    let router = keeping(&[SYMBOL]);
    let mut one = TestClient::named(&router, "one");
    let mut two = TestClient::named(&router, "two");
    // In one read: the subscription doesn't wait for the broadcast before it.
    let _ = one.say_all(&[
        bar(1, "one", "A", 1),
        subscribe(900, "bars", snapshot(json!([]))),
        bar(2, "one", "B", 1),
    ]);
    let answers = one.read();
    assert_eq!(acked(&answers), id_list([1, 900, 2]));
    assert_eq!(answers.len(), 3);
    assert_eq!(ids(&two.read()), id_list([1, 2]));
    let _ = two.say_all(&[
        hello("two", json!({"broadcasts": "none"})),
        subscribe(901, "bars", snapshot(json!([]))),
    ]);
    assert_eq!(kinds(&two.read()), ["welcome", "ack"]);
}

#[test]
fn a_server_keeps_a_bounded_number_of_keys() {
    let router = router();
    let mut tool = TestClient::anonymous(&router);
    let key = |number| json!({"key": format!("/payload/{number}"), "snapshot": true});
    for number in 0..SNAPSHOT_KEYS_MAX {
        tool.subscribe("x", key(number));
    }
    let _ = tool.say(&subscribe(1, "y", key(SNAPSHOT_KEYS_MAX)));
    let answers = tool.read();
    assert_eq!(kinds(&answers), ["LIMIT_EXCEEDED"]);
    assert_eq!(answers[0]["payload"]["details"]["field"], "payload.key");
    let _ = tool.say(&unsubscribe(2, "y"));
    assert_eq!(kinds(&tool.read()), ["INVALID_PAYLOAD"], "nothing changed");
    tool.subscribe("y", key(0));
}

/// A late subscriber finds each message in the snapshot or live, never neither
/// and never both, and none before an older one.
#[test]
fn no_broadcast_is_lost_or_doubled_between_the_snapshot_and_live_ones() {
    const SENDERS: usize = 2;
    const ROUNDS: usize = 300;
    let router = keeping(&[SYMBOL]);
    // All are there before the first broadcasts: each hears the others.
    let names: Vec<_> = (0..SENDERS).map(|n| format!("sender {n}")).collect();
    let clients: Vec<_> = names
        .iter()
        .map(|n| TestClient::named(&router, n))
        .collect();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (clients.into_iter().zip(&names).enumerate())
            .map(|(sender, (mut client, name))| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        // Each message of a symbol is one more than the one before.
                        let number = round * SENDERS + sender;
                        let bars: Vec<_> = (0..3)
                            .map(|part| bar(number, name, format!("{name} {part}"), round))
                            .collect();
                        let _ = client.say_all(&bars);
                        client.read();
                    }
                })
            })
            .collect();
        loop {
            let last = senders.iter().all(|sender| sender.is_finished());
            let mut late = TestClient::anonymous(&router);
            let _ = late.say(&subscribe(900, "bars", snapshot(json!([]))));
            let mut seen = std::collections::HashMap::<String, u64>::new();
            for _ in 0..4 {
                for message in late.read().iter().filter(|m| m["msg_type"] != "ack") {
                    let data = &message["payload"]["payload_json"];
                    let symbol = data["symbol"].as_str().unwrap().to_owned();
                    let round = data["close"].as_u64().unwrap();
                    if let Some(before) = seen.insert(symbol.clone(), round) {
                        assert_eq!(round, before + 1, "{symbol}: {before}, then {round}");
                    }
                }
                std::thread::yield_now();
            }
            if last {
                assert_eq!(seen.len(), SENDERS * 3);
                assert!(seen.values().all(|round| *round == ROUNDS as u64 - 1));
                break;
            }
        }
    });
}
