//! The rules of envelope and payload, and their order.

use super::*;

#[test]
fn refuses_a_frame_that_repeats_target() {
    let repeated = order_with(r#""target":"#, r#""target":"x","target":"#);
    assert_eq!(
        refused(repeated),
        (ErrorCode::DuplicateField, "target".into())
    );
}

#[test]
fn refuses_a_key_repeated_with_escapes() {
    let repeated = order_with(r#""source":"#, r#""s\u006furce":"x","source":"#);
    let refusal = refusal(repeated);
    assert_eq!(refusal.code, ErrorCode::DuplicateField);
    assert_eq!(refusal.field.as_deref(), Some("source"));
    assert_eq!(refusal.source, None);
    assert_eq!(refusal.msg_id.unwrap().as_str(), ID);
}

#[test]
fn refuses_repeated_keys_that_no_rule_names() {
    let envelope = order_with(r#""source":"#, r#""x":1,"y":2,"x":3,"source":"#);
    assert_eq!(refused(envelope), (ErrorCode::DuplicateField, "x".into()));
    let payload = order_with(r#""run_id":"#, r#""x":1,"y":2,"x":3,"run_id":"#);
    assert_eq!(
        refused(&payload),
        (ErrorCode::DuplicateField, "payload.x".into())
    );
    assert!(parse_by(Validation::Envelope, &payload).is_ok());
    let deeper = order_with(r#""order_id":"#, r#""x":1,"x":3,"order_id":"#);
    assert!(parse(deeper).is_ok());
}

#[test]
fn refuses_repeated_keys_of_control_payloads_in_either_mode() {
    let hello = order_with("ingest_event", "hello").replace("run_id", "protocol");
    let repeated = hello.replacen(r#""protocol":"#, r#""names":[],"names":[],"protocol":"#, 1);
    for validation in [Validation::Payload, Validation::Envelope] {
        assert!(parse_by(validation, &hello).is_ok());
        let refusal = parse_by(validation, &repeated).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("payload.names"));
    }
}

#[test]
fn finds_a_repeated_key_among_a_hundred_thousand_in_linear_time() {
    let mut frame = String::from("{");
    for n in 0..100_000 {
        frame.push_str(&format!("\"{n:x}\":0,"));
    }
    let refusal_of = |end: &str| refusal(format!("{frame}{end}}}"));
    assert_eq!(refusal_of("\"fff\":1").code, ErrorCode::DuplicateField);
    assert_eq!(refusal_of("\"\":1").code, ErrorCode::InvalidEnvelope);
}

#[test]
fn reports_the_first_failure_in_the_order_of_the_tables() {
    use ErrorCode::{DuplicateField, InvalidEnvelope, InvalidPayload, UnknownMsgType};
    let all_wrong = r#"{"payload":{"run_id":1,"x":1,"x":2},"target":5,"source":"",
        "timestamp":"now","msg_type":"welcome","msg_id":"7","y":1,"y":1}"#;
    let steps: [(&str, &str, ErrorCode, &str); 11] = [
        ("", "", DuplicateField, "y"),
        (r#","y":1,"y":1"#, "", DuplicateField, "payload.x"),
        (r#","x":2"#, "", InvalidEnvelope, "msg_id"),
        (r#""7""#, &format!("{ID:?}"), UnknownMsgType, "msg_type"),
        ("welcome", "ingest_event", InvalidEnvelope, "timestamp"),
        ("now", "2026-01-03T12:41:00Z", InvalidEnvelope, "source"),
        (
            r#""source":"""#,
            r#""source":"s""#,
            InvalidEnvelope,
            "target",
        ),
        (
            r#""target":5"#,
            r#""target":null"#,
            InvalidPayload,
            "payload.run_id",
        ),
        (
            r#""run_id":1"#,
            r#""run_id":"r""#,
            InvalidPayload,
            "payload.event_type",
        ),
        (
            r#""run_id""#,
            r#""event_type":"order","payload_json":[],"run_id""#,
            InvalidPayload,
            "payload.event_utc",
        ),
        (
            r#""run_id""#,
            r#""event_utc":"2026-01-03T12:41:00Z","received_utc":"2026-01-03T12:41:00Z","run_id""#,
            InvalidPayload,
            "payload.payload_json",
        ),
    ];
    let mut frame = all_wrong.to_owned();
    for (from, to, code, field) in steps {
        frame = frame.replacen(from, to, 1);
        assert_eq!(refused(&frame), (code, field.into()), "{frame}");
    }
}

#[test]
fn tells_a_missing_msg_type_from_an_unknown_one() {
    use ErrorCode::{InvalidEnvelope, UnknownMsgType};
    let field = || "msg_type".to_owned();
    let missing = order_with(r#""msg_type":"ingest_event","#, "");
    assert_eq!(refused(missing), (InvalidEnvelope, field()));
    let number = order_with(r#""ingest_event""#, "7");
    assert_eq!(refused(number), (InvalidEnvelope, field()));
    let unknown = refusal(order_with("ingest_event", "ingestEvent"));
    assert_eq!(unknown.code, UnknownMsgType);
    assert!(unknown.reason.contains("heartbeat, error, ack"));
    let welcome = refusal(order_with("ingest_event", "welcome"));
    assert_eq!(welcome.code, UnknownMsgType);
    assert!(welcome.reason.contains("only the server"));
}

#[test]
fn an_ack_must_name_whom_it_answers() {
    let ack = compact(MESSAGES[7]);
    for frame in [
        ack.replace(r#""target":"quantower-connector","#, ""),
        ack.replace(r#""target":"quantower-connector""#, r#""target":null"#),
    ] {
        assert_eq!(
            refused(frame),
            (ErrorCode::InvalidEnvelope, "target".into())
        );
    }
}

#[test]
fn an_optional_object_is_left_out_or_an_object() {
    let log = compact(MESSAGES[3]);
    let meta = log.find(r#","meta""#).unwrap();
    let with = |meta_value: &str| format!("{}{meta_value}}}}}", &log[..meta]);
    assert!(parse(with("")).is_ok());
    assert!(parse(with(r#","meta":{}"#)).is_ok());
    for wrong in ["null", "[]", "\"\"", "1", "true"] {
        let refusal = refusal(with(&format!(r#","meta":{wrong}"#)));
        assert_eq!(refusal.field.as_deref(), Some("payload.meta"));
    }
    assert!(
        refusal(with(r#","meta":null"#))
            .reason
            .contains("leave it out instead")
    );
}

#[test]
fn leaves_the_payload_to_the_receiver_when_told_to() {
    let frame = order_with(r#""run_id":"run-123""#, r#""run_id":5"#);
    assert!(parse_by(Validation::Envelope, &frame).is_ok());
    let array = order_with(r#""payload":{"#, r#""payload":[],"x":{"#);
    for validation in [Validation::Payload, Validation::Envelope] {
        let refusal = parse_by(validation, &array).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("payload"));
        assert_eq!(refusal.code, ErrorCode::InvalidEnvelope);
    }
}
