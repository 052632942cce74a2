//! Texts that are JSON, and texts that are not.

use super::*;

#[test]
fn sets_numbers_no_limit_but_the_grammar() {
    for number in [
        "0",
        "-0",
        "0.0",
        "1e400",
        "1E400",
        "-1e-400",
        "1e+0400",
        "1234567890123456789012345",
        "-9223372036854775809",
        "18446744073709551616",
        "0.1234567890123456789012345e-5",
        "1e99999999999999999999",
        "4.9e-324",
        "1.7976931348623159e308",
    ] {
        let frame = order_with("45000.0", number);
        assert_eq!(
            parse(&frame).unwrap().3.as_deref(),
            Some("api-gateway"),
            "{number}"
        );
        let field = order_with(r#""run-123""#, number);
        assert_eq!(
            refused(field),
            (ErrorCode::InvalidPayload, "payload.run_id".into())
        );
        let big = order_with("45000.0", number).replacen('{', r#"{"\u0078":1e999,"#, 1);
        assert!(parse(&big).is_ok(), "{number}");
    }
    for no_number in [
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "NaN",
        "Infinity",
        "-Infinity",
        "1.e5",
        "00",
        "--1",
        "1 2",
    ] {
        let refusal = refusal(order_with("45000.0", no_number));
        assert_eq!(refusal.code, ErrorCode::InvalidJson, "{no_number}");
        assert!(refusal.at.is_some());
    }
}

#[test]
fn a_second_opinion_upholds_every_rule() {
    let big = |frame: &str| frame.replacen('{', r#"{"big":1e999,"#, 1);
    for message in MESSAGES {
        assert_eq!(parse(big(&compact(message))), parse(message));
    }
    let order = compact(MESSAGES[0]);
    for (from, to) in [
        ("\"quantower-connector\"", "\"\""),
        ("2026", "3026-"),
        (r#""target":"#, r#""target":1,"t\u0061rget":"#),
        (r#""order_id":"#, r#""x":1,"x":2,"order_id":"#),
        ("order\"", "orders\""),
        ("quantower", r"\ud800"),
    ] {
        let frame = order.replacen(from, to, 1);
        let code = |outcome: Result<Routed, Refusal>| {
            outcome.map_err(|refusal| (refusal.code, refusal.field, refusal.msg_id))
        };
        assert_eq!(code(parse(big(&frame))), code(parse(&frame)), "{frame}");
    }
}

#[test]
fn refuses_what_is_nested_deeper_than_64_levels() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |levels: usize| {
            // The root, the payload and payload_json are three levels.
            let inner = levels - 3;
            let value = format!("{}0{}", open.repeat(inner), close.repeat(inner));
            order_with("45000.0", &value)
        };
        assert!(parse(nested(64)).is_ok());
        let refusal = refusal(nested(65));
        assert_eq!(refusal.code, ErrorCode::InvalidJson);
        assert!(refusal.reason.contains("deeper than 64"), "{refusal}");
        let big = |levels| nested(levels).replacen('{', r#"{"big":1e999,"#, 1);
        assert!(parse(big(64)).is_ok());
        assert!(parse(big(65)).is_err());
        assert!(parse(nested(100_000)).is_err());
    }
    assert!(parse("[".repeat(1 << 20)).is_err());
    assert!(parse("{\"a\":".repeat(1 << 18)).is_err());
}

#[test]
fn a_frame_is_one_object_and_nothing_else() {
    for (frame, word) in [
        ("[]", "an array"),
        ("5", "a number"),
        ("1e999", "a number"),
        ("\"x\"", "a string"),
        ("null", "null"),
        ("true", "a boolean"),
    ] {
        let refusal = refusal(frame);
        assert_eq!(refusal.code, ErrorCode::InvalidJson);
        assert!(refusal.reason.contains(word), "{refusal}");
    }
    for frame in [
        "",
        " ",
        "\n\n",
        "{}{}",
        "{} x",
        "{},",
        "\0",
        "{}\0",
        "\u{feff}{}",
    ] {
        assert_eq!(refusal(frame).code, ErrorCode::InvalidJson, "{frame:?}");
    }
}

#[test]
fn refuses_strings_that_json_forbids() {
    for inner in [
        &b"\\ud800"[..],
        b"\\udc00",
        b"\\udc00\\ud800",
        b"\\ud800x",
        b"\\ud800\\n",
        b"\\ud800\\ud800",
        b"\\uD800\\u0041",
        b"\\x",
        b"\\u12",
        b"\\u12g4",
        b"\n",
        b"\0",
        b"\x1f",
        b"\t",
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ] {
        for place in [
            "run-123",
            "run_id",
            "BTCUSDT",
            "order_id",
            "quantower-connector",
        ] {
            let order = compact(MESSAGES[0]).into_bytes();
            let at = memchr::memmem::find(&order, place.as_bytes()).unwrap();
            let frame = [&order[..at], inner, &order[at..]].concat();
            let refusal = refusal(&frame);
            assert_eq!(refusal.code, ErrorCode::InvalidJson, "{inner:?}");
            let fault = refusal.at.unwrap();
            assert!(
                (at..=at + inner.len()).contains(&fault),
                "{fault} {at} {refusal}"
            );
        }
    }
    // DEL and C1 are no business of JSON's, but of names.
    assert!(parse(order_with("run-123", "\u{7f}\u{85}\u{2028}")).is_ok());
    assert!(parse(order_with("quantower", "\u{85}")).is_err());
}
