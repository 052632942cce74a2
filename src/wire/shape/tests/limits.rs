//! The limits of the shapes.

use super::super::Hints;
use super::*;
use crate::limits::{
    LAYOUTS_SEEN_MAX, SHAPE_BYTES_MAX, SHAPE_FRAME_BYTES_MAX, SHAPE_VARIABLES_MAX, SHAPES_MAX,
};

/// The order with another member in it.
fn order_with(key: &str, value: &str) -> Vec<u8> {
    let more = format!("\"payload_json\":{{\"{key}\":{value},");
    let order = compact(MESSAGES[0]).replacen("\"payload_json\":{", &more, 1);
    order.into_bytes()
}

/// An order of a layout of its own.
fn order_number(number: usize) -> Vec<u8> {
    order_with(&format!("key-{number:05}"), "1")
}

#[test]
fn learns_and_recognises_frames_of_up_to_4_kib() {
    let filled = |bytes: usize| {
        let without = order_with("filler", "\"\"").len();
        order_with("filler", &format!("\"{}\"", "x".repeat(bytes - without)))
    };
    let mut harness = Harness::new(Validation::Payload);
    assert!(harness.teach(&filled(SHAPE_FRAME_BYTES_MAX)));
    assert!(harness.teach(&filled(1_000)));
    assert!(harness.hold(&filled(2_000), &[]));
    let longer = filled(SHAPE_FRAME_BYTES_MAX + 1);
    assert!(!harness.hold(&longer, &[]));
    assert!(!harness.hold(&longer, &[b'x'; 100]));
    assert_eq!(harness.learn(&longer), Some(LearnOutcome::Nothing));
    assert!(!harness.hold(&filled(10_000), &[]));
}

#[test]
fn sixty_four_values_may_vary() {
    let list = |long: usize| {
        let numbers: Vec<_> = (0..80)
            .map(|at| if at < long { "22" } else { "1" })
            .collect();
        order_with("list", &format!("[{}]", numbers.join(",")))
    };
    let mut harness = Harness::new(Validation::Payload);
    assert!(harness.teach(&list(0)));
    assert!(harness.teach(&list(SHAPE_VARIABLES_MAX)));
    let largest = |harness: &Harness| {
        let table = harness.shapes.load();
        let blocks = table.shapes().map(|shape| shape.blocks.len());
        blocks.max().unwrap_or(0) * size_of::<super::super::Block>()
    };
    assert!(largest(&harness) <= SHAPE_BYTES_MAX);
    // One more would be too many, and costs nothing that was known.
    assert_eq!(
        harness.learn(&list(SHAPE_VARIABLES_MAX + 1)),
        Some(LearnOutcome::Nothing)
    );
    assert!(!harness.hold(&list(SHAPE_VARIABLES_MAX + 1), &[]));
    for long in 0..=SHAPE_VARIABLES_MAX {
        assert!(harness.hold(&list(long), &[]), "{long}");
    }
}

#[test]
fn the_shape_that_was_unused_for_longest_makes_room() {
    let mut harness = Harness::new(Validation::Payload);
    let mut known = Vec::new();
    for number in 0..SHAPES_MAX {
        let frame = order_number(number);
        harness.learn(&frame);
        let learned = harness.learn(&frame).unwrap();
        assert!(matches!(learned, LearnOutcome::Shape(_)), "{learned:?}");
        known.push((learned, frame));
    }
    let late = 1_000_000;
    let mut hints = Hints::default();
    let table = harness.shapes.load();
    for (number, (learned, frame)) in known.iter().enumerate() {
        hints.note(*learned, frame.len());
        if number != 77 && number != 78 {
            let found = hints.recognize(&table, frame, frame.len(), late);
            assert!(found.is_some());
        }
    }
    drop(table);
    for (number, forgotten) in [(1_000, 77), (1_001, 78)] {
        // A new shape counts as used.
        let frame = order_number(number);
        let header = harness.parser.parse(&frame).unwrap();
        assert_eq!(
            harness.shapes.learn(&frame, &header, late),
            LearnOutcome::FirstSighting
        );
        let learned = harness.shapes.learn(&frame, &header, late);
        assert!(matches!(learned, LearnOutcome::Shape(_)));
        assert_eq!(harness.shapes.load().shapes().count(), SHAPES_MAX);
        assert!(harness.hold(&frame, &[]));
        assert!(!harness.hold(&known[forgotten].1, &[]));
    }
    for (number, (_, frame)) in known.iter().enumerate() {
        assert_eq!(
            harness.hold(frame, &[]),
            number != 77 && number != 78,
            "{number}"
        );
    }
    // A forgotten shape is learned anew.
    assert_eq!(
        harness.learn(&known[77].1),
        Some(LearnOutcome::FirstSighting)
    );
}

#[test]
fn a_stale_hint_only_misses() {
    let mut harness = Harness::new(Validation::Payload);
    let known = order_number(0);
    harness.learn(&known);
    let learned = harness.learn(&known).unwrap();
    let mut hints = Hints::default();
    hints.note(learned, known.len());
    // Another server's shapes: none, or another at that index.
    let mut other = Harness::new(Validation::Envelope);
    let nothing = hints.recognize(&other.shapes.load(), &known, known.len(), 0);
    assert!(nothing.is_none());
    assert!(other.teach(&order_number(1)));
    let nothing = hints.recognize(&other.shapes.load(), &known, known.len(), 0);
    assert!(nothing.is_none());
    let found = hints.recognize(&harness.shapes.load(), &known, known.len(), 0);
    assert!(found.is_some());
}

#[test]
fn sixty_four_layouts_seen_once_are_remembered() {
    let mut harness = Harness::new(Validation::Payload);
    for number in 0..LAYOUTS_SEEN_MAX {
        assert_eq!(
            harness.learn(&order_number(number)),
            Some(LearnOutcome::FirstSighting)
        );
    }
    let second = harness.learn(&order_number(0));
    assert!(matches!(second, Some(LearnOutcome::Shape(_))));
    // Room for one was made by that; the second one more takes the oldest's.
    for number in [1_000, 1_001] {
        assert_eq!(
            harness.learn(&order_number(number)),
            Some(LearnOutcome::FirstSighting)
        );
    }
    assert_eq!(
        harness.learn(&order_number(1)),
        Some(LearnOutcome::FirstSighting)
    );
    let kept = harness.learn(&order_number(5));
    assert!(matches!(kept, Some(LearnOutcome::Shape(_))));
}
