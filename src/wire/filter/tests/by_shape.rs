//! Values by the shape that recognised a frame.

use super::*;
use crate::wire::{Hints, Shapes, Table, Validation};

fn bar(symbol: &str, close: &str) -> Vec<u8> {
    event(&format!(
        r#"{{"symbol":"{symbol}","close":{close},"live":true,"bids":[1,2]}}"#
    ))
    .into_bytes()
}

/// Shapes that know bars of these symbols.
fn knowing(symbols: &[&str]) -> Shapes {
    let shapes = Shapes::new(Validation::Payload);
    for symbol in symbols {
        let frame = bar(symbol, "1.5");
        let header = Parser::default().parse(&frame).unwrap();
        shapes.learn(&frame, &header, 0);
    }
    shapes
}

/// Recognises the frame by the one shape that there is.
fn recognized(hints: &mut Hints, shapes: &Shapes, frame: &[u8]) -> bool {
    let learned = {
        let header = Parser::default().parse(frame).unwrap();
        shapes.learn(frame, &header, 0)
    };
    hints.note(learned, frame.len());
    hints
        .recognize(&shapes.load(), frame, frame.len(), 0)
        .is_some()
}

#[test]
fn says_where_values_stand_of_the_frame_recognised_last_only() {
    let shapes = knowing(&["BTCUSDT", "BTCUSDT"]);
    let other = knowing(&["BTCUSDT", "BTCUSDT"]);
    let mut hints = Hints::default();
    let frame = bar("ETHUSDT", "2.5");
    assert!(hints.slots(&shapes.load(), frame.len()).is_none());
    assert!(recognized(&mut hints, &shapes, &frame));
    assert!(hints.slots(&shapes.load(), frame.len()).is_some());
    let is_found = |hints: &Hints, table: &Table| {
        let slots = hints.slots(table, frame.len());
        slots.is_some_and(|slots| slots.shape().is_some())
    };
    // A shape of another server, at the same place of its table.
    assert!(!is_found(&hints, &other.load()));
    // One that takes its place.
    let table = shapes.load();
    let longer = bar("BTCUSDTPERP", "100.25");
    let header = Parser::default().parse(&longer).unwrap();
    shapes.learn(&longer, &header, 0);
    assert!(is_found(&hints, &table));
    assert!(!is_found(&hints, &shapes.load()));
    // A frame that none recognises.
    let mut wrong = frame.clone();
    wrong[0] = b'[';
    assert!(hints.recognize(&table, &wrong, wrong.len(), 0).is_none());
    assert!(hints.slots(&table, wrong.len()).is_none());
}

#[test]
fn values_follow_a_shape_that_is_widened_and_probes_that_change() {
    let shapes = knowing(&["BTCUSDT"]);
    let (mut hints, mut values) = (Hints::default(), Values::default());
    let names = [
        "/payload/payload_json/symbol",
        "/payload/payload_json/close",
        "msg_type",
    ];
    let probe = Probe::new(names.map(|name| Field::parse(name).unwrap()));
    let other = Probe::new([Field::parse("/payload/payload_json/live").unwrap()]);
    for (symbol, close) in [
        ("BTCUSDT", "1.5"),
        ("ETHUSDT", "2.5"),
        ("X", "2.5"),
        ("XRPUSDTPERP", "12345.678"),
        ("", "0"),
    ] {
        let frame = bar(symbol, close);
        assert!(recognized(&mut hints, &shapes, &frame));
        let table = shapes.load();
        let slots = hints.slots(&table, frame.len());
        assert!(slots.is_some());
        for _ in 0..2 {
            let view = values.read(&probe, &frame, slots);
            assert_eq!(view.get(0), Some(Value::Text(symbol.as_bytes())));
            assert_eq!(view.get(1), Some(Value::Number(close.as_bytes())));
            assert_eq!(view.get(2), Some(Value::Text(b"ingest_event")));
            assert_eq!(view.get(3), None);
            let view = values.read(&other, &frame, slots);
            assert_eq!(view.get(0), Some(Value::Bool(true)));
        }
    }
}
