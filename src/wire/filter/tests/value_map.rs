//! Looking up what belongs to a value.

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
    Value::Text("é".as_bytes()),
    Value::Container,
];

#[test]
fn finds_what_belongs_to_each_value_that_equals_the_key() {
    for value in VALUES {
        let Some(key) = value.to_scalar() else {
            assert!(matches!(value, Value::Container | Value::Number(b"1e400")));
            continue;
        };
        let mut map = ValueMap::default();
        assert!(map.is_empty());
        assert_eq!(map.insert(key.clone(), 1), None);
        assert_eq!(map.insert(key.clone(), 2), Some(1));
        assert_eq!(map.len(), 1);
        for other in VALUES {
            let equal = key.equals(other);
            assert_eq!(
                map.get(other).copied(),
                equal.then_some(2),
                "{key:?} and {other:?}"
            );
            assert_eq!(map.get_mut(other).is_some(), equal);
        }
        assert_eq!(map.remove(&Value::Text(b"other")), None);
        assert_eq!(map.remove(value), Some(2));
        assert!(map.is_empty());
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
    assert_eq!(index.len(), 5);
    assert_eq!(index.values().flatten().count(), 7);
    let found = |value: Value<'_>| index.get(&value).cloned().unwrap_or_default();
    assert_eq!(found(Value::Text(b"a")), [0, 1]);
    assert_eq!(found(Value::Text(b"b")), [1]);
    assert_eq!(found(Value::Number(b"0.7e1")), [1, 2]);
    assert_eq!(found(Value::Null), [1]);
    assert_eq!(found(Value::Bool(true)), [2]);
    assert_eq!(found(Value::Bool(false)), [0; 0]);
    assert_eq!(found(Value::Container), [0; 0]);
}
