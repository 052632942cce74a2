//! The table of refusals: the messages, and the code and field of their errors.

mod envelopes;
mod json;
mod payloads;

pub use envelopes::{envelopes, timestamps};
pub use json::{duplicates, invalid_json};
pub use payloads::{hellos, payloads};
use serde_json::{Value, json};

use crate::draft::Draft;

/// Which message an error must name.
#[derive(Debug)]
pub enum About {
    Named(String),
    Nothing,
    /// There is an id, but not in anything that is JSON.
    Either,
}

pub struct Case {
    pub label: String,
    pub frame: Vec<u8>,
    pub code: &'static str,
    pub field: Option<&'static str>,
    pub about: About,
}

fn case(label: impl Into<String>, draft: &Draft, code: &'static str, field: &'static str) -> Case {
    Case {
        label: label.into(),
        frame: draft.frame(),
        code,
        field: Some(field),
        about: About::Named(draft.id.clone()),
    }
}

impl Case {
    /// The same case, where no id can be told.
    fn about_nothing(mut self) -> Self {
        self.about = About::Nothing;
        self
    }
}

fn order() -> Draft {
    Draft::order("a", "api-gateway")
}

/// Texts that are no names.
fn no_names() -> Vec<Value> {
    let mut values: Vec<Value> = vec![
        json!(""),
        json!(1),
        json!(true),
        json!([]),
        json!({}),
        json!(["a"]),
        json!("x".repeat(129)),
        json!("é".repeat(65)),
    ];
    for control in ["\0", "\n", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}"] {
        values.push(json!(format!("a{control}b")));
        values.push(json!(control));
    }
    values
}

pub fn orders_of_checks() -> Vec<Case> {
    let broken = || order().payload_text("payload_json", "NaN");
    let mut cases = vec![
        Case {
            label: "JSON before duplicates".into(),
            frame: broken().again("source", "1").frame(),
            code: "INVALID_JSON",
            field: None,
            about: About::Either,
        },
        Case {
            label: "depth before the envelope".into(),
            frame: order()
                .without("msg_id")
                .text("x", format!("{}{}", "[".repeat(64), "]".repeat(64)))
                .frame(),
            code: "INVALID_JSON",
            field: None,
            about: About::Nothing,
        },
    ];
    let repeated = order().payload_again("run_id", "1").without("msg_type");
    let label = "duplicates in the payload before the envelope";
    cases.push(case(label, &repeated, "DUPLICATE_FIELD", "payload.run_id"));
    let repeated = order().again("target", "1").set("source", "");
    let label = "duplicates before the envelope";
    cases.push(case(label, &repeated, "DUPLICATE_FIELD", "target"));

    // Each field of the envelope wrong together with all behind it.
    let mut wrong = order().set("payload", 1);
    cases.push(case("payload", &wrong, "INVALID_ENVELOPE", "payload"));
    for field in ["target", "source", "timestamp"] {
        wrong = wrong.set(field, 1);
        cases.push(case(field, &wrong, "INVALID_ENVELOPE", field));
    }
    let unknown = wrong.clone().set("msg_type", "trade");
    cases.push(case("type", &unknown, "UNKNOWN_MSG_TYPE", "msg_type"));
    wrong = wrong.set("msg_type", 1);
    cases.push(case("no type", &wrong, "INVALID_ENVELOPE", "msg_type"));
    wrong = wrong.set("msg_id", 1);
    cases.push(case("id", &wrong, "INVALID_ENVELOPE", "msg_id").about_nothing());

    // The payload's fields are looked at in the order of its table, wherever
    // they stand.
    let rows: [(Draft, &[&'static str]); 5] = [
        (
            order(),
            &[
                "payload.payload_json",
                "payload.received_utc",
                "payload.event_utc",
                "payload.event_type",
                "payload.run_id",
            ],
        ),
        (
            Draft::log_record("a", "api-gateway"),
            &[
                "payload.meta",
                "payload.message",
                "payload.name",
                "payload.level",
                "payload.timestamp",
            ],
        ),
        (
            Draft::heartbeat("a", "api-gateway"),
            &["payload.timestamp", "payload.status"],
        ),
        (
            Draft::error("a", "api-gateway"),
            &["payload.details", "payload.message", "payload.code"],
        ),
        (
            Draft::ack("a", "api-gateway"),
            &["payload.timestamp", "payload.acknowledged_msg_id"],
        ),
    ];
    for (mut draft, fields) in rows {
        for field in fields {
            draft = draft.payload(&field["payload.".len()..], 1);
            cases.push(case(*field, &draft, "INVALID_PAYLOAD", field));
        }
    }
    cases
}
