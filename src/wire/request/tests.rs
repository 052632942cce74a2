//! The reading of `subscribe` and `unsubscribe`, and their refusals.

use super::*;
use crate::wire::filter::{Field, Filter, Scalar};
use crate::wire::tests::ID;
use crate::wire::{Kind, Parser};

/// The parser accepts it.
pub(crate) fn accepted(frame: &str) -> Kind {
    let header = Parser::default().parse(frame.as_bytes());
    header
        .unwrap_or_else(|refusal| panic!("{refusal}: {frame}"))
        .kind
}

/// Reads a `subscribe` with these members, as the parser would pass it on.
pub(crate) fn subscribe(members: &str) -> Result<SubscribeRequest, Refusal> {
    let frame = control("subscribe", members);
    assert_eq!(accepted(&frame), Kind::Subscribe);
    SubscribeRequest::read(frame.as_bytes())
}

fn control(msg_type: &str, members: &str) -> String {
    format!(
        r#"{{"msg_id":"{ID}","msg_type":"{msg_type}","timestamp":"2026-01-03T12:41:00Z",
            "source":"tool","payload":{{{members}}}}}"#
    )
}

/// The filter of these conditions.
pub(crate) fn filter(conditions: &str) -> Filter {
    let request = subscribe(&format!(r#""id":"a","where":[{conditions}]"#));
    request
        .unwrap_or_else(|refusal| panic!("{refusal}: {conditions}"))
        .filter
}

fn refusal(members: &str) -> Refusal {
    let refusal = subscribe(members).unwrap_err();
    assert_eq!(refusal.msg_id.unwrap().as_str(), ID);
    assert_eq!(refusal.source.as_ref().unwrap().as_str(), "tool");
    refusal
}

fn refused(members: &str) -> (ErrorCode, String) {
    let refusal = refusal(members);
    (refusal.code, refusal.field.unwrap().into_owned())
}

#[test]
fn reads_every_option_and_ignores_what_it_does_not_know() {
    let plain = subscribe(r#""id":"a""#).unwrap();
    assert_eq!(plain.id, "a");
    assert!(plain.filter.conditions().is_empty());
    assert_eq!(plain.mode, Mode::All);
    assert_eq!(plain.key, None);
    assert!(!plain.snapshot);

    let full = subscribe(
        r#""id":"\u0061","where":[{"field":"source","op":"eq","value":"feed","note":1e999},
            {"op":"exists","field":"/x"}],"mode":"latest","key":"/payload/payload_json/symbol",
            "snapshot":true,"later":[1e999]"#,
    )
    .unwrap();
    assert_eq!(full.id, "a");
    assert_eq!(full.filter.conditions().len(), 2);
    assert_eq!(*full.filter.conditions()[0].field(), Field::Source);
    assert_eq!(full.mode, Mode::Latest);
    assert_eq!(
        full.key.unwrap().to_string(),
        "/payload/payload_json/symbol"
    );
    assert!(full.snapshot);
}

#[test]
fn equal_conditions_say_their_values_once() {
    let values = |op_and_value: &str| {
        let filter = filter(&format!(r#"{{"field":"source",{op_and_value}}}"#));
        filter.conditions()[0].equals().map(<[Scalar]>::to_vec)
    };
    let text = |text: &str| Scalar::Text(text.into());
    assert_eq!(values(r#""op":"eq","value":"a""#), Some(vec![text("a")]));
    assert_eq!(
        values(r#""op":"in","value":["b","a","\u0062",null]"#),
        Some(vec![Scalar::Null, text("a"), text("b")])
    );
    assert_eq!(
        values(r#""op":"in","value":[1,1.0,10e-1]"#).unwrap().len(),
        1
    );
    assert_eq!(values(r#""op":"prefix","value":"a""#), None);
    assert_eq!(values(r#""op":"exists""#), None);
    assert_eq!(values(r#""op":"le","value":1"#), None);
}

#[test]
fn of_repeated_keys_in_a_condition_the_first_counts() {
    let read = filter(r#"{"field":"source","op":"eq","op":"bad","value":1,"value":[],"field":5}"#);
    assert_eq!(read, filter(r#"{"field":"source","op":"eq","value":1}"#));
}

#[test]
fn refuses_a_wrong_option_and_names_it() {
    for (members, field) in [
        ("", "payload.id"),
        (r#""id":"""#, "payload.id"),
        (r#""id":5"#, "payload.id"),
        (r#""id":null"#, "payload.id"),
        (r#""id":"a","mode":"newest""#, "payload.mode"),
        (r#""id":"a","mode":null"#, "payload.mode"),
        (r#""id":"a","key":"symbol""#, "payload.key"),
        (r#""id":"a","key":"/a~2""#, "payload.key"),
        (r#""id":"a","key":"""#, "payload.key"),
        (r#""id":"a","key":["/a"]"#, "payload.key"),
        (r#""id":"a","snapshot":1"#, "payload.snapshot"),
        (r#""id":"a","snapshot":true"#, "payload.key"),
        (r#""id":"a","mode":"latest""#, "payload.key"),
    ] {
        let expected = (ErrorCode::InvalidPayload, field.to_owned());
        assert_eq!(refused(members), expected, "{members}");
    }
    assert!(subscribe(r#""id":"a","snapshot":false,"mode":"all""#).is_ok());
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn refuses_a_bad_filter_and_points_at_the_condition() {
    for (conditions, field) in [
        ("5", "[0]"),
        ("null", "[0]"),
        (r#"["source","eq","a"]"#, "[0]"),
        ("{}", "[0].field"),
        (r#"{"op":"eq","value":1}"#, "[0].field"),
        (r#"{"field":5,"op":"eq","value":1}"#, "[0].field"),
        (r#"{"field":"","op":"exists"}"#, "[0].field"),
        (r#"{"field":"symbol","op":"exists"}"#, "[0].field"),
        (r#"{"field":"/a~","op":"exists"}"#, "[0].field"),
        (r#"{"field":"source","value":1}"#, "[0].op"),
        (r#"{"field":"source","op":"=","value":1}"#, "[0].op"),
        (r#"{"field":"source","op":null,"value":1}"#, "[0].op"),
        (r#"{"field":"source","op":"EQ","value":1}"#, "[0].op"),
        (r#"{"field":"source","op":"eq"}"#, "[0].value"),
        (r#"{"field":"source","op":"eq","value":[]}"#, "[0].value"),
        (r#"{"field":"source","op":"eq","value":{}}"#, "[0].value"),
        (r#"{"field":"source","op":"eq","value":1e400}"#, "[0].value"),
        (
            r#"{"field":"source","op":"eq","value":-1e400}"#,
            "[0].value",
        ),
        (r#"{"field":"source","op":"in"}"#, "[0].value"),
        (r#"{"field":"source","op":"in","value":"a"}"#, "[0].value"),
        (r#"{"field":"source","op":"in","value":null}"#, "[0].value"),
        (
            r#"{"field":"source","op":"in","value":[1,[2]]}"#,
            "[0].value[1]",
        ),
        (
            r#"{"field":"source","op":"in","value":[1,{}]}"#,
            "[0].value[1]",
        ),
        (
            r#"{"field":"source","op":"in","value":["a",1e999]}"#,
            "[0].value[1]",
        ),
        (r#"{"field":"source","op":"prefix"}"#, "[0].value"),
        (r#"{"field":"source","op":"prefix","value":1}"#, "[0].value"),
        (r#"{"field":"source","op":"exists","value":1}"#, "[0].value"),
        (
            r#"{"field":"source","op":"exists","value":null}"#,
            "[0].value",
        ),
        (r#"{"field":"source","op":"lt"}"#, "[0].value"),
        (r#"{"field":"source","op":"le","value":null}"#, "[0].value"),
        (r#"{"field":"source","op":"gt","value":true}"#, "[0].value"),
        (r#"{"field":"source","op":"ge","value":["a"]}"#, "[0].value"),
        (
            r#"{"field":"source","op":"exists"},{"field":"msg_type","op":"eq","value":1},
                {"field":"source","op":"like","value":"a"}"#,
            "[2].op",
        ),
    ] {
        let field = format!("payload.where{field}");
        let members = format!(r#""id":"a","where":[{conditions}]"#);
        assert_eq!(
            refused(&members),
            (ErrorCode::InvalidFilter, field),
            "{conditions}"
        );
    }
    for other in ["null", "{}", "5", r#""source""#] {
        let members = format!(r#""id":"a","where":{other}"#);
        let expected = (ErrorCode::InvalidFilter, "payload.where".to_owned());
        assert_eq!(refused(&members), expected);
    }
}

#[test]
fn messages_help_the_writer() {
    for (members, said) in [
        (
            r#""id":"a","where":[{"field":"source","op":"=","value":1}]"#,
            "must be one of eq, in, prefix, exists, lt, le, gt, ge; this is \"=\"",
        ),
        (
            r#""id":"a","where":[{"field":"symbol","op":"eq","value":1}]"#,
            "must be source, msg_type or a JSON pointer like /payload/payload_json/symbol; this \
             is \"symbol\"",
        ),
        (
            r#""id":"a","where":[{"field":"source","op":"lt","value":null}]"#,
            "must be a number or a string, this is null",
        ),
        (
            r#""id":"a","mode":"latest""#,
            "is missing: mode \"latest\" needs a JSON pointer to what tells messages apart, like \
             /payload/payload_json/symbol",
        ),
        (r#""id":null"#, "must be a string, this is null"),
    ] {
        assert_eq!(refusal(members).reason, said, "{members}");
    }
}

#[test]
fn holds_to_its_limits() {
    let id = |bytes: usize| subscribe(&format!(r#""id":"{}""#, "x".repeat(bytes)));
    assert!(id(128).is_ok());
    assert!(id(129).unwrap_err().reason.contains("128"));

    let conditions = |count: usize| {
        let one = r#"{"field":"source","op":"exists"}"#;
        subscribe(&format!(
            r#""id":"a","where":[{}]"#,
            vec![one; count].join(",")
        ))
    };
    assert_eq!(conditions(64).unwrap().filter.conditions().len(), 64);
    let refusal = conditions(65).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LimitExceeded);
    assert_eq!(refusal.field.unwrap(), "payload.where");
    assert!(refusal.reason.contains("64"));

    let with = |op_and_value: String| {
        subscribe(&format!(
            r#""id":"a","where":[{{"field":"source",{op_and_value}}}]"#
        ))
    };
    let values = |count: usize| {
        let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        with(format!(r#""op":"in","value":[{}]"#, values.join(",")))
    };
    assert!(values(1024).is_ok());
    let refusal = values(1025).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LimitExceeded);
    assert_eq!(refusal.field.unwrap(), "payload.where[0].value");
    assert!(refusal.reason.contains("1024"));

    let text = |bytes: usize| with(format!(r#""op":"eq","value":"{}""#, "x".repeat(bytes)));
    assert!(text(1024).is_ok());
    assert_eq!(text(1025).unwrap_err().code, ErrorCode::LimitExceeded);

    let field = |field: String| {
        let members = format!(r#""id":"a","where":[{{"field":"{field}","op":"exists"}}]"#);
        subscribe(&members).map_err(|refusal| (refusal.code, refusal.reason))
    };
    assert!(field("/a".repeat(64)).is_ok());
    for (too_much, limit) in [
        ("/a".repeat(65), "64"),
        (format!("/{}", "a".repeat(1024)), "1024"),
    ] {
        let (code, reason) = field(too_much).unwrap_err();
        assert_eq!(code, ErrorCode::InvalidFilter);
        assert!(reason.contains(limit), "{reason}");
    }
}

#[test]
fn reads_unsubscribe() {
    let read = |members: &str| {
        let frame = control("unsubscribe", members);
        assert_eq!(accepted(&frame), Kind::Unsubscribe);
        UnsubscribeRequest::read(frame.as_bytes())
    };
    let id = "a".to_owned();
    assert_eq!(read(r#""id":"a","x":1"#), Ok(UnsubscribeRequest { id }));
    for members in ["", r#""id":"""#, r#""id":1"#] {
        let refusal = read(members).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidPayload);
        assert_eq!(refusal.field.unwrap(), "payload.id");
        assert_eq!(refusal.msg_id.unwrap().as_str(), ID);
    }
}
