//! A message taken apart into the bytes that stay and the parts that vary.

use std::borrow::Cow;
use std::ops::Range;

use uuid::Uuid;

use super::Random;

/// Where text goes that fills a message up.
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
    /// Where a target would stand if there were one.
    NoTarget,
    /// Where text fills the message up.
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
            Self::Symbol => {
                out.extend_from_slice(SYMBOLS[random.below(8) as usize].as_bytes());
            }
            Self::Side => {
                let side: &[u8] = if random.below(2) == 0 {
                    b"BUY"
                } else {
                    b"SELL"
                };
                out.extend_from_slice(side);
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
        };
        let mut depth = 0;
        let mut at = 0;
        // The key in the envelope whose value comes next.
        let mut key = Cow::Borrowed("");
        let mut is_ack = false;
        let mut source_end = None;
        let mut has_target = false;
        while at < json.len() {
            let start = at;
            match json[at] {
                b'{' | b'[' => {
                    depth += 1;
                    at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    at += 1;
                }
                b'"' => {
                    at = end_of_string(json, at);
                    if json[at..].trim_ascii_start().first() == Some(&b':') {
                        if depth == 1 {
                            key = unescaped(&json[start..at]);
                        }
                    } else if depth == 1 && key == "source" {
                        source_end = Some(at);
                        taking.replace(start..at, Part::Source(json[start..at].to_vec()));
                    } else if depth == 1 && key == "target" {
                        has_target = true;
                        taking.replace(start..at, Part::Target(json[start..at].to_vec()));
                    } else if depth == 1 && key == "msg_id" {
                        taking.replace(start + 1..at - 1, Part::MsgId);
                    } else {
                        is_ack |=
                            depth == 1 && key == "msg_type" && unescaped(&json[start..at]) == "ack";
                        taking.string(start + 1..at - 1);
                    }
                }
                b'n' if depth == 1 && key == "target" => {
                    at += 4;
                    has_target = true;
                    taking.replace(start..at, Part::Target(b"null".to_vec()));
                }
                b'-' | b'0'..=b'9' => {
                    while at < json.len()
                        && matches!(json[at], b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')
                    {
                        at += 1;
                    }
                    taking.number(start..at);
                }
                _ => at += 1,
            }
        }
        taking.replace(json.len()..json.len(), Part::Literal(Vec::new()));
        let mut parts = taking.parts;
        if source_end.is_some() && !has_target {
            let behind = 1 + parts
                .iter()
                .position(|part| matches!(part, Part::Source(_)))
                .expect("a message has a source");
            parts.insert(behind, Part::NoTarget);
        }
        Self {
            parts,
            is_ack,
            bytes_expected: json.len(),
        }
    }
}

/// A message that is being taken apart.
struct Taking<'a> {
    json: &'a [u8],
    has_open_text: bool,
    parts: Vec<Part>,
    /// How far it has been.
    kept: usize,
}

impl Taking<'_> {
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
    fn string(&mut self, range: Range<usize>) {
        let text = &self.json[range.clone()];
        if self.has_open_text && text == OPEN_TEXT {
            self.replace(range, Part::Text);
        } else if is_uuid(text) {
            self.replace(range, Part::Id);
        } else if is_timestamp(text) {
            let seconds = range.start + 17;
            self.replace(
                seconds..seconds + 2,
                Part::Digits {
                    count: 2,
                    below: 60,
                },
            );
            if text[19] == b'.' {
                let count = digits(&text[20..]);
                let below = 10u64.pow(count.min(2) as u32);
                self.replace(
                    seconds + 3..seconds + 3 + count,
                    Part::Digits { count, below },
                );
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
