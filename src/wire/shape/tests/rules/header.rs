//! The positions of the header's texts, and the check of a shape before its use.

use super::*;

#[test]
fn finds_the_header_however_often_its_keys_stand_deeper() {
    let decoys = r#""meta":{"msg_id":"x","source":"y","target":"z","payload":{"source":"y","timestamp":"q"},"msg_type":"w"},"list":[{"source":"a"},"source",["target"]],"#;
    let order = order_and(decoys);
    let last = {
        let order = compact(MESSAGES[0]);
        let (envelope, payload) = order.split_once("\"payload\":").unwrap();
        let payload = payload.strip_suffix('}').unwrap();
        let envelope = envelope.strip_prefix('{').unwrap().trim_end_matches(',');
        let payload = payload.replacen('{', &format!("{{{decoys}"), 1);
        format!("{{{decoys}\"payload\":{payload},{envelope}}}")
    };
    let everyone = order.replace("\"target\":\"api-gateway\"", "\"target\":null");
    let nobody = order.replace("\"target\":\"api-gateway\",", "");
    let heartbeat =
        compact(MESSAGES[5]).replace("\"payload\":{", &format!("\"payload\":{{{decoys}"));
    for frame in [order, last, everyone, nobody, heartbeat] {
        for (harness, name) in &mut harnesses(&frame) {
            let seed = &mut Seed::new(11);
            for _ in 0..200 {
                let variation = if *name == "fixed" {
                    Variation::SameWidth
                } else {
                    Variation::Ascii
                };
                let varied = vary(seed, frame.as_bytes(), variation);
                // A name may have come out empty; else it is found.
                let parsed = Parser::default().parse(&varied);
                assert_eq!(
                    harness.hold(&varied, &varied),
                    parsed.is_ok(),
                    "{}",
                    show(&varied)
                );
            }
        }
    }
}

#[test]
fn discards_a_shape_that_finds_another_header_than_the_parser() {
    let frame = compact(MESSAGES[0]).into_bytes();
    let harness = Harness::new(Validation::Payload);
    let right = Parser::default().parse(&frame).unwrap();
    let mut swapped = right;
    (swapped.names.source, swapped.names.target) =
        (right.names.target.unwrap(), Some(right.names.source));
    let mut untargeted = right;
    untargeted.names.target = None;
    let mut other_id = right;
    other_id.msg_id = uuid::Uuid::nil().into();
    for wrong in [swapped, untargeted, other_id] {
        assert_eq!(
            harness.shapes.learn(&frame, &wrong, 0),
            LearnOutcome::FirstSighting
        );
        let learned = harness.shapes.learn(&frame, &wrong, 0);
        assert!(!matches!(
            learned,
            LearnOutcome::Shape(_) | LearnOutcome::Known(_)
        ));
    }
    assert_eq!(harness.shapes.load().shapes().count(), 0);
}

#[test]
fn what_a_lesser_validation_taught_is_its_own() {
    // Where only the envelope is checked, the payload's texts are free …
    let frame = compact(MESSAGES[0]);
    let mut harness = Harness::new(Validation::Envelope);
    assert!(harness.teach(frame.as_bytes()));
    for (from, to) in [
        ("\"event_type\":\"order\"", "\"event_type\":\"wrong\""),
        ("\"received_utc\":\"2026", "\"received_utc\":\"when"),
    ] {
        assert!(knows(&mut harness, with(&frame, from, to)));
        // … and the envelope's are not.
        all_miss(&frame, &[(from, to)]);
    }
    assert!(!knows(
        &mut harness,
        frame.replacen("2026-01-03T", "2026-13-03T", 1)
    ));
    assert!(!knows(
        &mut harness,
        with(&frame, "ingest_event", "ingest_evens")
    ));
    assert!(!knows(&mut harness, frame.replacen("550e", "550g", 1)));
}

#[test]
fn learns_nothing_from_control_messages() {
    for kind in ["hello", "subscribe", "unsubscribe"] {
        let frame = compact(MESSAGES[5]).replacen("heartbeat", kind, 1);
        let mut harness = Harness::new(Validation::Payload);
        for _ in 0..3 {
            assert_eq!(harness.learn(frame.as_bytes()), Some(LearnOutcome::Nothing));
        }
    }
}
