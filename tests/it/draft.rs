//! Messages to send, right or wrong on purpose: a draft keeps the order and
//! the spelling of its fields, and lets any of them be spoilt.

use serde_json::{Value, json};
use uuid::Uuid;

pub const NOW: &str = "2026-01-03T12:41:00.000Z";

/// A message being written. Field values are JSON text, taken as they are.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its `msg_id` when it was begun.
    pub id: String,
    envelope: Vec<(String, Field)>,
    payload: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
enum Field {
    Text(String),
    /// The payload drafted field by field.
    Payload,
}

impl Draft {
    /// A message of `kind` with an empty payload; `target` may be `null`.
    pub fn new(kind: &str, source: &str, target: impl Into<Value>) -> Self {
        Self::with_id(&Uuid::new_v4().to_string(), kind, source, target)
    }

    pub fn with_id(id: &str, kind: &str, source: &str, target: impl Into<Value>) -> Self {
        let text = |value: Value| Field::Text(value.to_string());
        Self {
            id: id.to_owned(),
            envelope: vec![
                ("msg_id".into(), text(json!(id))),
                ("msg_type".into(), text(json!(kind))),
                ("timestamp".into(), text(json!(NOW))),
                ("source".into(), text(json!(source))),
                ("target".into(), text(target.into())),
                ("payload".into(), Field::Payload),
            ],
            payload: Vec::new(),
        }
    }

    pub fn order(source: &str, target: impl Into<Value>) -> Self {
        Self::new("ingest_event", source, target).filled(json!({
            "run_id": "run-123",
            "event_type": "order",
            "event_utc": NOW,
            "received_utc": NOW,
            "payload_json": {"order_id": "ord-456", "quantity": 0.1},
        }))
    }

    pub fn log_record(source: &str, target: impl Into<Value>) -> Self {
        Self::new("log_record", source, target).filled(json!({
            "timestamp": NOW, "level": "INFO", "name": "tests", "message": "all is well",
        }))
    }

    pub fn heartbeat(source: &str, target: impl Into<Value>) -> Self {
        Self::new("heartbeat", source, target).filled(json!({"status": "alive", "timestamp": NOW}))
    }

    pub fn error(source: &str, target: impl Into<Value>) -> Self {
        Self::new("error", source, target)
            .filled(json!({"code": "CONNECTION_LOST", "message": "lost it"}))
    }

    pub fn ack(source: &str, target: impl Into<Value>) -> Self {
        Self::new("ack", source, target).filled(json!({
            "acknowledged_msg_id": "550e8400-e29b-41d4-a716-446655440000", "timestamp": NOW,
        }))
    }

    pub fn hello(source: &str) -> Self {
        Self::new("hello", source, Value::Null).filled(json!({"protocol": 1}))
    }

    fn filled(mut self, payload: Value) -> Self {
        let Value::Object(fields) = payload else {
            panic!("a payload is an object: {payload}")
        };
        for (key, value) in fields {
            self = self.payload_text(&key, value.to_string());
        }
        self
    }

    /// Sets a field of the envelope, in its place or at the end.
    pub fn set(self, key: &str, value: impl Into<Value>) -> Self {
        self.text(key, value.into().to_string())
    }

    /// Like [`Draft::set`], with JSON text as it stands, valid or not.
    pub fn text(mut self, key: &str, text: impl Into<String>) -> Self {
        let field = Field::Text(text.into());
        match self.envelope.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = field,
            None => self.envelope.push((key.to_owned(), field)),
        }
        self
    }

    /// Appends a field to the envelope though it may be there already. `key`
    /// stands between the quotes as it is, escapes and all.
    pub fn again(mut self, key: &str, text: impl Into<String>) -> Self {
        self.envelope
            .push((key.to_owned(), Field::Text(text.into())));
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.envelope.retain(|(known, _)| known != key);
        self
    }

    /// Sets a field of the payload, in its place or at the end.
    pub fn payload(self, key: &str, value: impl Into<Value>) -> Self {
        self.payload_text(key, value.into().to_string())
    }

    /// Like [`Draft::payload`], with JSON text as it stands, valid or not.
    pub fn payload_text(mut self, key: &str, text: impl Into<String>) -> Self {
        match self.payload.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = text.into(),
            None => self.payload.push((key.to_owned(), text.into())),
        }
        self
    }

    /// Like [`Draft::again`], in the payload.
    pub fn payload_again(mut self, key: &str, text: impl Into<String>) -> Self {
        self.payload.push((key.to_owned(), text.into()));
        self
    }

    pub fn payload_without(mut self, key: &str) -> Self {
        self.payload.retain(|(known, _)| known != key);
        self
    }

    /// Makes the frame `bytes` longer, by a field that nobody knows.
    pub fn padded(self, bytes: usize) -> Self {
        let around = r#","padding":"""#.len();
        let padding = bytes.checked_sub(around).expect("room for a field");
        self.again("padding", format!("\"{}\"", "x".repeat(padding)))
    }

    /// The frame, compact.
    pub fn frame(&self) -> Vec<u8> {
        let payload = object(self.payload.iter().map(|(key, text)| (key, text.as_str())));
        let fields = self.envelope.iter().map(|(key, field)| match field {
            Field::Text(text) => (key, text.as_str()),
            Field::Payload => (key, payload.as_str()),
        });
        object(fields).into_bytes()
    }
}

fn object<'a>(fields: impl Iterator<Item = (&'a String, &'a str)>) -> String {
    let fields: Vec<String> = fields
        .map(|(key, text)| format!("\"{key}\":{text}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}
