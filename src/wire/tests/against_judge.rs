//! The parser against the judge: the same verdict, header, code, field, id and
//! source for every frame.

use super::generate::{Seed, message, mutate};
use super::*;
use crate::wire::testing::parser_and_judge_agree as agree_on;

fn parsers() -> [Parser; 2] {
    [Validation::Payload, Validation::Envelope].map(Parser::new)
}

#[test]
fn agrees_on_generated_messages() {
    let mut parsers = parsers();
    let mut accepted = 0;
    for seed in seeds(20_000) {
        let frame = message(&mut Seed::new(seed));
        accepted += u64::from(agree_on(&mut parsers, frame.as_bytes()));
    }
    // The generator must reach both sides of every rule.
    let share = accepted * 100 / seeds(20_000).end;
    assert!((20..80).contains(&share), "{share} %");
}

#[test]
fn agrees_on_mutated_messages() {
    let mut parsers = parsers();
    for number in seeds(40_000) {
        let seed = &mut Seed::new(number ^ 0xA5A5);
        let frame = if seed.once_in(4) {
            MESSAGES[seed.below(MESSAGES.len())].to_owned()
        } else {
            message(seed)
        };
        let frame = mutate(seed, frame.into_bytes());
        agree_on(&mut parsers, &frame);
    }
}

#[test]
fn agrees_on_every_byte_at_every_place_of_a_small_message() {
    let frame = br#"{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"heartbeat","timestamp":"2026-01-03T12:41:00.0Z","source":"\u0061","n":[-1.5e+3,true],"payload":{"status":"","timestamp":"2026-01-03T12:41:00+00:00"}}"#;
    let mut parsers = parsers();
    assert!(agree_on(&mut parsers, frame));
    for at in 0..frame.len() {
        for byte in 0..=u8::MAX {
            let mut frame = frame.to_vec();
            frame[at] = byte;
            agree_on(&mut parsers, &frame);
        }
        agree_on(&mut parsers, &frame[..at]);
        agree_on(&mut parsers, &frame[at..]);
    }
}

#[test]
fn agrees_on_every_scalar_before_every_byte() {
    let mut parsers = parsers();
    for scalar in [
        "0",
        "-0",
        "-",
        "1",
        "01",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e5",
        "1E+5",
        "1e400",
        "-1e-400",
        "1234567890123456789012345",
        "12345678.12345678",
        "0.12345678",
        "true",
        "false",
        "null",
        "tru",
        "nul",
        "nulL",
        "\"\"",
        "\"\\ud800\"",
        "\"\\ud800\\udc00\"",
        "[]",
        "{}",
        "[1,]",
        "{\"a\":1,}",
        "NaN",
        "Infinity",
    ] {
        for byte in 0..=u8::MAX {
            for (before, after) in [("{\"a\":", "}"), ("{\"a\":[", "]}"), ("", "")] {
                let mut frame = before.as_bytes().to_vec();
                frame.extend_from_slice(scalar.as_bytes());
                frame.push(byte);
                frame.extend_from_slice(after.as_bytes());
                agree_on(&mut parsers, &frame);
            }
        }
    }
}

#[test]
fn agrees_with_chrono_on_mutated_timestamps() {
    for number in seeds(100_000) {
        let seed = &mut Seed::new(number);
        let text = seed.pick(&[
            "2026-01-03T12:41:00.000Z",
            "2024-02-29T05:29:60.123456789012+05:30",
            "2024-02-29T23:59:60Z",
            "1998-12-31T15:59:60-08:00",
            "1999-12-31t00:00:00-23:59",
        ]);
        let mut text = text.as_bytes().to_vec();
        for _ in 0..=seed.below(3) {
            let at = seed.below(text.len());
            match seed.below(4) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, b"0123456789-+:.TtZz "[seed.below(19)]),
                _ => text[at] = b"0123456789-+:.TtZz "[seed.below(19)],
            }
            if text.is_empty() {
                break;
            }
        }
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            crate::wire::rules::is_timestamp(text.as_bytes()),
            judge::is_timestamp(&text),
            "{text}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn agrees_on_any_bytes(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        agree_on(&mut parsers(), &frame);
    }

    #[test]
    fn agrees_on_any_text_as_source(source in "\\PC{0,40}|.{0,140}") {
        let frame = order_with("\"quantower-connector\"", &serde_json::to_string(&source).unwrap());
        agree_on(&mut parsers(), frame.as_bytes());
    }
}
