//! What filters promise.

use super::*;
use crate::wire::tests::ID;
use crate::wire::{ErrorCode, Kind, Parser, Refusal};

mod against_judge;
mod by_shape;
mod operators;
mod reading;
mod requests;
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

/// The parser accepts it.
fn accepted(frame: &str) -> Kind {
    let header = Parser::default().parse(&mut frame.to_owned().into_bytes());
    header
        .unwrap_or_else(|refusal| panic!("{refusal}: {frame}"))
        .kind
}

/// Reads a `subscribe` with these members, as the parser would pass it on.
fn subscribe(members: &str) -> Result<SubscribeRequest, Refusal> {
    let frame = control("subscribe", members);
    assert_eq!(accepted(&frame), Kind::Subscribe);
    SubscribeRequest::read(frame.as_bytes())
}

fn control(msg_type: &str, members: &str) -> String {
    format!(
        r#"{{"msg_id":"{ID}","msg_type":"{msg_type}","timestamp":"2026-01-03T12:41:00Z",
            "source":"tool","payload":{{{members}}}}}"#
    )
}

/// The filter of these conditions.
fn filter(conditions: &str) -> Filter {
    let request = subscribe(&format!(r#""id":"a","where":[{conditions}]"#));
    request
        .unwrap_or_else(|refusal| panic!("{refusal}: {conditions}"))
        .filter
}

/// Whether the filter matches the frame, which is read for it alone.
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
