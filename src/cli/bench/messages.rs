//! The messages that a load consists of: the platform's own examples, or
//! somebody's file, each in as many different forms as are asked for.
//!
//! A message is taken apart once, into what stays and what varies: ids,
//! seconds and fractions of timestamps, numbers, numbers at the end of names
//! such as `ord-456`, symbols and sides. What varies mostly varies in width
//! too, so nothing that a server remembers of the last frame is worth much. Key
//! order, structure and spelling stay as they are.
//!
//! This file stands by itself, on the library and nothing else of the binary:
//! the comparison with other servers includes it as its own.

use std::borrow::Cow;

use uuid::Uuid;

/// How many different messages a load has at least.
pub const DISTINCT: usize = 10_000;
/// Bytes of an order event with the names of the example, compact.
pub const ORDER_BYTES: usize = 423;

macro_rules! example {
    ($file:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/messages/",
            $file
        ))
    };
}

/// One of the platform's eleven messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Example {
    /// An order.
    Order,
    /// An execution.
    Execution,
    /// A bar of market data; broadcast as it stands.
    MarketData,
    /// A log record of level INFO.
    InfoLog,
    /// A log record of level ERROR.
    ErrorLog,
    /// A heartbeat.
    Heartbeat,
    /// An error between participants.
    Error,
    /// An ack between participants, which no server acknowledges.
    Ack,
    /// A strategy instance.
    Strategy,
    /// An OCO group.
    OcoGroup,
    /// A batch of events.
    Batch,
}

impl Example {
    /// All of them, in the order of their files.
    pub const ALL: [Self; 11] = [
        Self::Order,
        Self::Execution,
        Self::MarketData,
        Self::InfoLog,
        Self::ErrorLog,
        Self::Heartbeat,
        Self::Error,
        Self::Ack,
        Self::Strategy,
        Self::OcoGroup,
        Self::Batch,
    ];

    /// What it is called on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Execution => "execution",
            Self::MarketData => "market-data",
            Self::InfoLog => "info-log",
            Self::ErrorLog => "error-log",
            Self::Heartbeat => "heartbeat",
            Self::Error => "error",
            Self::Ack => "ack",
            Self::Strategy => "strategy",
            Self::OcoGroup => "oco-group",
            Self::Batch => "batch",
        }
    }

    /// The message as its file has it, pretty-printed.
    pub const fn json(self) -> &'static str {
        match self {
            Self::Order => example!("01-order-event.json"),
            Self::Execution => example!("02-execution-event.json"),
            Self::MarketData => example!("03-market-data-event.json"),
            Self::InfoLog => example!("04-info-log.json"),
            Self::ErrorLog => example!("05-error-log.json"),
            Self::Heartbeat => example!("06-heartbeat.json"),
            Self::Error => example!("07-error-message.json"),
            Self::Ack => example!("08-acknowledgment.json"),
            Self::Strategy => example!("09-strategy-instance-update.json"),
            Self::OcoGroup => example!("10-oco-group-creation.json"),
            Self::Batch => example!("11-multiple-ingest-events.json"),
        }
    }
}

/// Which messages a load consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One example, compact.
    One(Example),
    /// All eleven in turn, compact.
    Mix,
    /// Messages of a file in turn, spelled as they are there. Each must be a
    /// valid message, and there must be one.
    Custom(Vec<Vec<u8>>),
    /// Orders whose text holds escapes and letters beyond ASCII; of
    /// [`ORDER_BYTES`] in the mean, as long as the names have some 30 bytes
    /// together or less.
    EscapedOrder,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Whom the example is for.
    Keep,
    /// Everyone: `null`. An `ack` can't be; it stays as it is.
    Broadcast,
    /// This participant.
    Name(&'a str),
}

/// `count` messages, all different, from `source` (`None`: as in the example)
/// to `target`. The same each time.
pub fn variants(
    selection: &Selection,
    count: usize,
    source: Option<&str>,
    target: Target<'_>,
) -> Vec<Vec<u8>> {
    let mut variants = Variants::new(selection, 0x7411);
    (0..count)
        .map(|_| variants.next_for(source, target))
        .collect()
}

/// `count` orders with escapes and letters beyond ASCII, all different, of
/// [`ORDER_BYTES`] in the mean, exactly so for an even `count`.
pub fn escaped_orders(count: usize, source: Option<&str>, target: Target<'_>) -> Vec<Vec<u8>> {
    variants(&Selection::EscapedOrder, count, source, target)
}

/// An endless row of different messages.
#[derive(Debug)]
pub struct Variants {
    templates: Vec<Template>,
    random: Random,
    /// Messages given so far.
    given: usize,
    /// How the last message's length differs from what it should be in the
    /// mean, where that is kept.
    surplus: isize,
}

impl Variants {
    /// The row that `seed` stands for: another one has no id in common.
    pub fn new(selection: &Selection, seed: u64) -> Self {
        let compact = |example: &Example| Template::of(&compact(example.json()));
        let templates = match selection {
            Selection::One(example) => vec![compact(example)],
            Selection::Mix => Example::ALL.iter().map(compact).collect(),
            Selection::Custom(messages) => messages.iter().map(|json| Template::of(json)).collect(),
            Selection::EscapedOrder => vec![Template::of(ESCAPED_ORDER)],
        };
        assert!(!templates.is_empty(), "there must be a message");
        Self {
            templates,
            random: Random(seed),
            given: 0,
            surplus: 0,
        }
    }

    /// The next message, from `source` (`None`: as it stands) to `target`.
    pub fn next_for(&mut self, source: Option<&str>, target: Target<'_>) -> Vec<u8> {
        let template = &self.templates[self.given % self.templates.len()];
        let mut json = Vec::with_capacity(template.bytes_expected + 32);
        let mut text_at = None;
        for part in &template.parts {
            match part {
                Part::Text => text_at = Some(json.len()),
                Part::Source(kept) => match source {
                    Some(name) => write_string(&mut json, name),
                    None => json.extend_from_slice(kept),
                },
                Part::Target(kept) => match (target, template.is_ack) {
                    (Target::Name(name), _) => write_string(&mut json, name),
                    (Target::Broadcast, false) => json.extend_from_slice(b"null"),
                    _ => json.extend_from_slice(kept),
                },
                Part::NoTarget => {
                    if let Target::Name(name) = target {
                        json.extend_from_slice(b",\"target\":");
                        write_string(&mut json, name);
                    }
                }
                part => part.write(&mut json, &mut self.random),
            }
        }
        if let Some(at) = text_at {
            // Two messages each make up for the other.
            let swing = match self.given % 2 {
                0 => self.random.below(13) as isize - 6,
                _ => -self.surplus,
            };
            let room = (ORDER_BYTES as isize + swing - json.len() as isize).max(0) as usize;
            let text = escaped_text(room, &mut self.random);
            json.splice(at..at, text);
            self.surplus = json.len() as isize - ORDER_BYTES as isize;
        }
        self.given += 1;
        json
    }
}

/// The order with its text fields open, and without fractions of seconds, which
/// leaves room for text.
const ESCAPED_ORDER: &[u8] = br#"{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"ingest_event","timestamp":"2026-01-03T12:41:00Z","source":"quantower-connector","target":"api-gateway","payload":{"run_id":"<text>","event_type":"order","event_utc":"2026-01-03T12:41:00Z","payload_json":{"order_id":"ord-456","symbol":"BTC\/USDT","side":"BUY","order_type":"LIMIT","quantity":0.1,"price":45000.0},"received_utc":"2026-01-03T12:41:00Z"}}"#;
/// Where text goes.
const OPEN_TEXT: &[u8] = b"<text>";

/// `bytes` bytes of JSON text: words in several scripts, escapes in between,
/// and letters where nothing else fits. Never empty.
fn escaped_text(bytes: usize, random: &mut Random) -> Vec<u8> {
    const PIECES: [&str; 12] = [
        "\\\"", "ü", "\\u20ac", "é", "\\\\", "Ω", "\\n", "注", "\\/", "ß", "\\t", "ж",
    ];
    let mut text = Vec::new();
    // An escape first: each message shall hold one.
    let mut piece = "\\\"";
    while text.len() + piece.len() <= bytes {
        text.extend_from_slice(piece.as_bytes());
        piece = if random.below(3) == 0 {
            ["a", "k", "r", "7", "s", " "][random.below(6) as usize]
        } else {
            PIECES[random.below(12) as usize]
        };
    }
    while text.len() < bytes.max(1) {
        text.push(b'a' + random.below(26) as u8);
    }
    text
}

/// A message taken apart.
#[derive(Debug)]
struct Template {
    parts: Vec<Part>,
    is_ack: bool,
    bytes_expected: usize,
}

/// What a message is put together from.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// Bytes that stay.
    Literal(Vec<u8>),
    /// A UUID.
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
    /// The source, and what it is if it stays.
    Source(Vec<u8>),
    /// The target, and what it is if it stays.
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
    fn write(&self, out: &mut Vec<u8>, random: &mut Random) {
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
            Self::Source(_) | Self::Target(_) | Self::NoTarget | Self::Text => {
                unreachable!("needs more than chance")
            }
        }
    }
}

impl Template {
    /// Takes apart `json`, which must be a valid message.
    fn of(json: &[u8]) -> Self {
        let mut taking = Taking {
            json,
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
                        taking.replace(start + 1..at - 1, Part::Id);
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
    parts: Vec<Part>,
    /// How far it has been.
    kept: usize,
}

impl Taking<'_> {
    /// Puts `part` in the place of `range`; what is in front of it stays.
    fn replace(&mut self, range: std::ops::Range<usize>, part: Part) {
        if self.kept < range.start {
            self.parts
                .push(Part::Literal(self.json[self.kept..range.start].to_vec()));
        }
        self.parts.push(part);
        self.kept = range.end;
    }

    /// Takes what is between the quotes of a value.
    fn string(&mut self, range: std::ops::Range<usize>) {
        let text = &self.json[range.clone()];
        if text == OPEN_TEXT {
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
    fn number(&mut self, range: std::ops::Range<usize>) {
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

fn is_timestamp(text: &[u8]) -> bool {
    text.len() >= 20
        && [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')]
            .iter()
            .all(|(at, byte)| text[*at] == *byte)
        && chrono::DateTime::parse_from_rfc3339(&String::from_utf8_lossy(text)).is_ok()
}

/// How many digits `text` begins with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Where the string that begins at `start` has ended.
fn end_of_string(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < json.len() && json[at] != b'"' {
        at += 1 + usize::from(json[at] == b'\\');
    }
    (at + 1).min(json.len())
}

fn unescaped(string: &[u8]) -> Cow<'_, str> {
    serde_json::from_slice::<String>(string).map_or(Cow::Borrowed(""), Cow::Owned)
}

fn write_string(out: &mut Vec<u8>, name: &str) {
    serde_json::to_writer(out, name).expect("a vector takes all that is written");
}

/// The text without white space outside strings; no example has a quote within
/// a string.
fn compact(json: &str) -> Vec<u8> {
    let mut in_string = false;
    json.bytes()
        .filter(|byte| {
            in_string ^= *byte == b'"';
            in_string || !byte.is_ascii_whitespace()
        })
        .collect()
}

/// Sebastiano Vigna's splitmix64: numbers that look random and are the same
/// everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn write_digits(&mut self, out: &mut Vec<u8>, count: usize) {
        for _ in 0..count {
            out.push(b'0' + self.below(10) as u8);
        }
    }
}

// By its path, for whoever includes this file by its own.
#[cfg(test)]
#[path = "messages/tests.rs"]
mod tests;
