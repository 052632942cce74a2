//! Texts with escapes, valid and broken, and values spelled with an escape. Nothing
//! here is shared with the learned shapes, which these texts test.

use super::generate::Seed;

/// Escapes of one character each, all valid.
const VALID: &[&str] = &[
    r#"\""#,
    r"\\",
    r"\/",
    r"\b",
    r"\f",
    r"\n",
    r"\r",
    r"\t",
    r"\u0000",
    r"\u0022",
    r"\u005c",
    r"\u00e9",
    r"\u20AC",
    r"\ud7ff",
    r"\uE000",
    r"\uffff",
    r"\ud834\udd1e",
    r"\uD800\uDC00",
    r"\udbff\udfff",
];

/// Near misses: unknown and short escapes, digits that are none, halves of pairs.
const BROKEN: &[&str] = &[
    r"\",
    r"\x",
    r"\'",
    r"\U0041",
    r"\u",
    r"\u1",
    r"\u12",
    r"\u123",
    r"\u12g4",
    r"\u 123",
    r"\u+123",
    r"\u12\n",
    r"\ud800",
    r"\udbffx",
    r"\udc00",
    r"\udfff\ud800",
    r"\ud800\ud800",
    r"\ud834\u0041",
    r"\ud834\n",
    r"\ud834\\udd1e",
    r"\ud834\udd1",
    r"\ud834udd1e",
    "\\\n",
    "\\\u{e9}",
    "\\\0",
    "\\\x7f",
];

const PLAIN: &[&str] = &["a", "Z", "7", " ", "u", "n", "udc00", "é", "注文", "𝄞"];

/// The inside of a string with escapes, all valid.
pub(super) fn escaped(seed: &mut Seed) -> Vec<u8> {
    // Ends and escapes at each place of what is looked at together.
    let mut out = vec![b'x'; [0, 0, 25, 57][seed.below(4)] + seed.below(8)];
    let escapes_in = 1 + seed.below(6);
    for _ in 0..=seed.below(12) {
        let from = if seed.once_in(escapes_in) {
            VALID
        } else {
            PLAIN
        };
        out.extend_from_slice(seed.pick(from).as_bytes());
    }
    if seed.once_in(2) {
        out.extend_from_slice(seed.pick(VALID).as_bytes());
    }
    out
}

/// Such a text with something broken in it, or at its end.
pub(super) fn broken(seed: &mut Seed) -> Vec<u8> {
    let mut out = escaped(seed);
    out.extend_from_slice(seed.pick(BROKEN).as_bytes());
    if seed.once_in(2) {
        out.extend(escaped(seed));
    }
    if seed.once_in(4) {
        out.truncate(seed.below(out.len() + 1));
    }
    out
}

/// The same text, with some byte of it spelled as an escape, if that is ASCII.
pub(super) fn respelled(seed: &mut Seed, text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    if !text.is_empty() {
        let at = seed.below(text.len());
        if text[at].is_ascii() {
            out.splice(at..=at, format!("\\u{:04x}", text[at]).into_bytes());
        }
    }
    out
}
