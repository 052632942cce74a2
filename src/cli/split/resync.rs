//! The places where a new message surely or probably begins, behind a broken one.

use tickwire::limits::JSON_DEPTH_MAX;
use tickwire::wire::internal::is_white_space;

/// The separator before each text of a JSON text sequence (RFC 7464).
pub const RECORD_SEPARATOR: u8 = 0x1E;
/// The mark that some programs put before UTF-8.
pub const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Returns whether `byte` may stand between messages.
pub fn is_separator(byte: u8) -> bool {
    is_white_space(byte) || byte == RECORD_SEPARATOR
}

/// A search for a line that begins with `{`, in bytes that arrive bit by bit.
#[derive(Debug, Default)]
pub struct LineSearch {
    /// Nothing stands before the next byte on its line.
    at_line_start: bool,
}

impl LineSearch {
    /// Returns the start of the first such line in `bytes`. Without one, the
    /// search goes on with the bytes behind them.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if !self.at_line_start {
                at += memchr::memchr2(b'\n', RECORD_SEPARATOR, &bytes[at..])? + 1;
                self.at_line_start = true;
                continue;
            }
            match bytes[at] {
                b'{' => return Some(at),
                b'\n' | RECORD_SEPARATOR => {}
                byte => self.at_line_start = BOM.contains(&byte),
            }
            at += 1;
        }
        None
    }
}

/// Returns whether the `{` behind `before` begins a message, although the object at
/// the start of `before` lacks the brackets `closing`: it begins a line, and no
/// JSON that a server takes could have an object there.
pub fn begins_anew(before: &[u8], closing: &[u8]) -> bool {
    let before = trim_end(before, |byte| BOM.contains(&byte));
    if !matches!(before.last(), Some(&(b'\n' | RECORD_SEPARATOR))) {
        return false;
    }
    let before = trim_end(before, |byte| is_separator(byte) || BOM.contains(&byte));
    let may_be_a_value = match before.last() {
        Some(b'[' | b':') => true,
        Some(b',') => closing.last() == Some(&b']'),
        _ => false,
    };
    !may_be_a_value || closing.len() >= JSON_DEPTH_MAX
}

fn trim_end(bytes: &[u8], is_trimmed: impl Fn(u8) -> bool) -> &[u8] {
    let kept = bytes.iter().rposition(|byte| !is_trimmed(*byte));
    &bytes[..kept.map_or(0, |at| at + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_line_that_begins_with_an_object_however_it_arrives() {
        for (text, expected) in [
            ("x\n{", Some(2)),
            ("{\n {\n\n{", Some(6)),
            ("x\r\n{", Some(3)),
            ("x\u{1E}{", Some(2)),
            ("x\n\u{1E}\u{FEFF}{", Some(6)),
            ("x {\n}\n[{", None),
            ("x\n\u{E4}{", None),
            ("", None),
        ] {
            let bytes = text.as_bytes();
            assert_eq!(LineSearch::default().find(bytes), expected, "{text:?}");
            let mut search = LineSearch::default();
            let one_by_one = (0..bytes.len()).find(|at| search.find(&bytes[*at..=*at]).is_some());
            assert_eq!(one_by_one, expected, "{text:?}, byte by byte");
        }
    }

    #[test]
    fn an_object_may_begin_a_line_where_json_can_have_one() {
        for (before, closing, anew) in [
            ("{\"a\": [\n", "}]", false),
            ("{\"a\": [{},\n", "}]", false),
            ("{\"a\":\n \n", "}", false),
            ("{\"a\": {\"b\": ", "}}", false),
            ("{\"a\": {\"b\": 1}\n", "}", true),
            ("{\"a\": 1,\n", "}", true),
            ("{\"a\n", "}", true),
            ("{\n", "}", true),
            ("{\"a\": 1\u{1E}\u{FEFF}", "}", true),
        ] {
            let found = begins_anew(before.as_bytes(), closing.as_bytes());
            assert_eq!(found, anew, "{before:?}");
        }
        let deep = vec![b']'; JSON_DEPTH_MAX];
        assert!(begins_anew(b"{\"a\": [\n", &deep));
    }
}
