//! Lookups by a value.

use super::*;

const VALUES: &[Value<'_>] = &[
    Value::Null,
    Value::Bool(false),
    Value::Bool(true),
    Value::Number(b"0"),
    Value::Number(b"-0.0"),
    Value::Number(b"1"),
    Value::Number(b"10e-1"),
    Value::Number(b"1.5"),
    Value::Number(b"123456789012345678901234567890"),
    Value::Number(b"1e400"),
    Value::Text(b""),
    Value::Text(b"1"),
    Value::Text(b"true"),
    Value::Text(b"\0"),
    Value::Text(b"1\0"),
    Value::Text(b"BTCUSDT"),
    Value::Text(b"1000PEPE"),
    Value::Text(b"1000PEPEU"),
    Value::Text(b"1000PEPEUSDTPER"),
    Value::Text(b"1000PEPEUSDTPERX"),
    Value::Text(b"1000PEPEUSDTPERXX"),
    Value::Text("é".as_bytes()),
    Value::Container,
];

#[test]
fn finds_what_belongs_to_each_value_that_equals_the_key() {
    for value in VALUES {
        let Some(key) = to_scalar(value) else {
            assert!(matches!(value, Value::Container | Value::Number(b"1e400")));
            continue;
        };
        let mut map = ValueMap::default();
        *map.get_or_default(&key) = 1;
        *map.get_or_default(&key) += 1;
        let map = map.map(|of| of.to_string());
        for other in VALUES {
            let equal = key.equals(other);
            assert_eq!(
                map.get(other).map(String::as_str),
                equal.then_some("2"),
                "{key:?} and {other:?}"
            );
        }
    }
}

#[test]
fn indexes_many_conditions_by_their_values() {
    let conditions = [
        r#"{"field":"source","op":"eq","value":"a"}"#,
        r#"{"field":"source","op":"in","value":["b","a",7,null]}"#,
        r#"{"field":"source","op":"in","value":[7.0,true]}"#,
    ];
    let mut index: ValueMap<Vec<usize>> = ValueMap::default();
    for (number, condition) in conditions.iter().enumerate() {
        for scalar in filter(condition).conditions()[0].equals().unwrap() {
            index.get_or_default(scalar).push(number);
        }
    }
    let found = |value: Value<'_>| index.get(&value).cloned().unwrap_or_default();
    assert_eq!(found(Value::Text(b"a")), [0, 1]);
    assert_eq!(found(Value::Text(b"b")), [1]);
    assert_eq!(found(Value::Number(b"0.7e1")), [1, 2]);
    assert_eq!(found(Value::Null), [1]);
    assert_eq!(found(Value::Bool(true)), [2]);
    assert_eq!(found(Value::Bool(false)), [0; 0]);
    assert_eq!(found(Value::Container), [0; 0]);
}

#[test]
fn texts_of_every_length_are_told_apart_by_every_byte() {
    let mut texts: Vec<String> = Vec::new();
    for length in 0..=20 {
        let same = "a".repeat(length);
        texts.extend((0..length).map(|at| format!("{}b{}", &same[..at], &same[at + 1..])));
        texts.push(same);
    }
    let mut map: ValueMap<usize> = ValueMap::default();
    for (number, text) in texts.iter().enumerate() {
        let key = to_scalar(&Value::Text(text.as_bytes())).unwrap();
        *map.get_or_default(&key) = number;
    }
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(
            map.get(&Value::Text(text.as_bytes())),
            Some(&number),
            "{text}"
        );
    }
}

/// The meaning of a value; `None` for a container and for a number beyond an
/// `f64`, which equal nothing.
fn to_scalar(value: &Value<'_>) -> Option<Scalar> {
    Some(match value {
        Value::Null => Scalar::Null,
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Number(spelling) => Scalar::Number(Finite::read(spelling)?),
        Value::Text(text) => Scalar::Text(str::from_utf8(text).ok()?.into()),
        Value::Container => return None,
    })
}
