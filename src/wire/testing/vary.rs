//! Frames like a given one: its values in other widths and spellings, and edits
//! at the ends of values. Nothing here is shared with the learned shapes, which these
//! frames test.

use std::ops::Range;

use super::escapes::{broken, escaped, respelled};
use super::generate::{NASTY, Seed, mutate};

/// A string (without its quotes) or a number of a frame.
struct Token {
    range: Range<usize>,
    is_text: bool,
    is_key: bool,
}

/// The replacements for the values of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variation {
    /// Valid values of the same sort and width: digits by digits.
    SameWidth,
    /// Valid values of the same sort, of any width, in printable ASCII.
    Ascii,
    /// Valid values of the same sort, of any width, in any script.
    Valid,
    /// The same, with escapes in texts that look like nothing else.
    Escaped,
    /// Anything, much of it invalid.
    Wild,
}

/// The frame with some of its values replaced.
pub(crate) fn vary(seed: &mut Seed, frame: &[u8], variation: Variation) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.len() + 64);
    let mut at = 0;
    let one_in = 1 + seed.below(16);
    let mut key: &[u8] = b"";
    for token in tokens(frame) {
        let text = &frame[token.range.clone()];
        if token.is_key {
            key = text;
        }
        let variation = match variation {
            // With an escape in a name no frame is learned from.
            Variation::Escaped if matches!(key, b"source" | b"target") && !seed.once_in(16) => {
                Variation::Valid
            }
            variation => variation,
        };
        let keep = match variation {
            Variation::Wild => !seed.once_in(one_in) || token.is_key && !seed.once_in(40),
            _ => token.is_key || words().any(|word| word == text),
        };
        out.extend_from_slice(&frame[at..token.range.start]);
        at = token.range.end;
        if keep {
            out.extend_from_slice(text);
        } else {
            out.extend(value(seed, text, token.is_text, variation));
        }
    }
    out.extend_from_slice(&frame[at..]);
    out
}

/// The frame after an edit or two where a string or number begins or ends, or
/// anywhere.
pub(crate) fn edit(seed: &mut Seed, mut frame: Vec<u8>) -> Vec<u8> {
    for _ in 0..=seed.below(2) {
        let tokens = tokens(&frame);
        if tokens.is_empty() || seed.once_in(4) {
            frame = mutate(seed, frame);
            continue;
        }
        let Range { start, end } = tokens[seed.below(tokens.len())].range.clone();
        let edge = if seed.once_in(2) { start } else { end };
        let at = (edge + seed.below(4)).saturating_sub(2).min(frame.len());
        let until = (at + seed.below(3)).min(frame.len());
        let nasty = seed.pick(NASTY);
        match seed.below(8) {
            0 if at < frame.len() => frame[at] = seed.byte(),
            1 if at < frame.len() => frame[at] ^= 1 << seed.below(8),
            2 => drop(frame.drain(at..until)),
            3 => frame.insert(at, seed.byte()),
            4 => frame.insert(at, seed.pick(b"0123456789\"\\,}] .eE-+Z")),
            5 => frame.truncate(at),
            6 => drop(frame.splice(start..start, nasty.iter().copied())),
            _ => drop(frame.splice(at..until, nasty.iter().copied())),
        }
    }
    frame
}

/// Bytes that may stand behind a frame in a window, at least `least`.
pub(crate) fn behind(seed: &mut Seed, frame: &[u8], least: usize) -> Vec<u8> {
    let mut bytes = match seed.below(7) {
        0 => Vec::new(),
        1 => vec![seed.byte(); least],
        2 => b"\"}}}]}"[seed.below(6)..].to_vec(),
        3 => vec![seed.pick(b"0123456789.eE+- \n}"); seed.below(40)],
        // The rest of such a frame: a value may seem to go on.
        4 => frame[seed.below(frame.len() + 1)..].to_vec(),
        _ => {
            let mut next = (frame.len() as u32).to_be_bytes().to_vec();
            next.extend_from_slice(frame);
            next
        }
    };
    while bytes.len() < least {
        bytes.push(seed.byte());
    }
    bytes
}

/// Words that rules enumerate: other ones make other messages.
const WORDS: &str = "ingest_event log_record heartbeat error ack hello \
    order execution market_data strategy_event system_event \
    TRACE DEBUG INFO WARN WARNING ERROR CRITICAL FATAL";

fn words() -> impl Iterator<Item = &'static [u8]> {
    WORDS.split(' ').map(str::as_bytes)
}

/// Strings and numbers in their order, as far as they are clear: the bytes need not
/// be JSON.
fn tokens(frame: &[u8]) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = frame.get(at) {
        let start = at;
        at += 1;
        if byte == b'"' {
            while let Some(&byte) = frame.get(at) {
                match byte {
                    b'"' => break,
                    b'\\' => at += 2,
                    _ => at += 1,
                }
            }
            let end = at.min(frame.len());
            at += 1;
            let behind = frame.get(at..).unwrap_or_default();
            let next = behind.iter().find(|byte| !byte.is_ascii_whitespace());
            found.push(Token {
                range: start + 1..end,
                is_text: true,
                is_key: next == Some(&b':'),
            });
        } else if byte == b'-' || byte.is_ascii_digit() {
            let more = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
            at += frame[at..].iter().take_while(more).count();
            found.push(Token {
                range: start..at,
                is_text: false,
                is_key: false,
            });
        }
    }
    found
}

fn value(seed: &mut Seed, old: &[u8], is_text: bool, variation: Variation) -> Vec<u8> {
    if variation == Variation::Wild {
        return match seed.below(10) {
            // Something of quite another sort.
            0 => other_sort(seed),
            1 => {
                let at = seed.below(old.len() + 1);
                let mut text = old.to_vec();
                text.splice(at..at, seed.pick(NASTY).iter().copied());
                text
            }
            2 => edit_digits(seed, old),
            3..5 => same_width(seed, old, is_text, true),
            5 if is_text => broken(seed),
            6 if is_text => respelled(seed, old),
            7 => value(seed, old, is_text, Variation::Escaped),
            _ => value(seed, old, is_text, Variation::Valid),
        };
    }
    let is_id = uuid::Uuid::try_parse_ascii(old).is_ok() && old.len() == 36;
    if variation == Variation::SameWidth || is_id {
        same_width(seed, old, is_text, false)
    } else if !is_text {
        number(seed)
    } else if is_moment(old) {
        timestamp(seed)
    } else if variation == Variation::Escaped && seed.once_in(2) {
        escaped(seed)
    } else {
        text(seed, variation == Variation::Ascii)
    }
}

fn is_moment(text: &[u8]) -> bool {
    text.len() > 19 && text[4] == b'-' && text[7] == b'-' && text[13] == b':'
}

/// A text of the same width: letters in other cases, other digits, other characters.
/// A timestamp stays one that exists, unless it may be `bold`.
fn same_width(seed: &mut Seed, old: &[u8], is_text: bool, bold: bool) -> Vec<u8> {
    let is_id = old.len() == 36 && old[8] == b'-' && old[13] == b'-';
    let mut text = old.to_vec();
    if is_text && is_moment(old) && !bold {
        let two = |value: usize| [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        text[5..7].copy_from_slice(&two(1 + seed.below(12)));
        text[8..10].copy_from_slice(&two(1 + seed.below(28)));
        text[11..13].copy_from_slice(&two(seed.below(24)));
        text[14..16].copy_from_slice(&two(seed.below(60)));
        text[17..19].copy_from_slice(&two(seed.below(60)));
        return text;
    }
    if !is_text {
        let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
        let whole = |byte: &&u8| byte.is_ascii_digit() || **byte == b'-';
        let whole = text.iter().take_while(whole).count();
        let first = usize::from(text.first() == Some(&b'-'));
        for (at, byte) in text.iter_mut().enumerate() {
            if byte.is_ascii_digit() && (bold || at != first || digits == 1 || whole == first + 1) {
                *byte = b'0' + seed.below(10) as u8;
            }
        }
        return text;
    }
    let few = bold && seed.once_in(2);
    for byte in &mut text {
        if few && !seed.once_in(4) {
            continue;
        }
        let mut fresh = || 0x20 + seed.below(0x5F) as u8;
        *byte = match *byte {
            b'-' if is_id => b'-',
            _ if is_id => seed.pick(b"0123456789abcdefABCDEF"),
            byte if is_moment(old) && !byte.is_ascii_digit() => byte,
            _ if is_moment(old) => b'0' + seed.below(10) as u8,
            _ => match fresh() {
                b'"' | b'\\' => b'x',
                byte => byte,
            },
        };
    }
    if bold && !text.is_empty() && seed.once_in(4) {
        let at = seed.below(text.len());
        text[at] = seed.byte();
    }
    text
}

/// The text with a digit or sign changed, doubled or lost.
fn edit_digits(seed: &mut Seed, old: &[u8]) -> Vec<u8> {
    let mut text = old.to_vec();
    for _ in 0..=seed.below(2) {
        let at = seed.below(text.len() + 1);
        let byte = seed.pick(b"0123456789:-+.TtZzeE ");
        match seed.below(3) {
            0 if at < text.len() => drop(text.remove(at)),
            1 if at < text.len() => text[at] = byte,
            _ => text.insert(at, byte),
        }
    }
    text
}

fn other_sort(seed: &mut Seed) -> Vec<u8> {
    let name = |c: &str, bytes: usize| c.repeat(bytes / c.len() + 1).as_bytes()[..bytes].to_vec();
    match seed.below(13) {
        0 => number(seed),
        1 => timestamp(seed),
        12 => seed.pick(NEAR_LEAP_SECONDS).to_vec(),
        2 => text(seed, false),
        3 => seed.pick(&words().collect::<Vec<_>>()).to_vec(),
        4 => b"550e8400-e29b-41d4-a716-44665544000g".to_vec(),
        5 => b"550E8400-E29B-41D4-A716-446655440000".to_vec(),
        6 => name("n", 126 + seed.below(4)),
        7 => name("é", 126 + 2 * seed.below(3)),
        8 => "a\u{85}b\u{9f}".as_bytes().to_vec(),
        9 => [
            "01", "-", "1.", ".5", "1e", "--1", "+1", "1.e5", "0x1", "1 2", "00",
        ][seed.below(11)]
        .into(),
        10 => [
            "2023-02-29T00:00:00Z",
            "2026-04-31T12:41:00.000Z",
            "2026-01-03T12:41:61.000Z",
            "2026-01-03T24:00:00.000Z",
            "2026-13-03T12:41:00.000Z",
            "2026-01-03 12:41:00.000Z",
            "2026-01-03T12:41:00.Z",
            "2026-01-03T12:41:00",
            "2026-01-03T12:41:00+24:00",
        ][seed.below(9)]
        .into(),
        _ => Vec::new(),
    }
}

/// A number in some form of the grammar.
fn number(seed: &mut Seed) -> Vec<u8> {
    const ODD: &[&str] = &[
        "0", "-0", "0.0", "-0.0e-0", "0e0", "1e400", "-1E+4000", "1e-0", "10", "4.9e-324",
    ];
    if seed.once_in(6) {
        return seed.pick(ODD).into();
    }
    let mut out = Vec::new();
    if seed.once_in(4) {
        out.push(b'-');
    }
    let long = seed.once_in(8);
    let mut digits = |out: &mut Vec<u8>, usual: usize| {
        let count = 1 + seed.below(if long { 40 } else { usual });
        for _ in 0..count {
            out.push(b'0' + seed.below(10) as u8);
        }
        seed.below(16)
    };
    let first = out.len();
    let next = digits(&mut out, 6);
    if out.len() > first + 1 && out[first] == b'0' {
        out[first] = b'7';
    }
    if next < 10 {
        out.push(b'.');
        if digits(&mut out, 4) > 1 {
            return out;
        }
    }
    if next > 13 {
        out.extend_from_slice([&b"e"[..], b"E", b"e+", b"e-"][next % 4]);
        digits(&mut out, 2);
    }
    out
}

/// Second 60, where it is valid and where it isn't.
const NEAR_LEAP_SECONDS: &[&[u8]] = &[
    b"2016-12-31T23:59:60Z",
    b"1998-12-31T15:59:60-08:00",
    b"2017-01-01T05:29:60.5+05:30",
    b"2016-12-31T23:58:60Z",
    b"2016-12-31T23:59:60+00:01",
];

/// A timestamp in some form of RFC 3339, without second 60.
fn timestamp(seed: &mut Seed) -> Vec<u8> {
    let date = match seed.below(8) {
        0 => seed
            .pick(&["2024-02-29", "2000-02-29", "2026-01-31", "2026-04-30"])
            .to_owned(),
        _ => format!(
            "{:04}-{:02}-{:02}",
            seed.below(10_000),
            1 + seed.below(12),
            1 + seed.below(28)
        ),
    };
    let t = seed.pick(&["T", "T", "T", "t"]);
    let second = seed.below(60);
    let time = format!("{:02}:{:02}:{second:02}", seed.below(24), seed.below(60));
    let mut fraction = String::new();
    if !seed.once_in(4) {
        fraction.push('.');
        let most = if seed.once_in(8) { 40 } else { 9 };
        let count = 1 + seed.below(most);
        for _ in 0..count {
            fraction.push(char::from(b'0' + seed.below(10) as u8));
        }
    }
    let offset = match seed.below(6) {
        0 => format!(
            "{}{:02}:{:02}",
            seed.pick(&["+", "-"]),
            seed.below(24),
            seed.below(60)
        ),
        1 => "z".to_owned(),
        _ => "Z".to_owned(),
    };
    format!("{date}{t}{time}{fraction}{offset}").into_bytes()
}

/// The inside of a string, as a JSON text without escapes.
fn text(seed: &mut Seed, ascii: bool) -> Vec<u8> {
    const MORE: &[&str] = &["é", "注文", "𝄞", "\u{a0}", "ß", "\u{ffff}"];
    let count = match seed.below(12) {
        0 => 0,
        1 => 1,
        2 => 32 * seed.below(4),
        3 => 100 + seed.below(60),
        _ => 1 + seed.below(20),
    };
    let foreign = !ascii && seed.once_in(4);
    let mut out = Vec::new();
    for _ in 0..count {
        if foreign && seed.once_in(3) {
            out.extend_from_slice(seed.pick(MORE).as_bytes());
            continue;
        }
        match 0x20 + seed.below(0x5F) as u8 {
            b'"' | b'\\' => out.push(b'a'),
            byte => out.push(byte),
        }
    }
    out
}
