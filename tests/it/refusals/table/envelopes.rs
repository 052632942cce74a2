//! Envelopes that break a rule.

use serde_json::{Value, json};

use super::{Case, case, no_names, order};
use crate::draft::Draft;

pub fn envelopes() -> Vec<Case> {
    const CODE: &str = "INVALID_ENVELOPE";
    let mut cases = Vec::new();
    for field in ["msg_id", "msg_type", "timestamp", "source", "payload"] {
        let missing = case(format!("no {field}"), &order().without(field), CODE, field);
        cases.push(if field == "msg_id" {
            missing.about_nothing()
        } else {
            missing
        });
    }
    for id in [
        json!(null),
        json!(1),
        json!({}),
        json!([]),
        json!(true),
        json!(""),
        json!("1"),
        json!("550e8400e29b41d4a716446655440000"),
        json!("{550e8400-e29b-41d4-a716-446655440000}"),
        json!("urn:uuid:550e8400-e29b-41d4-a716-446655440000"),
        json!("550e8400-e29b-41d4-a716-44665544000"),
        json!("550e8400-e29b-41d4-a716-4466554400000"),
        json!("550e8400-e29b-41d4-a716-44665544000g"),
        json!("550e8400-e29b-41d4-a716_446655440000"),
        json!("550e840-0e29b-41d4-a716-446655440000"),
        json!(" 50e8400-e29b-41d4-a716-446655440000"),
        json!("550e8400-e29b-41d4-a716-44665544000\0"),
        json!("550e8400-e29b-41d4-a716-4466554400é"),
    ] {
        let label = format!("msg_id {id}");
        cases.push(case(label, &order().set("msg_id", id), CODE, "msg_id").about_nothing());
    }
    for value in [
        json!(null),
        json!(1),
        json!({}),
        json!(["ack"]),
        json!(false),
    ] {
        for field in ["msg_type", "timestamp", "source"] {
            let label = format!("{field} {value}");
            cases.push(case(label, &order().set(field, value.clone()), CODE, field));
        }
    }
    for name in no_names() {
        for field in ["source", "target"] {
            let label = format!("{field} {name}");
            cases.push(case(label, &order().set(field, name.clone()), CODE, field));
        }
    }
    for payload in [json!(null), json!(1), json!("{}"), json!([]), json!(true)] {
        let label = format!("payload {payload}");
        cases.push(case(
            label,
            &order().set("payload", payload),
            CODE,
            "payload",
        ));
    }
    let ack = || Draft::ack("a", "api-gateway");
    cases.push(case(
        "ack to all",
        &ack().set("target", Value::Null),
        CODE,
        "target",
    ));
    cases.push(case(
        "ack to nobody",
        &ack().without("target"),
        CODE,
        "target",
    ));

    for unknown in [
        "",
        "trade",
        "INGEST_EVENT",
        "ingest_event ",
        " ack",
        "ingest_even",
        "ingest_events",
        "welcome",
        "Hello",
        "hello\0",
    ] {
        let label = format!("msg_type {unknown:?}");
        let draft = order().set("msg_type", unknown);
        cases.push(case(label, &draft, "UNKNOWN_MSG_TYPE", "msg_type"));
    }
    let mine = order().set("source", "tickwire");
    cases.push(case(
        "the server's name",
        &mine,
        "SOURCE_NOT_ALLOWED",
        "source",
    ));
    let mine = order().text("source", r#""tic\u006bwire""#);
    cases.push(case("escaped", &mine, "SOURCE_NOT_ALLOWED", "source"));
    cases
}

/// Texts that are no timestamps.
const NO_TIMES: [&str; 48] = [
    "",
    "now",
    "Z",
    "0",
    "2026-01-03",
    "12:41:00Z",
    "1767444060",
    "2026-01-03T12:41:00",
    "2026-01-03T12:41:00.000",
    "2026-01-03 12:41:00Z",
    "2026-01-03_12:41:00Z",
    "2026-01-03T12:41Z",
    "2026-01-03T12Z",
    "2026-01-03T12:41:00Z ",
    " 2026-01-03T12:41:00Z",
    "2026-01-03T12:41:00ZZ",
    "2026-01-03T12:41:00.Z",
    "2026-01-03T12:41:00,5Z",
    "2026-01-03T12:41:00.5.5Z",
    "2026-01-03T12:41:00+0100",
    "2026-01-03T12:41:00+01",
    "2026-01-03T12:41:00+1:00",
    "2026-01-03T12:41:00+01:0",
    "2026-01-03T12:41:00+24:00",
    "2026-01-03T12:41:00+01:60",
    "2026-01-03T12:41:00 +01:00",
    "2026-01-03T12:41:00+01:00Z",
    "2026-01-03T12:41:00UTC",
    "2026-00-03T12:41:00Z",
    "2026-13-03T12:41:00Z",
    "2026-01-00T12:41:00Z",
    "2026-01-32T12:41:00Z",
    "2026-04-31T12:41:00Z",
    "2026-02-29T12:41:00Z",
    "1900-02-29T12:41:00Z",
    "2026-01-03T24:00:00Z",
    "2026-01-03T12:60:00Z",
    "2026-01-03T12:41:61Z",
    "2026-01-03T12:41:60Z",
    "2026-12-31T23:58:60Z",
    "2026-12-31T23:59:60+01:00",
    "2026-12-31T15:59:60+08:00",
    "2026-1-3T12:41:00Z",
    "26-01-03T12:41:00Z",
    "12026-01-03T12:41:00Z",
    "-026-01-03T12:41:00Z",
    "2026/01/03T12:41:00Z",
    "２026-01-03T12:41:00Z",
];

pub fn timestamps() -> Vec<Case> {
    let mut cases = Vec::new();
    for time in NO_TIMES {
        let of_envelope = order().set("timestamp", time);
        cases.push(case(time, &of_envelope, "INVALID_ENVELOPE", "timestamp"));
        let of_payload = order().payload("event_utc", time);
        cases.push(case(
            time,
            &of_payload,
            "INVALID_PAYLOAD",
            "payload.event_utc",
        ));
    }
    cases
}
