//! The messages of a load: the platform's own examples, or those of a file, each
//! in as many different forms as are asked for.
//!
//! A message is taken apart once, into the bytes that stay and those that vary:
//! ids, seconds and fractions of timestamps, numbers, numbers at the end of names
//! such as `ord-456`, symbols and sides. Most of these vary in width too, so a
//! server gains little by remembering the last frame. Key order, structure and
//! spelling stay as they are.

use self::template::{Part, Template};

mod template;

/// The number of different messages that a load has at least.
pub const DISTINCT: usize = 10_000;
/// Bytes of an order event with the names of the example, compact.
pub const ORDER_BYTES: usize = 423;
/// The seed of all loads: each run sends the same messages.
const SEED: u64 = 0x7411;

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

    /// The name on a command line, and the file.
    const fn facts(self) -> (&'static str, &'static str) {
        macro_rules! example {
            ($name:literal, $file:literal) => {
                ($name, include_str!(concat!("../examples/", $file, ".json")))
            };
        }
        match self {
            Self::Order => example!("order", "01-order-event"),
            Self::Execution => example!("execution", "02-execution-event"),
            Self::MarketData => example!("market-data", "03-market-data-event"),
            Self::InfoLog => example!("info-log", "04-info-log"),
            Self::ErrorLog => example!("error-log", "05-error-log"),
            Self::Heartbeat => example!("heartbeat", "06-heartbeat"),
            Self::Error => example!("error", "07-error-message"),
            Self::Ack => example!("ack", "08-acknowledgment"),
            Self::Strategy => example!("strategy", "09-strategy-instance-update"),
            Self::OcoGroup => example!("oco-group", "10-oco-group-creation"),
            Self::Batch => example!("batch", "11-multiple-ingest-events"),
        }
    }

    /// The name on a command line.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// The message as its file has it, pretty-printed.
    pub const fn json(self) -> &'static str {
        self.facts().1
    }
}

/// The kinds of messages in a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One example, compact.
    One(Example),
    /// All eleven in turn, compact.
    Mix,
    /// Messages of a file in turn, spelled as they are there. Each must be a
    /// valid message, and there must be one.
    Custom(Vec<Vec<u8>>),
    /// Orders with escapes and letters beyond ASCII; of [`ORDER_BYTES`] in the
    /// mean, as long as the names have some 30 bytes together or less.
    EscapedOrder,
}

/// The `target` of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// The one of the example.
    Keep,
    /// Everyone: `null`. An `ack` can't be broadcast; it stays as it is.
    Broadcast,
    /// This participant.
    Name(&'a str),
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub struct Message {
    /// Its text.
    pub json: Vec<u8>,
    /// The place in it where the value of `msg_id` begins.
    pub id_at: usize,
    /// Whether it is an `ack`, which no server acknowledges.
    pub is_ack: bool,
}

/// Makes `count` messages, all different, from `source` (`None`: as in the
/// example) to `target`: the same ones each time.
pub fn variants(
    selection: &Selection,
    count: usize,
    source: Option<&str>,
    target: Target<'_>,
) -> Vec<Vec<u8>> {
    let mut variants = Variants::new(selection);
    let next = |_| variants.next_for(source, target).json;
    (0..count).map(next).collect()
}

/// An endless row of different messages.
#[derive(Debug)]
pub struct Variants {
    templates: Vec<Template>,
    random: Random,
    /// Messages given so far.
    given: usize,
    /// How much the last message's length differs from the intended mean.
    surplus: isize,
}

impl Variants {
    /// Begins the row of all loads.
    pub fn new(selection: &Selection) -> Self {
        Self::with_seed(selection, SEED)
    }

    /// Begins the row of `seed`; another seed's has no id in common with it.
    pub fn with_seed(selection: &Selection, seed: u64) -> Self {
        let compact = |example: &Example| Template::of(&compact(example.json()));
        let templates = match selection {
            Selection::One(example) => vec![compact(example)],
            Selection::Mix => Example::ALL.iter().map(compact).collect(),
            Selection::Custom(messages) => messages.iter().map(|json| Template::of(json)).collect(),
            Selection::EscapedOrder => vec![Template::with_open_text(ESCAPED_ORDER)],
        };
        assert!(!templates.is_empty(), "there must be a message");
        Self {
            templates,
            random: Random::new(seed),
            given: 0,
            surplus: 0,
        }
    }

    /// Bytes of a message, about, in the mean.
    pub fn bytes_expected(&self) -> usize {
        let bytes: usize = self.templates.iter().map(|t| t.bytes_expected).sum();
        bytes / self.templates.len()
    }

    /// Makes the next message, from `source` (`None`: as it stands) to `target`.
    pub fn next_for(&mut self, source: Option<&str>, target: Target<'_>) -> Message {
        let template = &self.templates[self.given % self.templates.len()];
        let is_ack = template.is_ack;
        let mut json = Vec::with_capacity(template.bytes_expected + 32);
        let (mut id_at, mut text_at) = (0, None);
        for part in &template.parts {
            match part {
                Part::Text => text_at = Some(json.len()),
                Part::MsgId => {
                    id_at = json.len();
                    Part::Id.write(&mut json, &mut self.random);
                }
                Part::Source(kept) => match source {
                    Some(name) => write_string(&mut json, name),
                    None => json.extend_from_slice(kept),
                },
                Part::Target(kept) => match (target, is_ack) {
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
            debug_assert!(id_at < at, "the text doesn't move the id");
            self.fill_up(&mut json, at);
        }
        self.given += 1;
        Message {
            json,
            id_at,
            is_ack,
        }
    }

    /// Inserts text at `at`, so that messages have [`ORDER_BYTES`] in the mean.
    fn fill_up(&mut self, json: &mut Vec<u8>, at: usize) {
        // Each second message makes up for the one before.
        let swing = match self.given % 2 {
            0 => self.random.below(13) as isize - 6,
            _ => -self.surplus,
        };
        let room = (ORDER_BYTES as isize + swing - json.len() as isize).max(0) as usize;
        json.splice(at..at, escaped_text(room, &mut self.random));
        self.surplus = json.len() as isize - ORDER_BYTES as isize;
    }
}

/// The order with a text field open, and without fractions of seconds, which
/// leaves room for text.
const ESCAPED_ORDER: &[u8] = br#"{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"ingest_event","timestamp":"2026-01-03T12:41:00Z","source":"quantower-connector","target":"api-gateway","payload":{"run_id":"<text>","event_type":"order","event_utc":"2026-01-03T12:41:00Z","payload_json":{"order_id":"ord-456","symbol":"BTC\/USDT","side":"BUY","order_type":"LIMIT","quantity":0.1,"price":45000.0},"received_utc":"2026-01-03T12:41:00Z"}}"#;

/// `bytes` bytes of JSON text, never empty: letters of several scripts, escapes
/// in between, and ASCII letters where nothing else fits.
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

fn write_string(out: &mut Vec<u8>, name: &str) {
    serde_json::to_writer(out, name).expect("a vector takes all bytes");
}

/// The text without white space outside strings; no example has a quote within
/// a string.
pub fn compact(json: &str) -> Vec<u8> {
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
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number, brought below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn write_digits(&mut self, out: &mut Vec<u8>, count: usize) {
        for _ in 0..count {
            out.push(b'0' + self.below(10) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let json = format!(
            r#"{{"payload":{{"msg_id":"{id}"}}, "target":null,"msg_id" : "{id}","source":"a"}}"#
        );
        let mut variants = Variants::new(&Selection::Custom(vec![json.into_bytes()]));
        for _ in 0..9 {
            let message = variants.next_for(None, Target::Name("somebody"));
            let value: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
            let id = value["msg_id"].as_str().unwrap();
            assert!(message.json[message.id_at..].starts_with(id.as_bytes()));
            assert!(!message.is_ack);
        }
        let ack = Variants::new(&Selection::One(Example::Ack)).next_for(None, Target::Keep);
        assert!(ack.is_ack);
    }
}
