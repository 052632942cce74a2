//! The values found in a frame at a field.

use super::*;

/// The value at a pointer, in words.
#[track_caller]
fn at(pointer: &str, frame: &str) -> Option<String> {
    let probe = Probe::new([Field::parse(pointer).unwrap()]);
    let mut values = Values::default();
    let value = values.read(&probe, frame.as_bytes(), None).get(0)?;
    Some(match value {
        Value::Number(spelling) => String::from_utf8(spelling.to_vec()).unwrap(),
        Value::Text(text) => format!("{:?}", str::from_utf8(text).unwrap()),
        other => format!("{other:?}"),
    })
}

#[test]
fn follows_pointers_as_rfc_6901_has_them() {
    let frame = r#" { "a/b" : 1, "c%d":2, "e^f":3, "g|h":4, "i\\j":5, "k\"l":6, " ":7, "m~n":8,
        "~1":9, "":10, "foo" : [ "bar" , [ 1.5e3 , null ] , { "" : { "01" : true } } ] } "#;
    accepted(&event(frame));
    for (pointer, value) in [
        ("/a~1b", Some("1")),
        ("/c%d", Some("2")),
        ("/e^f", Some("3")),
        ("/g|h", Some("4")),
        (r"/i\j", Some("5")),
        ("/k\"l", Some("6")),
        ("/ ", Some("7")),
        ("/m~0n", Some("8")),
        ("/~01", Some("9")),
        ("/", Some("10")),
        ("/foo", Some("Container")),
        ("/foo/0", Some("\"bar\"")),
        ("/foo/1", Some("Container")),
        ("/foo/1/0", Some("1.5e3")),
        ("/foo/1/1", Some("Null")),
        ("/foo/2//01", Some("Bool(true)")),
        ("/foo/00", None),
        ("/foo/01", None),
        ("/foo/-", None),
        ("/foo/-1", None),
        ("/foo/+1", None),
        ("/foo/ 1", None),
        ("/foo/3", None),
        ("/foo/4294967296", None),
        ("/foo/99999999999999999999", None),
        ("/foo/", None),
        ("/foo/0/0", None),
        ("/a", None),
        ("/a/b", None),
        ("//", None),
    ] {
        assert_eq!(at(pointer, frame).as_deref(), value, "{pointer}");
    }
}

#[test]
fn the_first_of_repeated_keys_counts() {
    let frame = r#"{"a":{"b":1,"\u0062":2,"b":3},"a":{"b":4,"c":5},"d":[{"e":1,"e":2}],"d":[]}"#;
    assert_eq!(at("/a/b", frame).as_deref(), Some("1"));
    assert_eq!(at("/a/c", frame), None);
    assert_eq!(at("/d/0/e", frame).as_deref(), Some("1"));
    // One way on that isn't met must not let the second be looked at.
    assert_eq!(at("/d/1", frame), None);
}

#[test]
fn finds_many_fields_at_once() {
    let frame = r#"{"a":{"b":[1,{"c":"x"}],"d":"\u0041\n"},"source":"s"}"#;
    let names = [
        "/a/b/1/c", "/a", "source", "/a/d", "/a/b/0", "/x", "/a/b", "/a",
    ];
    let probe = Probe::new(names.map(|name| Field::parse(name).unwrap()));
    assert_eq!(probe.fields().len(), 7);
    assert_eq!(probe.position(&Field::parse("/a").unwrap()), Some(1));
    assert_eq!(probe.position(&Field::MsgType), None);
    let mut values = Values::default();
    for _ in 0..2 {
        let view = values.read(&probe, frame.as_bytes(), None);
        let found: Vec<_> = (0..8).map(|field| view.get(field)).collect();
        let expected = [
            Some(Value::Text(b"x")),
            Some(Value::Container),
            Some(Value::Text(b"s")),
            Some(Value::Text(b"A\n")),
            Some(Value::Number(b"1")),
            None,
            Some(Value::Container),
            None,
        ];
        assert_eq!(found, expected);
    }
}

/// No frame that the parser refuses comes here; if one did, nothing would break.
#[test]
fn takes_any_bytes() {
    let pointers = ["/a", "/a/b", "/a/0", "/a/1/b", "source", ""];
    let fields = pointers.map(|text| Pointer::parse(text).map_or(Field::Source, Field::from));
    let probe = Probe::new(fields);
    let mut values = Values::default();
    let whole = r#"{"a":[1,{"b":"\ud834\udd1e\u00e9\\"}],"a":"x","source":"\""}"#;
    for cut in 0..whole.len() {
        for byte in [b'"', b'\\', b'{', b']', b'u', 0xFF] {
            let mut frame = whole.as_bytes()[..cut].to_vec();
            values.read(&probe, &frame, None);
            frame.push(byte);
            values.read(&probe, &frame, None);
            frame.extend_from_slice(&whole.as_bytes()[cut..]);
            let view = values.read(&probe, &frame, None);
            for field in 0..probe.fields().len() {
                view.get(field);
            }
        }
    }
}

#[test]
fn pointers_are_written_as_they_were_read() {
    for text in ["", "/", "/a", "/a~1b/~0/~01", "/0/01/-", "//é"] {
        let pointer = Pointer::parse(text).unwrap();
        assert_eq!(pointer.to_string(), text);
        assert_eq!(pointer.is_root(), text.is_empty());
    }
    assert_eq!(
        Field::from(Pointer::parse("/source").unwrap()),
        Field::Source
    );
    assert_eq!(
        Field::from(Pointer::parse("/msg_type").unwrap()),
        Field::MsgType
    );
}
