//! All but values is literal.

use super::*;

#[test]
fn tells_keys_from_values_by_their_container_and_not_by_a_colon() {
    let order = compact(MESSAGES[0]);
    // The colon far from its key, so that it is no help.
    let far = order.replace("\":", "\" \r\n\t                                  :");
    for frame in [order, far] {
        let mut changes = Vec::new();
        for key in ["msg_id", "target", "payload_json", "symbol", "quantity"] {
            for to in ["x", "xxxxxx", "msg_ie", "", "a\\u0062"] {
                changes.push((format!("\"{key}\""), format!("\"{to}\"")));
            }
        }
        let changes: Vec<_> = (changes.iter())
            .map(|(from, to)| (from.as_str(), to.as_str()))
            .collect();
        all_miss(&frame, &changes);
    }
}

#[test]
fn a_value_in_an_array_is_no_key() {
    let frame = with(
        &compact(MESSAGES[0]),
        "\"side\":\"BUY\"",
        r#""side":["BUY" ,"SELL",["x",{"k":"v"},"y"],{"l":["w"]},"z"]"#,
    );
    all_miss(&frame, &[("\"k\"", "\"l\""), ("\"l\"", "\"k\"")]);
    for (mut harness, name) in harnesses(&frame) {
        for value in ["\"BUY\"", "\"x\"", "\"v\"", "\"y\"", "\"w\"", "\"z\""] {
            let to = value.replace(char::is_alphanumeric, "q");
            assert!(
                knows(&mut harness, with(&frame, value, &to)),
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn keeps_everything_literal_that_is_no_string_and_no_number() {
    let frame = with(
        &compact(MESSAGES[0]),
        "\"side\":\"BUY\"",
        r#""a":true,"b":false,"c":null,"d":[],"e":{},"f":[1,2],"g":{"h":1},"i": 3"#,
    );
    let values = [
        "null", "true", "false", "[]", "{}", "[0]", "\"\"", "\"nul\"", "1", "tru", "",
    ];
    let mut changes = Vec::new();
    for key in ["a\":true", "b\":false", "c\":null", "d\":[]", "e\":{}"] {
        for value in values {
            if !key.ends_with(&format!(":{value}")) {
                changes.push((key.to_owned(), format!("{}:{value}", &key[..2])));
            }
        }
    }
    for (from, to) in [
        ("[1,2]", "[1,2,3]"),
        ("[1,2]", "[1]"),
        ("[1,2]", "[]"),
        ("[1,2]", "[1,[2]]"),
        ("[1,2]", "[1,\"2\"]"),
        ("[1,2]", "[1,true]"),
        ("[1,2]", "[1, 2]"),
        ("{\"h\":1}", "{\"h\":1,\"j\":1}"),
        ("\"i\": 3", "\"i\":3"),
        ("\"i\": 3", "\"i\":  3"),
        ("\"i\": 3", "\"i\":\t3"),
        (r#""a":true,"b":false"#, r#""b":false,"a":true"#),
        ("\"target\":\"api-gateway\"", "\"target\":null"),
        ("\"target\":\"api-gateway\",", ""),
    ] {
        changes.push((from.to_owned(), to.to_owned()));
    }
    for (from, to) in changes {
        all_miss(&frame, &[(&from, &to)]);
    }
}

#[test]
fn keeps_the_words_that_a_rule_enumerates() {
    let log = compact(MESSAGES[3]);
    let order = compact(MESSAGES[0]);
    for to in ["WARN", "ERROR", "info", "INFX", "", "\u{7f}NFO"] {
        all_miss(&log, &[("\"INFO\"", &format!("\"{to}\""))]);
    }
    for to in ["execution", "market_data", "orders", "ordes", "Order"] {
        all_miss(&order, &[("\"order\"", &format!("\"{to}\""))]);
    }
    for to in ["log_record", "ingest_evens", "hello", "welcome", "ack"] {
        all_miss(&order, &[("\"ingest_event\"", &format!("\"{to}\""))]);
    }
}

#[test]
fn repeats_no_key_and_nests_no_deeper_than_the_learned_frame() {
    let frame = order_and("\"k1\":[1],\"k2\":2,");
    for (harness, _) in &mut harnesses(&frame) {
        assert!(!knows(harness, frame.replace("\"k2\"", "\"k1\"")));
        assert!(!knows(harness, frame.replace("\"k1\"", "\"msg_id\"")));
        assert!(!knows(harness, frame.replace("[1]", "[[1]]")));
    }
    // The root, the payload, payload_json and 61 more.
    let nested = |levels: usize| format!("{}-77{}", "[".repeat(levels), "]".repeat(levels));
    let frame = with(&compact(MESSAGES[0]), "45000.0", &nested(61));
    for (harness, _) in &mut harnesses(&frame) {
        assert!(knows(harness, with(&frame, "-77", "-88")));
        assert!(!knows(harness, with(&frame, "[-77]", "[[-77]]")));
        assert!(!knows(harness, with(&frame, "[-77]", "[{}]")));
    }
}

#[test]
fn widens_only_where_all_literals_agree() {
    let frame = |a: &str, b: &str| order_and(&format!("\"a\":{a},\"b\":{b},"));
    let mut harness = Harness::new(Validation::Payload);
    for (a, b) in [
        ("true", "1"),
        ("false", "1"),
        ("true", "22"),
        ("false", "\"x\""),
    ] {
        assert!(harness.teach(frame(a, b).as_bytes()));
    }
    assert_eq!(harness.shapes.load().shapes().count(), 3);
    for (a, b, known) in [
        ("true", "333", true),
        // A width that only the other shape has seen.
        ("false", "333", false),
        ("false", "3", true),
        ("null", "3", false),
        ("true", "\"x\"", false),
        ("false", "\"y\"", true),
        ("false", "[1]", false),
    ] {
        assert_eq!(knows(&mut harness, frame(a, b)), known, "{a} {b}");
    }
}

#[test]
fn no_value_swallows_its_neighbour() {
    let frame = order_and(r#""a":"x","b":"","c":[1,22,333],"d":4.5,"e":["",""],"#);
    for (harness, name) in &mut harnesses(&frame) {
        for (from, to) in [
            (r#""a":"x","b":"""#, r#""a":"x,"b":"""#),
            (r#""a":"x","b":"""#, r#""a":"x","b":""""#),
            (r#""a":"x","b":"""#, r#""a":"","b":"","b":"""#),
            (r#""a":"x","b":"""#, r#""a":"x\","b":"""#),
            (r#""a":"x","b":"""#, r#""a":x,"b":"""#),
            ("[1,22,333]", "[122,333]"),
            ("[1,22,333]", "[1,22333]"),
            ("[1,22,333]", "[1,,333]"),
            ("[1,22,333]", "[,22,333]"),
            ("[1,22,333]", "[1,22,]"),
            ("[1,22,333]", "[1,22,333"),
            ("[1,22,333]", "[1,22 ,333]"),
            ("[1,22,333]", "[1,2-2,333]"),
            ("[1,22,333]", "[1,22e,333]"),
            ("4.5", ""),
            ("4.5", "4.5.6"),
            ("4.5", "4.5,4"),
            (r#"["",""]"#, r#"["","",""]"#),
            (r#"["",""]"#, r#"["""]"#),
        ] {
            let changed = frame.replace(from, to);
            assert_ne!(changed, frame, "{from}");
            assert!(!knows(harness, &changed), "{name}: {from} → {to}");
        }
    }
}

#[test]
fn nothing_may_follow_the_root() {
    let frame = compact(MESSAGES[5]);
    for (harness, _) in &mut harnesses(&frame) {
        for byte in 0..=u8::MAX {
            let mut longer = frame.clone().into_bytes();
            longer.push(byte);
            assert!(!harness.hold(&longer, frame.as_bytes()), "{byte:#x}");
            // Behind the frame instead of in it, it doesn't matter.
            assert!(harness.hold(frame.as_bytes(), &[byte; 40]));
        }
    }
}

#[test]
fn no_value_runs_into_what_stands_behind_the_frame() {
    // The last value of all is a text, a number, a timestamp, a name.
    let endings = [
        (r#"{"payload":{"status":"","timestamp":"T"},"msg_type":"heartbeat","timestamp":"T","msg_id":"I","source":"s","target":null,"x":"text"}"#),
        (r#"{"payload":{"status":"","timestamp":"T"},"msg_type":"heartbeat","timestamp":"T","msg_id":"I","source":"s","target":null,"x":12345}"#),
        (r#"{"payload":{"status":"","timestamp":"T"},"msg_type":"heartbeat","msg_id":"I","source":"s","timestamp":"T"}"#),
        (r#"{"payload":{"status":"","timestamp":"T"},"msg_type":"heartbeat","timestamp":"T","msg_id":"I","source":"s","target":"somebody"}"#),
        (r#"{"payload":{"status":"","timestamp":"T"},"msg_type":"heartbeat","timestamp":"T","source":"s","msg_id":"I"}"#),
    ];
    for ending in endings {
        let frame = ending
            .replace("\"T\"", "\"2026-01-03T12:41:00.123Z\"")
            .replace("\"I\"", "\"550e8400-e29b-41d4-a716-446655440000\"");
        for (harness, name) in &mut harnesses(&frame) {
            for end in frame.len() - 40..frame.len() {
                let (cut, rest) = frame.split_at(end);
                for behind in [rest, "", "7", "\"}", "7}", "\"}}\"}}"] {
                    let behind = format!("{behind}{frame}");
                    assert!(
                        !harness.hold(cut.as_bytes(), behind.as_bytes()),
                        "{name}: {cut}"
                    );
                }
            }
        }
    }
}
