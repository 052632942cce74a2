//! The promises of filters.

use super::*;
use crate::wire::Parser;
use crate::wire::request::tests::{accepted, filter};
use crate::wire::tests::ID;

mod against_judge;
mod by_shape;
mod operators;
mod reading;
mod value_map;

/// A broadcast with this payload, which need not be valid otherwise.
fn event(payload_json: &str) -> String {
    format!(
        r#"{{"msg_id":"{ID}","msg_type":"ingest_event","timestamp":"2026-01-03T12:41:00Z",
            "source":"feed","payload":{{"run_id":"r","event_type":"market_data",
            "event_utc":"2026-01-03T12:41:00Z","received_utc":"2026-01-03T12:41:00Z",
            "payload_json":{payload_json}}}}}"#
    )
}

/// Returns whether the filter matches the frame, which is read for it alone.
fn matches(filter: &Filter, frame: &str) -> bool {
    let fields = filter
        .conditions()
        .iter()
        .map(|condition| condition.field().clone());
    let probe = Probe::new(fields);
    let mut values = Values::default();
    let view = values.read(&probe, frame.as_bytes(), None);
    filter.matches(|field| view.get(probe.position(field).unwrap()))
}
