//! Refusals are written for the writer of a client.

use super::*;

#[test]
fn names_the_message_that_it_refuses() {
    let refusal = refusal(order_with("45000.0", "NaN"));
    assert_eq!((refusal.msg_id, refusal.source), (None, None));
    for frame in [
        order_with(r#""run_id":"run-123""#, r#""run_id":5"#),
        order_with(r#""run_id":"run-123""#, r#""run_id":1e999"#),
        order_with("ingest_event", "x"),
    ] {
        let refusal = self::refusal(frame);
        assert_eq!(refusal.msg_id.unwrap().as_str(), ID);
        assert_eq!(refusal.source.unwrap().as_str(), "quantower-connector");
    }
    let twice = order_with(r#""msg_id":"#, r#""msg_id":"x","msg_id":"#);
    let refusal = self::refusal(twice);
    assert_eq!(refusal.msg_id, None);
    assert!(refusal.source.is_some());
}

#[test]
fn words_json_faults_for_the_writer_of_the_client() {
    let says = |from: &str, to: &str, word: &str| {
        let refusal = refusal(order_with(from, to));
        assert_eq!(refusal.code, ErrorCode::InvalidJson);
        assert!(refusal.reason.contains(word), "{to}: {refusal}");
    };
    says("45000.0", "NaN", "no NaN");
    says("45000.0", "-Infinity", "no NaN and no Infinity");
    says("45000.0", "nan", "no NaN");
    says("45000.0", "None", "lower case");
    says("45000.0", "True", "lower case");
    says("45000.0", "undefined", "no undefined");
    says("45000.0", "'x'", "double quotes");
    says("\"msg_id\"", "msg_id", "keys stand in double quotes");
    says("\"msg_id\"", "'msg_id'", "double quotes");
    says("45000.0}", "45000.0,}", "no comma");
    says("45000.0", "[1,]", "no comma");
    says("45000.0", "01", "begin with a zero");
    says("45000.0", ".5", "begins with a digit");
    says("45000.0", "/* */ 5", "no comments");
    says("run-123", "run\n123", "escape");
    says("Z\"}}", "Z\"}", "ends too early");
    says("Z\"}}", "Z\"}}{}", "exactly one JSON object");
    says("{\"msg_id\"", "\u{feff}{\"msg_id\"", "byte order mark");
}

#[test]
fn words_rules_for_the_writer_of_the_client() {
    let says = |from: &str, to: &str, word: &str| {
        let refusal = refusal(order_with(from, to));
        assert!(refusal.reason.contains(word), "{to}: {refusal}");
    };
    says("00.000Z", "00.000", "append Z or an offset");
    says("03T12", "03 12", "not a space");
    says(
        "{\"msg_id\":\"550e8400-",
        "{\"msg_id\":\"550e8400",
        "UUID with hyphens",
    );
    says("\"quantower-connector\"", "\"\"", "at least one character");
    says("\"order\"", "\"Order\"", "order, execution, market_data");
    says("\"run_id\"", "\"runId\"", "is missing: it must be a string");
    says("\"run-123\"", "123", "must be a string, this is a number");
    says("\"api-gateway\"", "[]", "or null for everyone");
}

#[test]
fn never_repeats_much_of_a_peers_text() {
    let long = "\u{1b}[31m\u{202e}"
        .repeat(10_000)
        .replace('\u{1b}', "\\u001b");
    for (from, to) in [
        ("ingest_event", long.clone()),
        ("2026", long.clone()),
        ("550e", long.clone()),
        ("\"order\"", format!("\"{long}\"")),
        (
            "\"run_id\":",
            format!("\"{long}\":1,\"{long}\":2,\"run_id\":"),
        ),
        ("45000.0", long.clone()),
        (
            "\"run_id\":",
            format!("\"x\":1e999,\"{long}\":1,\"{long}\":2,\"run_id\":"),
        ),
    ] {
        let refusal = refusal(order_with(from, &to));
        let text = refusal.to_string();
        assert!(text.chars().count() < 400, "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
