//! The values that may have escapes, and those that may not.

use super::*;

/// A harness that knows the order with escapes in its symbol.
fn taught(order: &str) -> Harness {
    let mut harness = Harness::new(Validation::Payload);
    assert!(harness.teach(order.as_bytes()));
    let escaped = with(order, "BTCUSDT", r"BTC\/USDT");
    assert!(harness.teach(escaped.as_bytes()));
    harness
}

#[test]
fn learns_nothing_from_an_escape_outside_a_free_text() {
    let (order, log) = (compact(MESSAGES[0]), compact(MESSAGES[3]));
    for (message, from, to) in [
        (&order, "quantower", r"\u0071uantower"),
        (&order, "api-gateway", r"api\u002dgateway"),
        (&order, "\"symbol\"", r#""s\u0079mbol""#),
        (&order, "\"source\"", r#""s\u006furce""#),
        (&order, "\"ingest_event\"", r#""ingest\u005fevent""#),
        (&order, "\"order\"", r#""\u006frder""#),
        (&order, "41:00.000Z", r"41:00.00\u0030Z"),
        (&order, "41:00.100Z", r"41:00.100\u005a"),
        (&order, "550e8400", r"550e840\u0030"),
        (&log, "\"INFO\"", r#""INF\u004f""#),
    ] {
        let frame = match message.matches(from).count() {
            1 => with(message, from, to),
            _ => message.replacen(from, to, 1),
        };
        assert!(Parser::default().parse(frame.as_bytes()).is_ok(), "{frame}");
        let mut harness = Harness::new(Validation::Payload);
        for _ in 0..3 {
            let learned = harness.learn(frame.as_bytes());
            assert_eq!(learned, Some(LearnOutcome::Nothing), "{frame}");
        }
        // Nor does a shape that was learned from other frames take it.
        for (mut harness, name) in harnesses(message) {
            assert!(!knows(&mut harness, &frame), "{name}: {frame}");
        }
        if message == &order {
            assert!(!knows(&mut taught(&order), &frame), "{frame}");
        }
    }
}

#[test]
fn a_text_admits_an_escape_once_it_has_had_one() {
    let order = compact(MESSAGES[0]);
    let values = ["BTCUSDT", "ord-456", "run-123"];
    for seen in values {
        let mut harness = Harness::new(Validation::Payload);
        assert!(harness.teach(order.as_bytes()));
        for value in values {
            assert!(!knows(&mut harness, with(&order, value, r"a\nb")));
        }
        assert!(harness.teach(with(&order, seen, r"a\nb").as_bytes()));
        for value in values {
            let known = knows(&mut harness, with(&order, value, r"\u0041\\"));
            assert_eq!(known, value == seen, "{value}");
        }
        // Those without are known as before, in any script.
        for text in ["", "ETHUSDT", "注文", &"x".repeat(100)] {
            assert!(knows(&mut harness, with(&order, seen, text)), "{text}");
        }
    }
    all_miss(&order, &[("BTCUSDT", r"\\"), ("BTCUSDT", r#"\""#)]);
}

#[test]
fn a_frame_of_which_the_first_has_escapes_is_learned_at_its_second_sighting() {
    let order = compact(MESSAGES[0]);
    let mut harness = Harness::new(Validation::Payload);
    for (text, outcome) in [(r"\t", "first"), (r#"a \"b\" c"#, "shape"), ("x", "known")] {
        let frame = with(&order, "BTCUSDT", text);
        let learned = harness.learn(frame.as_bytes());
        let is_expected = match outcome {
            "first" => learned == Some(LearnOutcome::FirstSighting),
            "shape" => matches!(learned, Some(LearnOutcome::Shape(_))),
            _ => matches!(learned, Some(LearnOutcome::Known(_))),
        };
        assert!(is_expected, "{text}: {learned:?}");
    }
    assert_eq!(harness.shapes.load().shapes().count(), 1);
}

#[test]
fn admits_the_escapes_that_the_parser_admits_at_every_distance() {
    let order = compact(MESSAGES[0]);
    let mut harness = taught(&order);
    let texts = [
        (r#"\"\\\/\b\f\n\r\t"#, true),
        (r"\u0000", true),
        (r"\u00aB\uFfFf", true),
        (r"\ud834\udd1e", true),
        (r"\uDBFF\uDFFF", true),
        (r"é\né", true),
        ("\\\\", true),
        (r#"\\\""#, true),
        (r"\", false),
        (r"\\\", false),
        (r"\x41", false),
        (r"\U0041", false),
        (r"\u", false),
        (r"\u004", false),
        (r"\u004g", false),
        (r"\ud834", false),
        (r"\udd1e", false),
        (r"\udd1e\ud834", false),
        (r"\ud834\ud834", false),
        (r"\ud834\n", false),
        (r"\ud834x\udd1e", false),
        (r"\ud834\udd1", false),
        ("\\\u{e9}", false),
        ("\\n\u{1}", false),
        (r#"\\""#, false),
    ];
    for before in 0..70 {
        for (text, good) in texts {
            for behind in ["", "y", "é", r"\u20ac"] {
                let text = format!("{}{text}{behind}", "x".repeat(before));
                let frame = with(&order, "BTCUSDT", &text);
                let is_accepted = Parser::default().parse(frame.as_bytes()).is_ok();
                let known = knows(&mut harness, &frame);
                assert_eq!(known, is_accepted, "{text}");
                assert!(!good || known, "{text}");
                assert!(good || !behind.is_empty() || !known, "{text}");
            }
        }
        // Behind an escape the text is still UTF-8.
        let text = [&b"x".repeat(before)[..], b"\\n\xC3\xA9\xC3"].concat();
        let (front, rest) = order.split_once("BTCUSDT").unwrap();
        let frame = [front.as_bytes(), &text, rest.as_bytes()].concat();
        assert!(!knows(&mut harness, frame));
    }
}

#[test]
fn gives_no_slots_of_a_frame_with_escapes() {
    use super::super::super::Hints;

    let order = compact(MESSAGES[0]);
    let harness = taught(&order);
    let table = harness.shapes.load();
    let mut hints = Hints::default();
    let frames = [r"ETH\/USDT", "ETHUSDT", "BTC\\u0055SDT", "BTCUSDT"];
    let header = Parser::default().parse(order.as_bytes()).unwrap();
    for text in frames.iter().chain(&frames) {
        let frame = with(&order, "BTCUSDT", text).into_bytes();
        hints.note(
            harness.shapes.learn(order.as_bytes(), &header, 0),
            frame.len(),
        );
        let found = hints.recognize(&table, &frame, frame.len(), 0);
        assert!(found.is_some(), "{text}");
        let slots = hints.slots(&table, frame.len());
        assert_eq!(slots.is_some(), !text.contains('\\'), "{text}");
    }
}
