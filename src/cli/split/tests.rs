use proptest::prelude::*;

use super::*;

type Split = Result<Vec<(String, u64, u64)>, SplitError>;

/// Returns the pieces of `input`, pushed in parts of `size` bytes.
fn found_in_parts(input: &[u8], size: usize) -> Vec<Result<(String, u64, u64), SplitError>> {
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    let mut take_all = |splitter: &mut Splitter| {
        while let Some(next) = splitter.next().transpose() {
            found.push(next.map(|Piece { json, position }| {
                let text = String::from_utf8_lossy(json).into_owned();
                (text, position.line, position.column)
            }));
        }
    };
    for part in input.chunks(size) {
        splitter.push(part);
        take_all(&mut splitter);
    }
    splitter.end();
    take_all(&mut splitter);
    found
}

/// Splits `input` pushed in parts of `size` bytes, up to the first error.
fn split_in_parts(input: &[u8], size: usize) -> Split {
    found_in_parts(input, size).into_iter().collect()
}

/// The messages and, in short, the problems of `input` in order.
fn found(input: &str) -> Vec<String> {
    let whole = found_in_parts(input.as_bytes(), input.len().max(1));
    assert_eq!(found_in_parts(input.as_bytes(), 1), whole, "byte by byte");
    let shown = whole.into_iter().map(|found| match found {
        Ok((text, line, column)) => format!("{line}:{column} {text}"),
        Err(SplitError { position, problem }) => {
            let kind = format!("{problem:?}");
            let kind = kind.split([' ', '(']).next().unwrap_or_default();
            format!("{position} {kind}")
        }
    });
    shown.collect()
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
    assert!(problem("\u{200B}{}").contains("found '\\u{200b}'"));
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
fn passes_over_marks_and_record_separators_between_messages() {
    assert_eq!(
        found("\u{1E}{\"a\":1}\n\u{1E}{}\n\u{FEFF}{}\u{FEFF}\u{FEFF} \u{1E}\u{1E}{}\u{1E}"),
        ["1:2 {\"a\":1}", "2:2 {}", "3:1 {}", "3:6 {}"]
    );
}

#[test]
fn goes_on_at_the_next_line_that_begins_with_an_object() {
    for (input, expected) in [
        ("x {}\n{}", vec!["1:1 NotAnObject", "2:1 {}"]),
        (
            "{}\nx\n y\n {}\n{}",
            vec!["1:1 {}", "2:1 NotAnObject", "5:1 {}"],
        ),
        ("{},\n{}", vec!["1:1 {}", "1:3 Comma", "2:1 {}"]),
        ("[\n{}\n]", vec!["1:1 Array", "2:1 {}", "3:1 NotAnObject"]),
        ("{\"a\":[1}\n{}", vec!["1:8 Mismatched", "2:1 {}"]),
        ("{\"a\":\"b\n{}", vec!["1:6 OpenString", "2:1 {}"]),
        ("{\"a\":\"b\\\n{}", vec!["1:6 OpenString", "2:1 {}"]),
        ("{}\n{\"a\":", vec!["1:1 {}", "2:1 OpenObject"]),
        ("x\n\u{1E}{}", vec!["1:1 NotAnObject", "2:2 {}"]),
        ("x\ny\u{1E}{}", vec!["1:1 NotAnObject", "2:3 {}"]),
    ] {
        assert_eq!(found(input), expected, "{input:?}");
    }
}

/// Cut off at any byte, a line costs no other.
#[test]
fn a_line_that_is_cut_off_hides_none_of_the_next() {
    let line = "{\"a\":[1,{\"b\":\"\\\"c\\\\\"},{}],\"d\":{\"e\":null}}";
    for cut in 1..line.len() {
        let input = format!("{}\n{line}\n{line}\n", &line[..cut]);
        let found = found(&input);
        let expected = [format!("2:1 {line}"), format!("3:1 {line}")];
        assert!(found.ends_with(&expected), "{input}: {found:?}");
        assert!(found[0].starts_with("1:"), "{input}: {found:?}");
        assert_eq!(found.len(), 3, "{input}: {found:?}");
    }
}

#[test]
fn an_object_inside_another_may_begin_a_line() {
    let pretty = "{\"a\": [\n{\"b\": 1},\n{\"c\":\n{}\n}\n]}";
    assert_eq!(found(pretty), [format!("1:1 {pretty}")]);
}

#[test]
fn passes_over_an_endless_message_in_bounded_memory() {
    let mut splitter = Splitter::default();
    splitter.push(b"{}\n{\"a\": \"");
    assert!(splitter.next().unwrap().is_some());
    let part = vec![b'x'; 1 << 20];
    let mut errors = Vec::new();
    for _ in 0..200 {
        splitter.push(&part);
        assert!(splitter.buffer.len() <= FRAME_BYTES_MAX_MAX + (3 << 20));
        match splitter.next() {
            Ok(piece) => assert_eq!(piece, None),
            Err(error) => errors.push(error),
        }
    }
    let [error] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(
        (error.position.line, &error.problem),
        (2, &Problem::TooLarge)
    );
    assert!(splitter.buffer.len() <= 2 << 20, "discarded as it comes");
    splitter.push(b"\"}\n{\"b\":1}");
    let piece = splitter.next().unwrap().unwrap();
    assert_eq!(piece.json, b"{\"b\":1}");
    assert_eq!((piece.position.line, piece.position.column), (3, 1));
}

/// Each object that never ends is looked through again from its second line
/// on: lines that all open one must not cost the square of their number.
#[test]
fn lines_that_never_close_what_they_open_are_passed_quickly() {
    let lines = "{\"a\":[\n".repeat(20_000);
    assert_eq!(found_in_parts(lines.as_bytes(), 1 << 16).len(), 20_000);
}

#[test]
fn gives_what_came_before_an_error() {
    let mut splitter = Splitter::default();
    splitter.push(b"{} x");
    assert!(splitter.next().unwrap().is_some());
    assert!(splitter.next().is_err());
}

proptest! {
    #[test]
    fn splits_alike_however_the_input_is_cut(
        text in "[ \\n\"\\\\{}\\[\\],:a\u{e4}\u{1e}\u{feff}]{0,40}",
        size in 1usize..9,
    ) {
        let whole = found_in_parts(text.as_bytes(), text.len().max(1));
        prop_assert_eq!(found_in_parts(text.as_bytes(), size), whole);
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
        found_in_parts(&bytes, size);
    }
}
