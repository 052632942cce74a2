//! The texts that may have escapes: where one ends, and the check of each escape.
//!
//! The rules are JSON's (RFC 8259, section 7). Half of a surrogate pair is no
//! character; the parser refuses it as well.

use super::Block;
use super::class;
use super::matcher::{Simd, chunk};

/// Finds the quote that ends the text of a string which begins at `start`. `None` if
/// the frame of `len` bytes at the front of `bytes` has none, or the text is not
/// valid. Sets `has_escapes` if the text has any.
#[inline(always)]
pub(super) fn text_end(
    simd: impl Simd,
    bytes: &[u8],
    start: usize,
    len: usize,
    has_escapes: &mut bool,
) -> Option<usize> {
    let frame = bytes.get(..len)?;
    let (mut at, mut is_ascii) = (start, true);
    while at < len {
        let text = chunk(bytes, at)?;
        let beyond_ascii = simd.beyond_ascii(text);
        // Quotes, backslashes, and control characters.
        let mut stops = simd.outside(text, class::STRING) & !beyond_ascii;
        let mut next = at + Block::BYTES;
        while stops != 0 {
            let before = stops.trailing_zeros();
            let stop = at + before as usize;
            match *frame.get(stop)? {
                b'"' => {
                    is_ascii &= beyond_ascii & !(u32::MAX << before) == 0;
                    let right = is_ascii || str::from_utf8(frame.get(start..stop)?).is_ok();
                    return right.then_some(stop);
                }
                b'\\' => {
                    *has_escapes = true;
                    let escape = escape_bytes(frame.get(stop..)?)?;
                    // An escape may reach into the next chunk.
                    next = next.max(stop + escape as usize);
                    stops &= u32::MAX.checked_shl(before + escape).unwrap_or(0);
                }
                _ => return None,
            }
        }
        is_ascii &= beyond_ascii == 0;
        at = next;
    }
    None
}

/// The bytes of the escape, or of the pair of two, at the front of `text`. `None` if
/// it is no character's.
#[inline]
fn escape_bytes(text: &[u8]) -> Option<u32> {
    match *text.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => match code_unit(text)? {
            0xD800..=0xDBFF => {
                let low = code_unit(text.get(6..)?)?;
                (0xDC00..=0xDFFF).contains(&low).then_some(12)
            }
            0xDC00..=0xDFFF => None,
            _ => Some(6),
        },
        _ => None,
    }
}

/// The code unit of the `\u` escape at the front of `text`.
#[inline]
fn code_unit(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.first_chunk::<6>()? else {
        return None;
    };
    digits.iter().try_fold(0, |unit, &digit| {
        // A letter's low nibble counts from 1.
        let value = u32::from(digit & 0xF) + 9 * u32::from(digit >> 6);
        class::is(digit, class::HEX).then_some(unit << 4 | value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_each_escape_and_no_other() {
        for byte in 0..=u8::MAX {
            let known = b"\"\\/bfnrt".contains(&byte).then_some(2);
            assert_eq!(escape_bytes(&[b'\\', byte, b'x']), known, "{byte:#x}");
            let is_hex = char::from(byte).is_ascii_hexdigit();
            for at in 2..6 {
                let mut escape = *b"\\u0000x";
                escape[at] = byte;
                assert_eq!(escape_bytes(&escape).is_some(), is_hex, "{byte:#x}");
            }
        }
        for unit in 0..=0xFFFF_u16 {
            let escape = format!("\\u{unit:04x}\\u{unit:04X}");
            assert_eq!(code_unit(escape.as_bytes()), Some(u32::from(unit)));
            let known = char::from_u32(u32::from(unit)).map(|_| 6);
            assert_eq!(escape_bytes(escape.as_bytes()), known, "{escape}");
            // Behind the first half of a pair.
            let pair = format!("\\udAbC\\u{unit:04X}");
            let known = (0xDC00..0xE000).contains(&unit).then_some(12);
            assert_eq!(escape_bytes(pair.as_bytes()), known, "{pair}");
        }
        for cut in 0..12 {
            assert_eq!(escape_bytes(&b"\\ud834\\udd1e"[..cut]), None);
        }
    }
}
