//! Texts that are not JSON, and JSON that parsers read in different ways.

use super::{About, Case, case, order};
use crate::draft::Draft;

pub fn invalid_json() -> Vec<Case> {
    let not_json = |label: &str, frame: &[u8], about| Case {
        label: format!("{label}: {:?}", String::from_utf8_lossy(frame)),
        frame: frame.to_vec(),
        code: "INVALID_JSON",
        field: None,
        about,
    };
    let mut cases = Vec::new();
    for frame in [
        "x",
        " ",
        "\n\t \r",
        "[]",
        "[{}]",
        "\"text\"",
        "1",
        "null",
        "true",
        "not json",
        "{",
        "}",
        "{}{}",
        "{}x",
        "{},",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1",
        "{\"a\":\"",
        "{\"a\":[1}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{1:2}",
        "{null:2}",
        "// c\n{}",
        "{/* c */}",
        "\u{feff}{}",
        "{\"a\":\u{a0}1}",
        "{}\0",
        "\0{}",
    ] {
        cases.push(not_json("a frame", frame.as_bytes(), About::Nothing));
    }
    let utf_16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    cases.push(not_json("UTF-16", &utf_16, About::Nothing));

    for value in [
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "-.5",
        "1.e5",
        "1e",
        "1e+",
        "1E-",
        "1e5.0",
        "0x10",
        "1_000",
        "1,5",
        "--1",
        "1 2",
        "True",
        "nul",
        "nulll",
        "undefined",
        "'x'",
        "\"x",
        "[1",
        "{\"a\":1]",
        "1e400x",
        "12345678901234567890123456.",
        "1234567890123456789012345e",
    ] {
        let frame = order().payload_text("payload_json", format!("{{\"x\":{value}}}"));
        cases.push(not_json("a value", &frame.frame(), About::Either));
        let frame = order().text("extra", value);
        cases.push(not_json("in the envelope", &frame.frame(), About::Either));
    }

    let strings: [&[u8]; 29] = [
        b"\xFF",
        b"\x80",
        b"\xC3",
        b"\xC3(",
        b"\xC0\x80",
        b"\xE0\x80\x80",
        b"\xED\xA0\x80",
        b"\xED\xB0\x80",
        b"\xF0\x80\x80\x80",
        b"\xF4\x90\x80\x80",
        b"\xF5\x80\x80\x80",
        b"\xF0\x9F\x9A",
        b"\0",
        b"\n",
        b"\t",
        b"\x1F",
        b"\\",
        b"\\x41",
        b"\\u",
        b"\\u12",
        b"\\u12G4",
        b"\\U0041",
        b"\\'",
        b"\\\n",
        b"\\ud800",
        b"\\udc00",
        b"\\ud800\\n",
        b"\\ud800\\ud800",
        b"\\uDBFFx\\uDFFF",
    ];
    for inside in strings {
        // As the text of a value, of a key, and of a key of the envelope. The
        // marks are replaced because bytes that aren't UTF-8 fit no draft.
        let places = [
            order().payload_text("payload_json", r#"{"x":"MARK"}"#),
            order().payload_text("payload_json", r#"{"MARK":1}"#),
            order().again("MARK", "1"),
            order().text("source", r#""MARK""#),
            // A number that asks for the second opinion doesn't help.
            order().payload_text("payload_json", r#"{"n":1e400,"x":"MARK"}"#),
        ];
        for place in places {
            let frame = replace(&place.frame(), b"MARK", inside);
            cases.push(not_json("a string", &frame, About::Either));
        }
    }
    for outside in [&b"\xFF"[..], b"\xEF\xBB\xBF", b"\xC2\xA0", b"\x0C", b"\x0B"] {
        let frame = [&order().frame(), outside].concat();
        cases.push(not_json("behind the object", &frame, About::Either));
    }

    for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
        for deep in [62, 63, 200, 20_000] {
            let inner = if open == "[" { "1" } else { "{}" };
            let tower = format!("{}{inner}{}", open.repeat(deep), close.repeat(deep));
            let lists = order().payload_text("payload_json", format!(r#"{{"x":{tower}}}"#));
            cases.push(not_json("nested", &lists.frame(), About::Either));
            let number = lists.text("n", "1e400");
            cases.push(not_json("nested", &number.frame(), About::Either));
        }
    }
    let beside = order().text("extra", format!("{}{}", "[".repeat(64), "]".repeat(64)));
    cases.push(not_json("nested", &beside.frame(), About::Either));
    cases.push(not_json("open only", &b"[".repeat(100_000), About::Nothing));
    for case in &mut cases {
        case.label.truncate(200);
    }
    cases
}

fn replace(frame: &[u8], mark: &[u8], with: &[u8]) -> Vec<u8> {
    let place = frame
        .windows(mark.len())
        .position(|window| window == mark)
        .expect("the mark stands in the frame");
    [&frame[..place], with, &frame[place + mark.len()..]].concat()
}

pub fn duplicates() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut twice = |label: &str, draft: Draft, field| {
        cases.push(case(label, &draft, "DUPLICATE_FIELD", field));
    };
    twice("type", order().again("msg_type", "\"ack\""), "msg_type");
    twice("time", order().again("timestamp", "1"), "timestamp");
    twice("source", order().again("source", "\"a\""), "source");
    twice("target", order().again("target", "null"), "target");
    twice("payload", order().again("payload", "{}"), "payload");
    twice("unknown", order().again("x", "1").again("x", "1"), "x");
    twice("\\u", order().again("\\u0073ource", "\"b\""), "source");
    twice(
        "\\u at the end",
        order().again("targe\\u0074", "\"b\""),
        "target",
    );
    let both = order().without("source").again("\\u0073ource", "\"a\"");
    twice("both in \\u", both.again("sourc\\u0065", "\"a\""), "source");
    let solidus = order().again("a\\/b", "1").again("a/b", "1");
    twice("two spellings of /", solidus, "a/b");
    let unicode = order().again("é", "1").again("\\u00e9", "1");
    twice("two spellings of é", unicode, "é");
    twice(
        "with a huge number",
        order().text("n", "1e400").again("target", "1"),
        "target",
    );
    let before = order().without("payload").again("payload", "1");
    twice(
        "a payload that is none",
        before.again("payload", "{}"),
        "payload",
    );

    let again = |key: &str, text: &str| order().payload_again(key, text);
    twice("run_id", again("run_id", "\"x\""), "payload.run_id");
    twice("event", again("payload_json", "{}"), "payload.payload_json");
    twice("escaped", again("run\\u005fid", "\"x\""), "payload.run_id");
    twice(
        "unknown in payload",
        again("x", "1").payload_again("x", "2"),
        "payload.x",
    );
    let heartbeat = Draft::heartbeat("a", "b").payload_again("status", "1");
    twice("of a heartbeat", heartbeat, "payload.status");
    let hello = Draft::hello("a").payload_again("protocol", "1");
    twice("of a hello", hello, "payload.protocol");

    let id = order().again("msg_id", "\"550e8400-e29b-41d4-a716-446655440000\"");
    cases.push(case("id", &id, "DUPLICATE_FIELD", "msg_id").about_nothing());
    let id = order().again("m\\u0073g_id", "1");
    cases.push(case("escaped id", &id, "DUPLICATE_FIELD", "msg_id").about_nothing());
    cases
}
