//! However a valid message is written, it passes.

use super::*;

#[test]
fn passes_the_example_messages_however_they_are_written() {
    for message in MESSAGES {
        let value: serde_json::Value = serde_json::from_str(message).unwrap();
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let expected = (
            text("msg_id").unwrap(),
            Kind::from_text(&text("msg_type").unwrap()).unwrap(),
            text("source").unwrap(),
            text("target"),
        );
        let extra = compact(message)
            .replacen('{', r#"{"trace":{"source":"x","source":"y"},"x":1e400,"#, 1)
            .replace(r#""payload":{"#, r#""payload":{"more":[1,{"a":null}],"#);
        for written in [
            message.to_owned(),
            compact(message),
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
            reversed(message),
            extra,
            escaped(message),
            escaped(&compact(message)),
            format!("\r\n\t {message} \n"),
        ] {
            for validation in [Validation::Payload, Validation::Envelope] {
                assert_eq!(
                    parse_by(validation, &written).as_ref(),
                    Ok(&expected),
                    "{written}"
                );
            }
        }
    }
}

#[test]
fn gives_names_unescaped_and_in_any_script() {
    for source in [
        "注文-マネージャ",
        "é",
        "𝄞",
        "a b",
        "\"",
        "\\",
        "a\\\"b",
        "/",
    ] {
        let frame = order_with("\"quantower-connector\"", &format!("{source:?}"));
        assert_eq!(parse(&frame).unwrap().2, source);
        let target = order_with("\"api-gateway\"", &format!("{source:?}"));
        assert_eq!(parse(&target).unwrap().3.as_deref(), Some(source));
    }
    let frame = order_with(
        "quantower-connector",
        r"\ud834\udd1e\n".trim_end_matches("\\n"),
    );
    assert_eq!(parse(&frame).unwrap().2, "𝄞");
}

#[test]
fn an_absent_target_means_null() {
    assert_eq!(
        parse(order_with(r#""target":"api-gateway","#, ""))
            .unwrap()
            .3,
        None
    );
    assert_eq!(
        parse(order_with(r#""api-gateway""#, "null")).unwrap().3,
        None
    );
}

#[test]
fn gives_the_envelope_borrowed_from_the_frame_or_from_scratch() {
    for frame in [compact(MESSAGES[0]), escaped(MESSAGES[0])] {
        let mut parser = Parser::default();
        let envelope = parser.envelope(frame.as_bytes()).unwrap();
        assert_eq!(envelope.msg_id.as_str(), ID);
        assert_eq!(envelope.kind, Kind::IngestEvent);
        assert_eq!(envelope.timestamp, "2026-01-03T12:41:00.000Z");
        assert_eq!(envelope.source, "quantower-connector");
        assert_eq!(envelope.target, Some("api-gateway"));
    }
}

#[test]
fn keeps_nothing_of_a_large_frame_but_its_names() {
    let filler = "x".repeat(200_000);
    let mut parser = Parser::default();
    for (frame, name) in [
        (order_with("run-123", &filler), "quantower-connector"),
        (
            order_with("run-123", &filler).replacen("quantower", "q\\n\\u00e9", 1),
            "",
        ),
        (
            order_with("run-123", &filler).replacen("quantower", "q\\u00e9", 1),
            "qé-connector",
        ),
        (
            order_with("run-123", &filler).replacen("45000.0", "1e999", 1),
            "quantower-connector",
        ),
    ] {
        let bytes = frame.as_bytes();
        match parser.parse(bytes) {
            Ok(header) => {
                assert_eq!(parser.source(bytes, &header.names), name.as_bytes());
                assert_eq!(
                    parser.target(bytes, &header.names),
                    Some(&b"api-gateway"[..])
                );
            }
            Err(refusal) => assert_eq!((name, refusal.field.as_deref()), ("", Some("source"))),
        }
    }
}
