//! A message taken apart into the bytes that stay and the parts that vary.

use std::borrow::Cow;
use std::ops::Range;

use uuid::Uuid;

use super::Random;

/// The text that stands for one that fills a message up.
const OPEN_TEXT: &[u8] = b"<text>";

/// A message taken apart.
#[derive(Debug)]
pub struct Template {
    /// Its parts in their order.
    pub parts: Vec<Part>,
    /// Whether it is an `ack`.
    pub is_ack: bool,
    /// About as long as it comes out.
    pub bytes_expected: usize,
}

/// A part of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes that stay.
    Literal(Vec<u8>),
    /// The `msg_id` of the envelope.
    MsgId,
    /// Another UUID.
    Id,
    /// As many digits as there are, below a limit if there are two.
    Digits { count: usize, below: u64 },
    /// An integer of about so many digits.
    Integer { digits: usize },
    /// The digits behind a decimal point.
    Fraction { digits: usize },
    /// The number at the end of a name.
    Suffix,
    /// A traded symbol.
    Symbol,
    /// `BUY` or `SELL`.
    Side,
    /// The source, as it is if it stays.
    Source(Vec<u8>),
    /// The target, as it is if it stays.
    Target(Vec<u8>),
    /// The place for a target, if there is none.
    NoTarget,
    /// The place for text that fills the message up.
    Text,
}

const SYMBOLS: [&str; 8] = [
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT", "OPUSDT", "LINKUSDT", "ADAUSDT",
];

impl Part {
    /// Writes a random value.
    pub fn write(&self, out: &mut Vec<u8>, random: &mut Random) {
        match self {
            Self::Literal(bytes) => out.extend_from_slice(bytes),
            Self::Id => {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&random.next().to_be_bytes());
                bytes[8..].copy_from_slice(&random.next().to_be_bytes());
                let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                out.extend_from_slice(id.hyphenated().encode_lower(&mut text).as_bytes());
            }
            Self::Digits { count, below } if *count <= 2 => {
                let number = random.below(*below);
                out.extend_from_slice(format!("{number:0count$}").as_bytes());
            }
            Self::Digits { count, .. } => random.write_digits(out, *count),
            Self::Integer { digits } => {
                let fewest = digits.saturating_sub(1).max(1);
                let digits = fewest + random.below((digits + 2 - fewest) as u64) as usize;
                out.push(b'1' + random.below(9) as u8);
                random.write_digits(out, digits - 1);
            }
            Self::Fraction { digits } => {
                let more = [0, 0, 1, 2][random.below(4) as usize];
                random.write_digits(out, digits + more);
            }
            Self::Suffix => {
                let limit = 10u64.pow(1 + random.below(4) as u32);
                out.extend_from_slice(random.below(limit).to_string().as_bytes());
            }
            Self::Symbol => out.extend_from_slice(SYMBOLS[random.below(8) as usize].as_bytes()),
            Self::Side => {
                let side = ["BUY", "SELL"][random.below(2) as usize];
                out.extend_from_slice(side.as_bytes());
            }
            Self::MsgId | Self::Source(_) | Self::Target(_) | Self::NoTarget | Self::Text => {
                unreachable!("needs more than chance")
            }
        }
    }
}

impl Template {
    /// Takes apart `json`, which must be a valid message.
    pub fn of(json: &[u8]) -> Self {
        Self::taken(json, false)
    }

    /// Takes apart a message with a place where text goes.
    pub fn with_open_text(json: &[u8]) -> Self {
        Self::taken(json, true)
    }

    fn taken(json: &[u8], has_open_text: bool) -> Self {
        let mut taking = Taking {
            json,
            has_open_text,
            parts: Vec::new(),
            kept: 0,
            depth: 0,
            key: Cow::Borrowed(""),
            is_ack: false,
            has_target: false,
        };
        let mut at = 0;
        while at < json.len() {
            at = taking.token(at);
        }
        taking.replace(at..at, Part::Literal(Vec::new()));
        let mut parts = taking.parts;
        let source = parts
            .iter()
            .position(|part| matches!(part, Part::Source(_)));
        if let Some(source) = source.filter(|_| !taking.has_target) {
            parts.insert(source + 1, Part::NoTarget);
        }
        Self {
            parts,
            is_ack: taking.is_ack,
            bytes_expected: json.len(),
        }
    }
}

/// A message that is being taken apart.
struct Taking<'a> {
    json: &'a [u8],
    has_open_text: bool,
    parts: Vec<Part>,
    /// The end of the bytes that are in `parts`.
    kept: usize,
    depth: usize,
    /// The key in the envelope that was met last.
    key: Cow<'a, str>,
    is_ack: bool,
    has_target: bool,
}

impl Taking<'_> {
    /// Takes the token at `at`, and returns its end.
    fn token(&mut self, at: usize) -> usize {
        let json = self.json;
        match json[at] {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            b'"' => {
                let end = end_of_string(json, at);
                if json[end..].trim_ascii_start().first() != Some(&b':') {
                    self.string(at..end);
                } else if self.depth == 1 {
                    self.key = unescaped(&json[at..end]);
                }
                return end;
            }
            b'n' if self.is_value_of("target") => {
                self.target(at..at + 4);
                return at + 4;
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &&u8| b"0123456789.-+eE".contains(*byte);
                let end = at + json[at..].iter().take_while(is_part).count();
                self.number(at..end);
                return end;
            }
            _ => {}
        }
        at + 1
    }

    fn is_value_of(&self, key: &str) -> bool {
        self.depth == 1 && self.key == key
    }

    fn target(&mut self, range: Range<usize>) {
        self.has_target = true;
        let kept = self.json[range.clone()].to_vec();
        self.replace(range, Part::Target(kept));
    }

    /// Takes a string value.
    fn string(&mut self, range: Range<usize>) {
        let within = range.start + 1..range.end - 1;
        let string = &self.json[range.clone()];
        if self.is_value_of("source") {
            self.replace(range, Part::Source(string.to_vec()));
        } else if self.is_value_of("target") {
            self.target(range);
        } else if self.is_value_of("msg_id") {
            self.replace(within, Part::MsgId);
        } else {
            self.is_ack |= self.is_value_of("msg_type") && unescaped(string) == "ack";
            self.text(within);
        }
    }

    /// Puts `part` in the place of `range`; the bytes in front of it stay.
    fn replace(&mut self, range: Range<usize>, part: Part) {
        if self.kept < range.start {
            self.parts
                .push(Part::Literal(self.json[self.kept..range.start].to_vec()));
        }
        self.parts.push(part);
        self.kept = range.end;
    }

    /// Takes the text between the quotes of a value.
    fn text(&mut self, range: Range<usize>) {
        let text = &self.json[range.clone()];
        if self.has_open_text && text == OPEN_TEXT {
            self.replace(range, Part::Text);
        } else if is_uuid(text) {
            self.replace(range, Part::Id);
        } else if is_timestamp(text) {
            let seconds = range.start + 17;
            let (count, below) = (2, 60);
            self.replace(seconds..seconds + 2, Part::Digits { count, below });
            if text[19] == b'.' {
                let count = digits(&text[20..]);
                let below = 10u64.pow(count.min(2) as u32);
                let fraction = seconds + 3..seconds + 3 + count;
                self.replace(fraction, Part::Digits { count, below });
            }
        } else if text == b"BUY" || text == b"SELL" {
            self.replace(range, Part::Side);
        } else if SYMBOLS.iter().any(|symbol| symbol.as_bytes() == text) {
            self.replace(range, Part::Symbol);
        } else if let Some(dash) = text.iter().rposition(|byte| *byte == b'-')
            && dash > 0
            && text[..dash].iter().all(u8::is_ascii_lowercase)
            && text.len() > dash + 1
            && digits(&text[dash + 1..]) == text.len() - dash - 1
        {
            self.replace(range.start + dash + 1..range.end, Part::Suffix);
        }
    }

    /// Takes a number: its integer part and its fraction vary, sign and
    /// exponent stay.
    fn number(&mut self, range: Range<usize>) {
        let start = range.start + usize::from(self.json[range.start] == b'-');
        let count = digits(&self.json[start..range.end]);
        self.replace(start..start + count, Part::Integer { digits: count });
        let point = start + count;
        if point < range.end && self.json[point] == b'.' {
            let count = digits(&self.json[point + 1..range.end]);
            self.replace(
                point + 1..point + 1 + count,
                Part::Fraction { digits: count },
            );
        }
    }
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == uuid::fmt::Hyphenated::LENGTH && Uuid::try_parse_ascii(text).is_ok()
}

/// Whether `text` is a time as RFC 3339 writes it, by its form.
fn is_timestamp(text: &[u8]) -> bool {
    const FORM: &[u8; 19] = b"0000-00-00T00:00:00";
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        form => byte == form,
    };
    let Some((time, rest)) = text.split_first_chunk::<19>() else {
        return false;
    };
    let zone = match rest {
        [b'.', rest @ ..] => &rest[digits(rest)..],
        rest => rest,
    };
    let is_zone =
        matches!(zone, [b'Z' | b'z']) || matches!(zone, [b'+' | b'-', ..] if zone.len() == 6);
    is_zone && time.iter().zip(FORM).all(fits)
}

/// The number of digits at the front of `text`.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The end of the string that begins at `start`.
pub fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() && json[at] != b'"' {
        at += 1 + usize::from(json[at] == b'\\');
    }
    (at + 1).min(json.len())
}

fn unescaped(string: &[u8]) -> Cow<'_, str> {
    serde_json::from_slice::<String>(string).map_or(Cow::Borrowed(""), Cow::Owned)
}
