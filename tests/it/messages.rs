//! The messages of a load differ, are valid, and keep their structure.

use std::collections::HashSet;

use serde_json::Value;
use tickwire::wire::{Kind, Parser, Validation};
use tickwire_load::messages::{
    DISTINCT, Example, ORDER_BYTES, Selection, Target, Variants, compact, variants,
};

const COUNT: usize = 2_000;

fn values(messages: &[Vec<u8>]) -> Vec<Value> {
    let mut parser = Parser::new(Validation::Payload);
    messages
        .iter()
        .map(|json| {
            let checked = parser.parse(json);
            checked.unwrap_or_else(|refusal| panic!("{refusal}: {}", json.escape_ascii()));
            serde_json::from_slice(json).unwrap()
        })
        .collect()
}

fn mean(messages: &[Vec<u8>]) -> f64 {
    messages.iter().map(Vec::len).sum::<usize>() as f64 / messages.len() as f64
}

/// The keys of a message in their order, and the types of its values.
fn skeleton(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| format!("{key}:{{{}}}", skeleton(value)))
            .collect(),
        Value::Array(items) => items.iter().map(skeleton).collect(),
        Value::String(_) => "s".to_owned(),
        Value::Number(number) if number.is_f64() => "f".to_owned(),
        Value::Number(_) => "i".to_owned(),
        other => other.to_string(),
    }
}

/// The end of the string that begins at `start`.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while json[at] != b'"' {
        at += 1 + usize::from(json[at] == b'\\');
    }
    at + 1
}

/// The order in which keys stand in the text.
fn keys(json: &[u8]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut at = 0;
    while let Some(start) = json[at..].iter().position(|byte| *byte == b'"') {
        let end = end_of_string(json, at + start);
        if json[end..].trim_ascii_start().first() == Some(&b':') {
            keys.push(String::from_utf8(json[at + start..end].to_vec()).unwrap());
        }
        at = end;
    }
    keys
}

#[test]
fn every_example_yields_valid_messages_of_its_own_structure() {
    for example in Example::ALL {
        let original: Value = serde_json::from_str(example.json()).unwrap();
        let messages = variants(&Selection::One(example), COUNT, None, Target::Keep);
        let mut ids = HashSet::new();
        for (json, value) in messages.iter().zip(values(&messages)) {
            assert_eq!(skeleton(&value), skeleton(&original), "{value}");
            assert_eq!(keys(json), keys(example.json().as_bytes()));
            for kept in ["msg_type", "source", "target"] {
                assert_eq!(value[kept], original[kept]);
            }
            assert_eq!(
                value["payload"]["event_type"],
                original["payload"]["event_type"]
            );
            assert!(!json.contains(&b'\n'));
            assert!(ids.insert(value["msg_id"].as_str().unwrap().to_owned()));
        }
        let (wanted, is) = (compact(example.json()).len() as f64, mean(&messages));
        assert!(
            (wanted - 8.0..wanted + 8.0).contains(&is),
            "{example:?} {is}"
        );
    }
}

#[test]
fn orders_have_about_423_bytes_of_many_lengths() {
    let orders = variants(
        &Selection::One(Example::Order),
        DISTINCT,
        None,
        Target::Keep,
    );
    assert!((422.0..426.0).contains(&mean(&orders)), "{}", mean(&orders));
    let lengths: HashSet<_> = orders.iter().map(Vec::len).collect();
    assert!(lengths.len() > 12, "{}", lengths.len());
    let orders = values(&orders);
    for numbers in ["quantity", "price", "order_id", "symbol"] {
        let widths: HashSet<_> = orders
            .iter()
            .map(|order| order["payload"]["payload_json"][numbers].to_string().len())
            .collect();
        assert!(widths.len() > 2, "{numbers}: {widths:?}");
    }
    let times: HashSet<_> = orders.iter().map(|order| &order["timestamp"]).collect();
    assert!(times.len() > 5_000);
}

#[test]
fn a_mix_has_all_eleven_in_turn() {
    let messages = variants(&Selection::Mix, 22, Some("a"), Target::Name("b"));
    let values = values(&messages);
    for (index, value) in values.iter().enumerate() {
        assert_eq!(
            (&value["source"], &value["target"]),
            (&"a".into(), &"b".into())
        );
        assert_eq!(value["msg_type"], values[(index + 11) % 22]["msg_type"]);
    }
    assert_eq!(values[7]["msg_type"], "ack");
}

#[test]
fn sources_and_targets_are_rewritten() {
    for target in [Target::Broadcast, Target::Name("rx \"1\""), Target::Keep] {
        for value in values(&variants(&Selection::Mix, 11, Some("tx"), target)) {
            assert_eq!(value["source"], "tx");
            match target {
                Target::Name(name) => assert_eq!(value["target"], name),
                Target::Broadcast => {
                    assert_eq!(value["target"].is_null(), value["msg_type"] != "ack");
                }
                Target::Keep => {}
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_messages_and_another_none_of_them() {
    let ids = |seed| -> HashSet<String> {
        let mut variants = Variants::with_seed(&Selection::Mix, seed);
        let messages: Vec<_> = (0..100)
            .map(|_| variants.next_for(None, Target::Keep).json)
            .collect();
        let values = values(&messages);
        let id = |value: &Value| value["msg_id"].as_str().unwrap().to_owned();
        values.iter().map(id).collect()
    };
    assert_eq!(ids(1), ids(1));
    assert!(ids(1).is_disjoint(&ids(2)));
}

#[test]
fn escaped_orders_have_423_bytes_in_the_mean_and_need_unescaping() {
    for (source, target) in [
        (None, Target::Keep),
        (Some("bench-tx-1a2b"), Target::Name("bench-rx-1a2b")),
        (Some("a"), Target::Broadcast),
    ] {
        let orders = variants(&Selection::EscapedOrder, DISTINCT, source, target);
        assert_eq!(mean(&orders), ORDER_BYTES as f64);
        let lengths: HashSet<_> = orders.iter().map(Vec::len).collect();
        assert!(lengths.len() > 8, "{}", lengths.len());
        assert!(orders.iter().all(|json| json.contains(&b'\\')));
        let beyond_ascii = orders.iter().filter(|json| !json.is_ascii()).count();
        assert!(beyond_ascii > DISTINCT * 8 / 10, "{beyond_ascii}");
        for value in values(&orders) {
            assert_eq!(value["payload"]["event_type"], "order");
            assert_eq!(value["payload"]["payload_json"]["symbol"], "BTC/USDT");
        }
    }
}

#[test]
fn messages_of_a_file_keep_their_spelling() {
    let file = br#" { "payload": {"status": "up \"1\"", "note": "<text>", "timestamp": "2026-01-03t12:41:60z",
        "big": -12345678901234567890123e+7, "n": 0, "list": [1.50, {"source": "x-1"}]},
        "\u006dsg_type": "heartbeat", "source" : "me", "timestamp": "2026-01-03T12:41:00+01:00",
        "msg_id": "550E8400-E29B-41D4-A716-446655440000" } "#;
    let selection = Selection::Custom(vec![file.to_vec()]);
    let messages = variants(&selection, COUNT, Some("tx"), Target::Name("rx"));
    let distinct: HashSet<_> = messages.iter().collect();
    assert_eq!(distinct.len(), COUNT);
    let mut expected = keys(file);
    expected.insert(10, "\"target\"".to_owned());
    for (json, value) in messages.iter().zip(values(&messages)) {
        assert_eq!(keys(json), expected);
        assert_eq!(
            (&value["source"], &value["target"]),
            (&"tx".into(), &"rx".into())
        );
        assert_eq!(value["payload"]["status"], "up \"1\"");
        assert_eq!(value["payload"]["note"], "<text>");
        assert!(json.starts_with(b" { \"payload\": {\"status\": \"up"));
    }
    // To everyone, or as it was: it had no target.
    for target in [Target::Broadcast, Target::Keep] {
        let messages = variants(&selection, 1, None, target);
        assert_eq!(values(&messages)[0].get("target"), None);
    }
    let mut parser = Parser::new(Validation::Payload);
    let ack = variants(&Selection::One(Example::Ack), 1, None, Target::Broadcast);
    assert_eq!(parser.parse(&ack[0]).unwrap().kind, Kind::Ack);
}
