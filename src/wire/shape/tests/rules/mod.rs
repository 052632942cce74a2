//! The ways in which a shape could lie, and the rule against each, a test a way.
//! The harness holds every yes to the parser; these tests name the frames that must
//! get none, and the yeses that the rules must not cost.

use super::*;
use crate::wire::testing::judge;

mod escapes;
mod header;
mod structure;
mod values;

/// Harnesses that know a frame: by it alone, by others with values of other widths,
/// and by others in any script as well.
fn harnesses(frame: &str) -> [(Harness, &'static str); 3] {
    let of = |variations: &[Variation]| {
        let mut harness = Harness::new(Validation::Payload);
        let seed = &mut Seed::new(3);
        assert!(harness.teach(frame.as_bytes()), "{frame}");
        for variation in variations.repeat(24) {
            let varied = vary(seed, frame.as_bytes(), variation);
            harness.teach(&varied);
        }
        harness
    };
    [
        (of(&[]), "fixed"),
        (of(&[Variation::Ascii]), "ascii"),
        (of(&[Variation::Valid]), "valid"),
    ]
}

fn knows(harness: &mut Harness, frame: impl AsRef<[u8]>) -> bool {
    let next = [0, 0, 0, 1, b'"', b'7', b'}', b'}'].repeat(8);
    harness.hold(frame.as_ref(), &next)
}

/// The frame with `from`, which must stand in it once, replaced by `to`.
fn with(frame: &str, from: &str, to: &str) -> String {
    assert_eq!(frame.matches(from).count(), 1, "{from} in {frame}");
    frame.replace(from, to)
}

/// Fails if any harness recognises the frame with one of these changes.
fn all_miss(frame: &str, changes: &[(&str, &str)]) {
    for (mut harness, name) in harnesses(frame) {
        for (from, to) in changes {
            assert!(
                !knows(&mut harness, with(frame, from, to)),
                "{name}: {from} → {to}"
            );
        }
        assert!(knows(&mut harness, frame));
    }
}

/// The order, compact, with these members before the others of the envelope
/// and of `payload_json`.
fn order_and(more: &str) -> String {
    let order = compact(MESSAGES[0]);
    let inner = format!("\"payload_json\":{{{more}");
    let order = with(&order, "\"payload_json\":{", &inner);
    order.replacen('{', &format!("{{{more}"), 1)
}
