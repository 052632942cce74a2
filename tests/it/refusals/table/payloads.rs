//! Payloads that break a rule of their type, and those of a `hello`.

use serde_json::{Value, json};

use super::{Case, case, no_names, order};
use crate::draft::Draft;

pub fn payloads() -> Vec<Case> {
    const CODE: &str = "INVALID_PAYLOAD";
    let target = "api-gateway";
    let text = [json!(null), json!(1), json!({}), json!([]), json!(true)];
    let time = [
        json!(null),
        json!(0),
        json!({}),
        json!(""),
        json!("2026-01-03T12:41:00"),
    ];
    let object = [json!(null), json!(1), json!("{}"), json!([]), json!(false)];
    let id = [
        json!(null),
        json!(1),
        json!(""),
        json!("550e8400e29b41d4a716446655440000"),
    ];
    let event = [
        json!(null),
        json!(1),
        json!({}),
        json!(""),
        json!("ORDER"),
        json!("trade"),
        json!("orders"),
        json!("order "),
    ];
    let level = [
        json!(null),
        json!(20),
        json!(["INFO"]),
        json!(""),
        json!("info"),
        json!("NOTICE"),
        json!("WARN "),
        json!("INF"),
    ];
    let log_record = Draft::log_record("a", target);
    let heartbeat = Draft::heartbeat("a", target);
    let error = Draft::error("a", target);
    let ack = Draft::ack("a", target);
    let required: [(&Draft, &'static str, &[Value]); 15] = [
        (&order(), "payload.run_id", &text),
        (&order(), "payload.event_type", &event),
        (&order(), "payload.event_utc", &time),
        (&order(), "payload.received_utc", &time),
        (&order(), "payload.payload_json", &object),
        (&log_record, "payload.timestamp", &time),
        (&log_record, "payload.level", &level),
        (&log_record, "payload.name", &text),
        (&log_record, "payload.message", &text),
        (&heartbeat, "payload.status", &text),
        (&heartbeat, "payload.timestamp", &time),
        (&error, "payload.code", &text),
        (&error, "payload.message", &text),
        (&ack, "payload.acknowledged_msg_id", &id),
        (&ack, "payload.timestamp", &time),
    ];
    let mut cases = Vec::new();
    let mut number = 0;
    let mut fresh = |draft: &Draft| {
        // Each case has an id of its own.
        number += 1;
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let mut draft = draft.clone().set("msg_id", id.clone());
        draft.id = id;
        draft
    };
    for (draft, field, values) in required {
        let key = &field["payload.".len()..];
        let missing = fresh(draft).payload_without(key);
        cases.push(case(format!("no {field}"), &missing, CODE, field));
        for value in values {
            let wrong = fresh(draft).payload(key, value.clone());
            cases.push(case(format!("{field} {value}"), &wrong, CODE, field));
        }
    }
    for value in [json!(1), json!("{}"), json!([]), json!(false)] {
        let wrong = fresh(&log_record).payload("meta", value.clone());
        cases.push(case(format!("meta {value}"), &wrong, CODE, "payload.meta"));
        let wrong = fresh(&error).payload("details", value.clone());
        cases.push(case(
            format!("details {value}"),
            &wrong,
            CODE,
            "payload.details",
        ));
    }
    cases
}

pub fn hellos() -> Vec<Case> {
    const CODE: &str = "INVALID_PAYLOAD";
    let hello = || Draft::hello("a-tool");
    let mut cases = vec![case(
        "no protocol",
        &hello().payload_without("protocol"),
        CODE,
        "payload.protocol",
    )];
    for (field, values) in [
        (
            "payload.protocol",
            vec![json!(null), json!("1"), json!([1]), json!(true)],
        ),
        (
            "payload.names",
            vec![json!("a"), json!(1), json!({"a": 1}), json!(true)],
        ),
        (
            "payload.register",
            vec![json!("false"), json!(0), json!([])],
        ),
        (
            "payload.acks",
            vec![json!("sometimes"), json!(""), json!(true), json!("EACH")],
        ),
        ("payload.ack_details", vec![json!("true"), json!(1)]),
        ("payload.broadcasts", vec![json!("some"), json!(false)]),
        ("payload.group", vec![json!("a"), json!(1)]),
        ("payload.resumable", vec![json!("yes"), json!(1)]),
        ("payload.resume", vec![json!("yes"), json!(1)]),
        ("payload.replay", vec![json!("yes"), json!(1)]),
    ] {
        let key = &field["payload.".len()..];
        for value in values {
            let wrong = hello().payload(key, value.clone());
            cases.push(case(format!("{field} {value}"), &wrong, CODE, field));
        }
    }
    for name in no_names() {
        let wrong = hello().payload("names", json!(["x", "y", name, "z"]));
        let label = format!("names {name}");
        cases.push(case(label, &wrong, CODE, "payload.names[2]"));
    }
    let other = hello().payload("protocol", 2);
    cases.push(case(
        "protocol 2",
        &other,
        "PROTOCOL_UNSUPPORTED",
        "payload.protocol",
    ));
    let crowd: Vec<String> = (0..65).map(|number| format!("name-{number}")).collect();
    let crowd = hello().payload("names", crowd);
    cases.push(case("65 names", &crowd, "LIMIT_EXCEEDED", "payload.names"));
    let mine = hello().payload("names", json!(["x", "tickwire"]));
    cases.push(case(
        "the server's name",
        &mine,
        "SOURCE_NOT_ALLOWED",
        "payload.names[1]",
    ));
    let mine = Draft::hello("tickwire");
    cases.push(case(
        "from the server",
        &mine,
        "SOURCE_NOT_ALLOWED",
        "source",
    ));
    cases
}
