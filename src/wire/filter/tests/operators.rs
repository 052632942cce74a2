//! Each operator on each type of value.

use super::*;

/// The condition `"op": …, "value": …` on a field `x` that holds a value.
#[track_caller]
fn holds(op_and_value: &str, x: &str) -> bool {
    let filter = filter(&format!(
        r#"{{"field":"/payload/payload_json/x",{op_and_value}}}"#
    ));
    let frame = event(&if x.is_empty() {
        "{}".to_owned()
    } else {
        format!(r#"{{"x":{x}}}"#)
    });
    accepted(&frame);
    matches(&filter, &frame)
}

/// Of each condition: of which values it holds. No other value of any row may
/// satisfy it, unless the row says that too.
#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn each_operator_by_a_table() {
    const ALL: &[&str] = &[
        "",
        "null",
        "true",
        "false",
        "0",
        "-0.0",
        "1",
        "1.0",
        "10e-1",
        "1.5",
        "2",
        "-1",
        "1e400",
        "1e-400",
        "12345678901234567890123",
        r#""""#,
        r#""1""#,
        r#""a""#,
        r#""\u0061""#,
        r#""b""#,
        r#""ab""#,
        r#""aé""#,
        r#""\u0061\u00E9""#,
        r#""\uD834\uDD1E""#,
        r#""𝄞""#,
        r#""a\/b""#,
        r#""a/b""#,
        r#""true""#,
        "[]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
    ];
    let table: &[(&str, &[&str])] = &[
        (r#""op":"eq","value":null"#, &["null"]),
        (r#""op":"eq","value":true"#, &["true"]),
        (r#""op":"eq","value":false"#, &["false"]),
        (r#""op":"eq","value":1"#, &["1", "1.0", "10e-1"]),
        (r#""op":"eq","value":0"#, &["0", "-0.0", "1e-400"]),
        (r#""op":"eq","value":-0"#, &["0", "-0.0", "1e-400"]),
        (
            r#""op":"eq","value":12345678901234567890124"#,
            &["12345678901234567890123"],
        ),
        (r#""op":"eq","value":"1""#, &[r#""1""#]),
        (r#""op":"eq","value":"""#, &[r#""""#]),
        (r#""op":"eq","value":"\u0061""#, &[r#""a""#, r#""\u0061""#]),
        (
            r#""op":"eq","value":"aé""#,
            &[r#""aé""#, r#""\u0061\u00E9""#],
        ),
        (r#""op":"eq","value":"𝄞""#, &[r#""\uD834\uDD1E""#, r#""𝄞""#]),
        (r#""op":"eq","value":"a/b""#, &[r#""a\/b""#, r#""a/b""#]),
        (r#""op":"in","value":[]"#, &[]),
        (
            r#""op":"in","value":["b",1,null,"b",true]"#,
            &["null", "true", "1", "1.0", "10e-1", r#""b""#],
        ),
        (
            r#""op":"in","value":["z","y","x","w","b","a",7,6,2,null,false]"#,
            &["null", "false", "2", r#""a""#, r#""\u0061""#, r#""b""#],
        ),
        (
            r#""op":"prefix","value":"a""#,
            &[
                r#""a""#,
                r#""\u0061""#,
                r#""ab""#,
                r#""aé""#,
                r#""\u0061\u00E9""#,
                r#""a\/b""#,
                r#""a/b""#,
            ],
        ),
        (
            r#""op":"prefix","value":"aé""#,
            &[r#""aé""#, r#""\u0061\u00E9""#],
        ),
        (r#""op":"prefix","value":"1""#, &[r#""1""#]),
        (r#""op":"lt","value":1"#, &["0", "-0.0", "-1", "1e-400"]),
        (
            r#""op":"le","value":1"#,
            &["0", "-0.0", "-1", "1e-400", "1", "1.0", "10e-1"],
        ),
        (
            r#""op":"gt","value":1"#,
            &["1.5", "2", "12345678901234567890123"],
        ),
        (
            r#""op":"ge","value":1"#,
            &["1", "1.0", "10e-1", "1.5", "2", "12345678901234567890123"],
        ),
        (r#""op":"gt","value":1.7e308"#, &[]),
        (r#""op":"lt","value":"a""#, &[r#""""#, r#""1""#]),
        (
            r#""op":"le","value":"a""#,
            &[r#""""#, r#""1""#, r#""a""#, r#""\u0061""#],
        ),
        (
            r#""op":"gt","value":"b""#,
            &[r#""true""#, r#""\uD834\uDD1E""#, r#""𝄞""#],
        ),
        (
            r#""op":"ge","value":"b""#,
            &[r#""b""#, r#""true""#, r#""\uD834\uDD1E""#, r#""𝄞""#],
        ),
        (r#""op":"exists","value":false"#, &[""]),
        (r#""op":"exists""#, &ALL[1..]),
        (r#""op":"exists","value":true"#, &ALL[1..]),
    ];
    for (condition, of) in table {
        for value in of.iter() {
            assert!(ALL.contains(value), "{value} is in no row");
        }
        for value in ALL {
            assert_eq!(
                holds(condition, value),
                of.contains(value),
                "{condition} of {value}"
            );
        }
    }
}

#[test]
fn all_conditions_must_hold_and_none_hold_of_everything() {
    let frame = event(r#"{"symbol":"BTCUSDT","close":45000.5}"#);
    let symbol = |symbol: &str| {
        format!(r#"{{"field":"/payload/payload_json/symbol","op":"eq","value":"{symbol}"}}"#)
    };
    let above = |close: u32| {
        format!(r#"{{"field":"/payload/payload_json/close","op":"gt","value":{close}}}"#)
    };
    assert!(matches(&filter(""), &frame));
    assert!(matches(&filter(&symbol("BTCUSDT")), &frame));
    for (name, close, expected) in [
        ("BTCUSDT", 45_000, true),
        ("BTCUSDT", 45_001, false),
        ("ETHUSDT", 45_000, false),
    ] {
        let both = filter(&format!("{},{}", symbol(name), above(close)));
        assert_eq!(matches(&both, &frame), expected);
        let twice = filter(&format!("{},{}", above(close), symbol(name)));
        assert_eq!(matches(&twice, &frame), expected);
    }
}

#[test]
fn source_and_type_are_fields() {
    let frame = event("{}");
    for (condition, expected) in [
        (r#"{"field":"source","op":"eq","value":"feed"}"#, true),
        (r#"{"field":"source","op":"prefix","value":"fo"}"#, false),
        (r#"{"field":"/source","op":"eq","value":"feed"}"#, true),
        (
            r#"{"field":"msg_type","op":"in","value":["ingest_event"]}"#,
            true,
        ),
        (r#"{"field":"/msg_type","op":"eq","value":"ack"}"#, false),
    ] {
        assert_eq!(matches(&filter(condition), &frame), expected, "{condition}");
    }
}
