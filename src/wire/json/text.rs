//! Strings and white space of JSON text that is known to be valid, or nearly so.

use memchr::{memchr, memchr2};

/// The end of a string in a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StringEnd {
    /// The position of the closing quote.
    pub quote: usize,
    /// Whether a backslash stands in the string.
    pub has_escapes: bool,
}

/// Finds the end of the string whose text begins at `start`, if a quote closes it.
#[inline]
pub fn string_end(json: &[u8], start: usize) -> Option<StringEnd> {
    let mut at = start;
    let mut has_escapes = false;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            let quote = at;
            return Some(StringEnd { quote, has_escapes });
        }
        has_escapes = true;
        // A backslash takes the byte behind it along, be it a quote.
        at += 2;
    }
}

/// Returns whether JSON takes `byte` for white space.
#[must_use]
#[inline]
pub const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// Appends the characters that the `text` between a string's quotes spells.
pub(crate) fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', text) {
        out.extend_from_slice(&text[..at]);
        text = &text[at + 1..];
        let Some((&escape, rest)) = text.split_first() else {
            return;
        };
        text = rest;
        match escape {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, rest) = code_point(text);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                text = rest;
            }
            itself => out.push(itself),
        }
    }
    out.extend_from_slice(text);
}

/// Reads a `\u` escape behind its `u`. Returns its character and the text behind it.
fn code_point(text: &[u8]) -> (char, &[u8]) {
    let Some((unit, rest)) = code_unit(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    if let Some(character) = char::from_u32(unit) {
        return (character, rest);
    }
    // Half of a pair: the parser has checked that the other half follows.
    let pair = rest.strip_prefix(b"\\u").and_then(code_unit);
    let both = pair.and_then(|(low, rest)| {
        let low = low.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        let high = unit.checked_sub(0xD800).filter(|high| *high < 0x400)?;
        Some((char::from_u32(0x1_0000 + (high << 10) + low)?, rest))
    });
    both.unwrap_or((char::REPLACEMENT_CHARACTER, rest))
}

/// Reads four hexadecimal digits. Returns their value with the text behind them.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })?;
    Some((unit, rest))
}

/// Finds a `\u` escape that is one half of a surrogate pair without the other.
pub(crate) fn lone_surrogate(text: &[u8]) -> Option<usize> {
    let unit_at = |at| {
        let escape = text.get(at..)?.strip_prefix(b"\\u")?;
        code_unit(escape).map(|(unit, _)| unit)
    };
    let mut at = 0;
    loop {
        at += memchr(b'\\', text.get(at..)?)?;
        at += match unit_at(at) {
            Some(0xD800..=0xDBFF) if matches!(unit_at(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => return Some(at),
            _ => 2,
        };
    }
}
