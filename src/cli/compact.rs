//! Removing the white space between the tokens of JSON.

use tickwire::wire::internal::{is_white_space, string_end};

/// Appends `json` to `out` without the white space outside its strings. All else
/// stays byte for byte. Bytes that are no JSON give some bytes, and no panic.
pub fn append_compact(json: &[u8], out: &mut Vec<u8>) {
    out.reserve(json.len());
    let mut rest = json;
    loop {
        let Some(quote) = memchr::memchr(b'"', rest) else {
            out.extend(rest.iter().filter(|byte| !is_white_space(**byte)));
            return;
        };
        let (between, string) = rest.split_at(quote);
        out.extend(between.iter().filter(|byte| !is_white_space(**byte)));
        let end = string_end(string, 1).map_or(string.len(), |end| end.quote + 1);
        out.extend_from_slice(&string[..end]);
        rest = &string[end..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compact(json: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append_compact(json, &mut out);
        out
    }

    #[test]
    fn keeps_strings_numbers_and_escapes_as_they_are() {
        let json = b" { \"a b\\\" c\\\\\" : [ 1.0e+00 , -0 , 12345678901234567890123 ] ,\r\n\t\"\\u0041\" : \" \\n \" } ";
        assert_eq!(
            compact(json),
            b"{\"a b\\\" c\\\\\":[1.0e+00,-0,12345678901234567890123],\"\\u0041\":\" \\n \"}"
        );
    }

    #[test]
    fn keeps_repeated_keys() {
        assert_eq!(compact(b"{\"a\": 1, \"a\": 2}"), b"{\"a\":1,\"a\":2}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ \\t\\n\"\\\\{}\\[\\]:,a]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn turns_pretty_json_into_what_serde_json_writes_compactly(value in any_json()) {
            let pretty = serde_json::to_vec_pretty(&value).unwrap();
            let expected = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(&compact(&pretty), &expected);
            prop_assert_eq!(&compact(&expected), &expected);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            compact(&bytes);
        }

        #[test]
        fn never_panics_on_quotes_and_backslashes(text in "[\"\\\\ a]{0,32}") {
            compact(text.as_bytes());
        }
    }
}
