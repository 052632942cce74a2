//! Frames that repeat get a shape, and few shapes are enough.

use super::super::{Hints, Shapes};
use super::*;

/// Frames like `model` that can be learned from: accepted, and without numbers
/// so large that the second opinion had to decide.
fn some_like(seed: &mut Seed, model: &[u8], variation: Variation, count: usize) -> Vec<Vec<u8>> {
    let mut parser = Parser::default();
    std::iter::repeat_with(|| vary(seed, model, variation))
        .filter(|frame| {
            let header = parser.parse(frame);
            header.is_ok_and(|header| !header.names.in_scratch)
        })
        .take(count)
        .collect()
}

#[test]
fn the_second_frame_of_a_layout_leads_to_a_shape() {
    for message in spellings() {
        let seed = &mut Seed::new(5);
        let frames = some_like(seed, &message, Variation::Ascii, 3);
        let mut harness = Harness::new(Validation::Payload);
        assert_eq!(harness.learn(&frames[0]), Some(LearnOutcome::FirstSighting));
        assert!(!harness.hold(&frames[0], &[]));
        let learned = harness.learn(&frames[1]);
        assert!(
            matches!(learned, Some(LearnOutcome::Shape(_))),
            "{learned:?}"
        );
        assert!(harness.hold(&frames[0], &[]));
        assert!(harness.hold(&frames[1], &[]));
        let again = harness.learn(&frames[1]);
        assert!(matches!(again, Some(LearnOutcome::Known(_))), "{again:?}");
    }
}

#[test]
fn frames_of_the_learned_widths_are_all_recognised() {
    for message in spellings() {
        let seed = &mut Seed::new(5);
        let mut harness = Harness::new(Validation::Payload);
        assert!(harness.teach(&message));
        for frame in some_like(seed, &message, Variation::SameWidth, 200) {
            assert!(harness.hold(&frame, &message), "{}", show(&frame));
        }
    }
}

#[test]
fn a_few_frames_of_varying_widths_are_enough_for_those_that_follow() {
    let (mut held, mut recognized) = (0, 0);
    for (number, message) in spellings().into_iter().enumerate() {
        for (variation, lessons) in [
            (Variation::Ascii, 8),
            (Variation::Valid, 40),
            (Variation::Escaped, 40),
        ] {
            let seed = &mut Seed::new(number as u64);
            let mut harness = Harness::new(Validation::Payload);
            for frame in some_like(seed, &message, variation, lessons) {
                assert!(harness.teach(&frame), "{}", show(&frame));
            }
            for frame in some_like(seed, &message, variation, 300) {
                held += 1;
                recognized += usize::from(harness.hold(&frame, &message));
            }
            assert_eq!(harness.shapes.load().shapes().count(), 1);
        }
    }
    println!("{recognized} of {held} recognised");
    assert!(recognized * 100 >= held * 99, "{recognized} of {held}");
}

#[test]
fn all_messages_at_once_need_one_shape_each() {
    let mut harness = Harness::new(Validation::Payload);
    let messages = spellings();
    let seed = &mut Seed::new(5);
    let lessons: Vec<_> = (messages.iter())
        .map(|message| some_like(seed, message, Variation::Ascii, 10))
        .collect();
    for round in 0..10 {
        for frames in &lessons {
            harness.learn(&frames[round]);
        }
    }
    let kinds: std::collections::HashSet<_> = messages.iter().collect();
    let shapes = harness.shapes.load().shapes().count();
    assert!(shapes <= kinds.len(), "{shapes} for {}", kinds.len());
    for frames in &lessons {
        for frame in frames {
            assert!(harness.hold(frame, &[]));
        }
    }
}

#[test]
fn only_what_was_seen_to_vary_may_vary() {
    let order = compact(MESSAGES[0]);
    let with = |from: &str, to: &str| order.replacen(from, to, 1).into_bytes();
    let values = [
        ("quantower-connector", "q"),
        ("api-gateway", "a gateway"),
        ("run-123", "run-1234"),
        ("ord-456", ""),
        ("BTCUSDT", "ETH"),
        ("0.1", "0.125"),
        ("45000.0", "9.5"),
        ("2026-01-03T12:41:00.000Z", "2026-01-03T12:41:00Z"),
        ("2026-01-03T12:41:00.100Z", "2026-01-03T12:41:00.100+00:00"),
    ];
    for (seen, to) in values {
        let mut harness = Harness::new(Validation::Payload);
        assert!(harness.teach(order.as_bytes()));
        assert!(harness.teach(&with(seen, to)));
        for (from, to) in values {
            assert_eq!(
                harness.hold(&with(from, to), &[]),
                from == seen,
                "{seen}: {to}"
            );
        }
    }
}

#[test]
fn a_thread_that_gets_all_eleven_messages_in_three_spellings_guesses_their_shapes() {
    for variation in [Variation::SameWidth, Variation::Ascii] {
        let seed = &mut Seed::new(5);
        let spellings =
            |message: &&str| [compact(message), (*message).to_owned(), reversed(message)];
        let kinds: Vec<_> = (MESSAGES.iter())
            .flat_map(spellings)
            .map(|message| some_like(seed, message.as_bytes(), variation, 100))
            .collect();
        let shapes = Shapes::new(Validation::Payload);
        let mut parser = Parser::default();
        let mut hints = Hints::default();
        let mut missed = 0;
        for number in 0..10_000 {
            // The first lessons don't count.
            if number == 5_000 {
                missed = 0;
            }
            let frames = &kinds[seed.below(kinds.len())];
            let frame = &frames[seed.below(frames.len())];
            let found = hints.recognize(&shapes.load(), frame, frame.len(), number);
            if found.is_none() {
                missed += 1;
                let header = parser.parse(frame).unwrap();
                hints.note(shapes.learn(frame, &header, number), frame.len());
            }
        }
        assert!(missed < 50, "{missed} of 5,000");
    }
}
