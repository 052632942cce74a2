//! The promises of typed messages.

mod building;
mod reading;
mod subscribing;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::*;
use crate::wire::tests::MESSAGES;

/// The kinds of the platform's examples.
const EXAMPLES: [&str; 11] = [
    "order",
    "execution",
    "market data",
    "log",
    "log",
    "heartbeat",
    "error",
    "ack",
    "strategy",
    "oco group",
    "batch",
];

fn read(json: &str) -> Message {
    Message::from_json(json.as_bytes()).unwrap()
}

fn example(index: usize) -> Message {
    read(MESSAGES[index - 1])
}

fn domain_of(message: &Message) -> DomainEvent {
    match &message.payload {
        Payload::IngestEvent(event) => event.domain().unwrap(),
        other => panic!("no event: {other:?}"),
    }
}

/// The same JSON with sorted keys and no white space; scalars but strings as
/// they are spelled.
fn canonical(json: &str) -> String {
    match json.trim_start().as_bytes()[0] {
        b'{' => {
            let object: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap();
            let fields: Vec<String> = object
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", canonical(value.get())))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        b'[' => {
            let array: Vec<&RawValue> = serde_json::from_str(json).unwrap();
            let items: Vec<String> = array.iter().map(|item| canonical(item.get())).collect();
            format!("[{}]", items.join(","))
        }
        b'"' => format!("{:?}", serde_json::from_str::<String>(json).unwrap()),
        _ => json.to_owned(),
    }
}

fn assert_written_alike(json: &str) {
    assert_eq!(canonical(&read(json).to_json()), canonical(json));
}
