//! The place of a refusal's field, for people who read line and column.

use serde_json::value::RawValue;

use super::members::{Members, type_of};
use super::value::JsonType;
use crate::wire::refusal::Refusal;

/// Returns the byte offset in `json` of the refusal's fault, or of its field's value
/// (the last of a repeated key), or of the object in which a missing field belongs.
/// Parses `json` again.
#[must_use]
#[cold]
pub fn locate(json: &[u8], refusal: &Refusal) -> Option<usize> {
    if let Some(at) = refusal.at {
        return Some(at.min(json.len()));
    }
    let json = str::from_utf8(json).ok()?;
    let mut value = json.get(json.len() - json.trim_ascii_start().len()..)?;
    let mut path = refusal.field.as_deref().unwrap_or_default();
    while !path.is_empty() {
        match step(value, path) {
            Some((inner, rest)) => (value, path) = (inner, rest),
            None => break,
        }
    }
    (value.as_ptr() as usize).checked_sub(json.as_ptr() as usize)
}

/// Returns line and column, in characters, of byte `at`, both counted from 1.
#[must_use]
pub fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let in_line = before.get(line_start..).unwrap_or_default();
    (line, String::from_utf8_lossy(in_line).chars().count() + 1)
}

/// Follows the first step of `path`. Returns the value there and the other steps.
fn step<'a, 'p>(json: &'a str, path: &'p str) -> Option<(&'a str, &'p str)> {
    match type_of(json) {
        JsonType::Object => {
            let members: Members<'a> = serde_json::from_str(json).ok()?;
            // A key may itself hold a dot or a bracket: try the longest first.
            let ends = path.rmatch_indices(['.', '[']).map(|(at, _)| at);
            std::iter::once(path.len()).chain(ends).find_map(|end| {
                let (key, rest) = path.split_at_checked(end)?;
                Some((members.last(key)?, rest.strip_prefix('.').unwrap_or(rest)))
            })
        }
        JsonType::Array => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let element = elements.get(index.parse::<usize>().ok()?)?;
            Some((element.get(), rest.strip_prefix('.').unwrap_or(rest)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ErrorCode, Parser};

    const JSON: &str = r#"
{
  "é": 1, "payload": {
    "names": ["a", {"op": 5}], "a.b": 7,
    "x": 1, "x": 2
  }
}"#;

    fn text_at(field: &str) -> &'static str {
        let refusal = Refusal::new(ErrorCode::InvalidPayload, "").of_field(field.to_owned());
        &JSON[locate(JSON.as_bytes(), &refusal).unwrap()..]
    }

    #[test]
    fn finds_the_value_that_a_field_names() {
        assert!(text_at("é").starts_with("1,"));
        assert!(text_at("payload.names").starts_with("[\"a\""));
        assert!(text_at("payload.names[1]").starts_with("{\"op\""));
        assert!(text_at("payload.names[1].op").starts_with("5}"));
        assert!(text_at("payload.a.b").starts_with("7,"));
        assert!(text_at("payload.x").starts_with("2\n"));
    }

    #[test]
    fn finds_where_a_missing_field_should_stand() {
        assert!(text_at("msg_id").starts_with("{\n  \"é\""));
        assert!(text_at("payload.run_id").starts_with("{\n    \"names\""));
        assert!(text_at("payload.names[7]").starts_with("[\"a\""));
    }

    #[test]
    fn finds_the_place_of_a_fault_in_the_json() {
        let json = "{\n \"é\": NaN}";
        let refusal = Parser::default().parse(json.as_bytes()).unwrap_err();
        let at = locate(json.as_bytes(), &refusal).unwrap();
        assert_eq!(line_and_column(json.as_bytes(), at), (2, 7));
        assert_eq!(line_and_column(b"", 5), (1, 1));
        assert_eq!(line_and_column(b"a\nb\n", 4), (3, 1));
    }
}
