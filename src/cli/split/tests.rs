use proptest::prelude::*;

use super::*;

type Split = Result<Vec<(String, u64, u64)>, SplitError>;

/// Splits `input` pushed in parts of `size` bytes.
fn split_in_parts(input: &[u8], size: usize) -> Split {
    let mut splitter = Splitter::new();
    let mut pieces = Vec::new();
    for part in input.chunks(size) {
        splitter.push(part);
        while let Some(piece) = splitter.next()? {
            let text = String::from_utf8_lossy(piece.json).into_owned();
            pieces.push((text, piece.place.line, piece.place.column));
        }
    }
    splitter.finish()?;
    Ok(pieces)
}

fn split(input: &str) -> Split {
    let whole = split_in_parts(input.as_bytes(), input.len().max(1));
    assert_eq!(split_in_parts(input.as_bytes(), 1), whole, "byte by byte");
    whole
}

fn problem(input: &str) -> String {
    split(input).expect_err("must not split").to_string()
}

#[test]
fn splits_json_lines_and_says_where_each_begins() {
    let pieces = split("{\"a\":1}\n{\"b\":{}}\r\n\n  {\"c\":[{}]}\n").unwrap();
    assert_eq!(
        pieces,
        [
            ("{\"a\":1}".to_owned(), 1, 1),
            ("{\"b\":{}}".to_owned(), 2, 1),
            ("{\"c\":[{}]}".to_owned(), 4, 3),
        ]
    );
}

#[test]
fn splits_concatenated_and_pretty_objects() {
    let pieces = split("{}{\n  \"a\": \"ä}\\\"\"\n}{\"b\": 1} ").unwrap();
    assert_eq!(
        pieces,
        [
            ("{}".to_owned(), 1, 1),
            ("{\n  \"a\": \"ä}\\\"\"\n}".to_owned(), 1, 3),
            ("{\"b\": 1}".to_owned(), 3, 2),
        ]
    );
}

#[test]
fn counts_columns_in_characters() {
    let pieces = split("{\"a\":\"äöü\"} {}").unwrap();
    assert_eq!(pieces[1].2, 13);
}

#[test]
fn gives_invalid_json_inside_an_object_as_it_stands() {
    let pieces = split("{\"a\": NaN, 'b': tru\u{1}e}{}").unwrap();
    assert_eq!(pieces[0].0, "{\"a\": NaN, 'b': tru\u{1}e}");
    assert_eq!(pieces.len(), 2);
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(split("").unwrap(), []);
    assert_eq!(split(" \n\t\r\n").unwrap(), []);
    assert_eq!(split("\u{FEFF}").unwrap(), []);
}

#[test]
fn passes_over_a_byte_order_mark() {
    let pieces = split("\u{FEFF}{}").unwrap();
    assert_eq!(pieces, [("{}".to_owned(), 1, 1)]);
}

#[test]
fn says_that_the_text_is_utf_16() {
    for input in [b"\xFF\xFE{\0}\0", b"\xFE\xFF\0{\0}"] {
        let error = split_in_parts(input, 16).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1:1: the text is UTF-16: save it as UTF-8"
        );
    }
}

#[test]
fn says_what_stands_where_a_message_should() {
    assert_eq!(
        problem("{}\n hello"),
        "2:2: not JSON: expected a message, an object that begins with {, found 'h'"
    );
    assert!(problem("[{}]").starts_with("1:1: found [: put the messages"));
    assert!(problem("{},\n{}").starts_with("1:3: found a comma: "));
    assert!(problem("\u{FEFF}\u{FEFF}").contains("found '\\u{feff}'"));
    let error = split_in_parts(b"\x80", 1).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("found bytes that are not UTF-8")
    );
    let error = split_in_parts(b"\xEF", 1).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("found bytes that are not UTF-8")
    );
}

#[test]
fn says_where_brackets_and_quotes_go_wrong() {
    assert_eq!(
        problem("{}\n{\"a\": [1}"),
        "2:9: not JSON: found } where ] should come"
    );
    assert_eq!(
        problem("{}\n {\"a\": [1]"),
        "2:2: not JSON: the object that begins here never ends"
    );
    assert!(problem("{\"a\": \"b\n\"}").starts_with("1:7: not JSON: the string that begins here"));
    assert!(problem("{\"a\": \"b\\").starts_with("1:7: not JSON: the string that begins here"));
}

#[test]
fn gives_what_came_before_an_error() {
    let mut splitter = Splitter::new();
    splitter.push(b"{} x");
    assert!(splitter.next().unwrap().is_some());
    assert!(splitter.next().is_err());
}

proptest! {
    #[test]
    fn splits_alike_however_the_input_is_cut(
        text in "[ \\n\"\\\\{}\\[\\],a\u{e4}]{0,40}",
        size in 1usize..9,
    ) {
        let whole = split_in_parts(text.as_bytes(), text.len().max(1));
        prop_assert_eq!(split_in_parts(text.as_bytes(), size), whole);
    }

    #[test]
    fn gives_back_the_objects_that_were_put_one_after_another(
        keys in proptest::collection::vec(any::<String>(), 1..8),
        separator in "[ \\n\\r\\t]{0,3}",
    ) {
        let objects: Vec<String> = keys
            .iter()
            .map(|key| serde_json::to_string_pretty(&serde_json::json!({ key: [{}, key] })).unwrap())
            .collect();
        let pieces = split(&objects.join(&separator)).unwrap();
        let texts: Vec<_> = pieces.into_iter().map(|piece| piece.0).collect();
        prop_assert_eq!(texts, objects);
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), size in 1usize..9) {
        let _ = split_in_parts(&bytes, size);
    }
}
