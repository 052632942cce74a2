//! The messages of simulated clients, each with its meaning: the model never
//! reads a frame.

use serde_json::{Value, json};

use crate::wire::Kind;
use crate::wire::testing::generate::Seed;

/// The server's own name in a simulation.
pub(super) const SERVER: &str = "tickwire";

/// Names that connections own. Two can only be spelled with escapes, or may be
/// spelled with them.
pub(super) const NAMES: [&str; 6] = [
    "alpha",
    "beta",
    "g\"amma",
    "δelta",
    "health-monitor",
    "zeta",
];

/// Subjects of messages and of subscriptions.
pub(super) const SYMBOLS: [&str; 3] = ["A", "B", "C\u{e9}"];

/// Where that stands.
const SYMBOL: &str = "/payload/payload_json/symbol";

/// A frame and its meaning.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) source: String,
    /// `None` is everyone.
    pub(super) target: Option<String>,
    /// Its subject, if it has one.
    pub(super) symbol: Option<&'static str>,
    /// With its length prefix.
    pub(super) frame: Vec<u8>,
    pub(super) meaning: Meaning,
}

/// The right reaction of the server to a frame.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// To pass it on.
    Route,
    /// To follow its request.
    Hello(Hello),
    /// To pass on broadcasts of a certain kind from now on.
    Subscribe(Subscribe),
    /// To give up the subscription of this id.
    Unsubscribe(&'static str),
    /// To refuse it in every state.
    Refuse {
        code: &'static str,
        /// Whether the error can tell its id.
        tells_id: bool,
    },
    /// To refuse it and to close the connection: the framing is lost.
    Close { code: &'static str },
}

/// The request of a valid `hello`.
#[derive(Debug, Clone, Default)]
pub(super) struct Hello {
    pub(super) names: Option<Vec<String>>,
    pub(super) register: Option<bool>,
    pub(super) acks: Option<Acks>,
    pub(super) details: Option<bool>,
    /// Whether it shares its names.
    pub(super) group: Option<bool>,
    /// By which pointer messages are bound to members.
    pub(super) key: Option<&'static str>,
    /// Whether accepted messages are to be remembered.
    pub(super) resumable: Option<bool>,
    /// Whether messages of an earlier connection are to be recognised.
    pub(super) resume: Option<bool>,
    /// Whether it wants broadcasts.
    pub(super) broadcasts: Option<bool>,
    /// How many messages it is to be handed at most.
    pub(super) window: Option<u32>,
    /// Why it is refused, if it is.
    pub(super) refused: Option<&'static str>,
}

/// The request of a `subscribe`.
#[derive(Debug, Clone)]
pub(super) struct Subscribe {
    pub(super) id: &'static str,
    /// The subject that messages must have.
    pub(super) symbol: Option<&'static str>,
    /// The source that messages must have.
    pub(super) source: Option<&'static str>,
    /// Whether of those that wait the newest about each symbol is enough.
    pub(super) is_latest: bool,
}

/// How accepted messages are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    Each,
    Batch,
    None,
}

impl Acks {
    fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Batch => "batch",
            Self::None => "none",
        }
    }
}

/// A valid payload of `kind`, about no symbol.
fn payload_of(kind: Kind) -> &'static str {
    match kind {
        Kind::IngestEvent => concat!(
            r#"{"run_id":"run-1","event_type":"order","event_utc":"2026-01-03T12:41:00Z","#,
            r#""received_utc":"2026-01-03T12:41:00.1Z","payload_json":{"order_id":"ord-1"}}"#
        ),
        Kind::LogRecord => concat!(
            r#"{"timestamp":"2026-01-03T12:41:00Z","level":"INFO","name":"n","#,
            r#""message":"m"}"#
        ),
        Kind::Heartbeat => r#"{"status":"alive","timestamp":"2026-01-03T12:41:00Z"}"#,
        Kind::Error => r#"{"code":"X","message":"y"}"#,
        Kind::Ack | Kind::Hello | Kind::Subscribe | Kind::Unsubscribe => concat!(
            r#"{"acknowledged_msg_id":"550e8400-e29b-41d4-a716-446655440000","#,
            r#""timestamp":"2026-01-03T12:41:00Z"}"#
        ),
    }
}

/// Writes messages, each with another id.
#[derive(Debug, Default)]
pub(super) struct Author {
    written: usize,
}

impl Author {
    /// A valid message of `kind`, with `padding` bytes of its own.
    pub(super) fn message(
        &mut self,
        seed: &mut Seed,
        kind: Kind,
        source: &str,
        target: Option<&str>,
        padding: usize,
    ) -> Message {
        let symbol = match kind {
            Kind::IngestEvent if !seed.once_in(6) => Some(seed.pick(&SYMBOLS)),
            _ => None,
        };
        let about = symbol.map(|symbol| {
            format!(
                concat!(
                    r#"{{"run_id":"run-1","event_type":"order","#,
                    r#""event_utc":"2026-01-03T12:41:00Z","#,
                    r#""received_utc":"2026-01-03T12:41:00.1Z","#,
                    r#""payload_json":{{"order_id":"ord-1","symbol":{}}}}}"#
                ),
                spell(seed, symbol)
            )
        });
        let payload = about.as_deref().unwrap_or_else(|| payload_of(kind));
        let target_text = match target {
            Some(name) => format!(r#","target":{}"#, spell(seed, name)),
            None if seed.once_in(2) => r#","target":null"#.to_owned(),
            None => String::new(),
        };
        let note = match padding {
            0 => String::new(),
            bytes => format!(r#","note":"{}""#, "x".repeat(bytes)),
        };
        let id = self.next_id();
        let source_text = spell(seed, source);
        let kind_text = kind.as_str();
        let head = format!(r#""msg_id":"{id}","msg_type":"{kind_text}""#);
        let time = r#","timestamp":"2026-01-03T12:41:00.000Z""#;
        let body = if seed.once_in(8) {
            format!(
                r#"{{ "payload": {payload}, {head}{target_text}{time}{note}, "source": {source_text} }}"#
            )
        } else {
            format!(
                r#"{{{head}{time},"source":{source_text}{target_text},"payload":{payload}{note}}}"#
            )
        };
        Message {
            id,
            kind,
            source: source.to_owned(),
            target: target.map(str::to_owned),
            symbol,
            frame: framed(body.as_bytes()),
            meaning: Meaning::Route,
        }
    }

    /// A `hello` that asks for `options`.
    pub(super) fn hello(&mut self, seed: &mut Seed, source: &str, mut options: Hello) -> Message {
        let mut payload = json!({"protocol": 1});
        if let Some(names) = &options.names {
            payload["names"] = json!(names);
            let owns_any = options.register != Some(false);
            if owns_any && names.iter().any(|name| name == SERVER) {
                options.refused = Some("SOURCE_NOT_ALLOWED");
            }
        }
        if let Some(register) = options.register {
            payload["register"] = register.into();
        }
        if let Some(acks) = options.acks {
            payload["acks"] = acks.as_str().into();
        }
        if let Some(details) = options.details {
            payload["ack_details"] = details.into();
        }
        if let Some(group) = options.group {
            payload["group"] = group.into();
        }
        if let Some(key) = options.key {
            payload["group_key"] = key.into();
        }
        if let Some(resumable) = options.resumable {
            payload["resumable"] = resumable.into();
        }
        if let Some(resume) = options.resume {
            payload["resume"] = resume.into();
        }
        if let Some(broadcasts) = options.broadcasts {
            payload["broadcasts"] = if broadcasts { "all" } else { "none" }.into();
        }
        if let Some(window) = options.window {
            payload["window"] = window.into();
        }
        if seed.once_in(20) {
            payload["protocol"] = 2.into();
            options.refused = Some("PROTOCOL_UNSUPPORTED");
        }
        self.control(Kind::Hello, source, &payload, Meaning::Hello(options))
    }

    /// A `subscribe` that asks for `options`.
    pub(super) fn subscribe(&mut self, source: &str, options: Subscribe) -> Message {
        let equal = |field: &str, value: &str| json!({"field": field, "op": "eq", "value": value});
        let symbol = options.symbol.map(|symbol| equal(SYMBOL, symbol));
        let by = options.source.map(|source| equal("source", source));
        let conditions: Vec<_> = by.into_iter().chain(symbol).collect();
        let mut payload = json!({"id": options.id, "where": conditions});
        if options.is_latest {
            payload["mode"] = "latest".into();
            payload["key"] = SYMBOL.into();
        }
        let meaning = Meaning::Subscribe(options);
        self.control(Kind::Subscribe, source, &payload, meaning)
    }

    /// An `unsubscribe` of `subscription`.
    pub(super) fn unsubscribe(&mut self, source: &str, subscription: &'static str) -> Message {
        let payload = json!({"id": subscription});
        let meaning = Meaning::Unsubscribe(subscription);
        self.control(Kind::Unsubscribe, source, &payload, meaning)
    }

    fn control(&mut self, kind: Kind, source: &str, payload: &Value, meaning: Meaning) -> Message {
        let id = self.next_id();
        let body = json!({
            "msg_id": id,
            "msg_type": kind.as_str(),
            "timestamp": "2026-01-03T12:41:00Z",
            "source": source,
            "payload": payload,
        });
        Message {
            id,
            kind,
            source: source.to_owned(),
            target: None,
            symbol: None,
            frame: framed(body.to_string().as_bytes()),
            meaning,
        }
    }

    /// A frame that is refused wherever it comes.
    pub(super) fn wrong(&mut self, seed: &mut Seed, source: &str, target: Option<&str>) -> Message {
        let mut message = self.message(seed, Kind::IngestEvent, source, target, 0);
        let text = String::from_utf8_lossy(&message.frame[4..]).into_owned();
        let (body, code, tells_id) = match seed.below(6) {
            0 => ("[]".to_owned(), "INVALID_JSON", false),
            1 => (text.replace("}}", "}"), "INVALID_JSON", false),
            2 => (text.replace("\"run-1\"", "7"), "INVALID_PAYLOAD", true),
            3 => (
                text.replace("ingest_event", "welcome"),
                "UNKNOWN_MSG_TYPE",
                true,
            ),
            4 => (
                text.replace("\"msg_id\"", "\"source\":\"twice\",\"msg_id\""),
                "DUPLICATE_FIELD",
                true,
            ),
            _ => (
                text.replace("\"timestamp\":\"2026", "\"timestamp\":\"26"),
                "INVALID_ENVELOPE",
                true,
            ),
        };
        message.frame = framed(body.as_bytes());
        message.meaning = Meaning::Refuse { code, tells_id };
        message
    }

    /// A message under the server's own name.
    pub(super) fn impostor(&mut self, seed: &mut Seed, target: Option<&str>) -> Message {
        let mut message = self.message(seed, Kind::Heartbeat, SERVER, target, 0);
        message.meaning = Meaning::Refuse {
            code: "SOURCE_NOT_ALLOWED",
            tells_id: true,
        };
        message
    }

    /// A length that ends the framing.
    pub(super) fn broken(&mut self, seed: &mut Seed, source: &str) -> Message {
        let mut message = self.message(seed, Kind::Heartbeat, source, None, 0);
        let (prefix, code) = seed.pick(&[(0, "FRAME_EMPTY"), (u32::MAX, "FRAME_TOO_LARGE")]);
        message.frame = prefix.to_be_bytes().to_vec();
        message.meaning = Meaning::Close { code };
        message
    }

    fn next_id(&mut self) -> String {
        self.written += 1;
        format!("00000000-0000-4000-8000-{:012X}", self.written)
    }
}

/// A name as JSON, now and then with an escape that it doesn't need.
fn spell(seed: &mut Seed, name: &str) -> String {
    let text = json!(name).to_string();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() && seed.once_in(16) => {
            format!("\"\\u{:04x}{}", u32::from(first), &text[2..])
        }
        _ => text,
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}
