//! The texts that a value may have.

use super::*;

/// A frame with one text and one number that no rule looks into.
fn free(text: &str, number: &str) -> String {
    order_and("")
        .replace("BTCUSDT", text)
        .replace("45000.0", number)
}

#[test]
fn a_string_admits_no_quote_no_backslash_and_no_control_character() {
    let frame = free(
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-------",
        "1.5",
    );
    let texts = ["0123456", "quantower-connector", "api-gateway", "run-123"];
    for (harness, name) in &mut harnesses(&frame) {
        for text in texts {
            let start = frame.find(text).unwrap();
            for at in start..start + text.len() {
                for byte in (0..0x20).chain([b'"', b'\\', 0x7F]) {
                    let mut changed = frame.clone().into_bytes();
                    changed[at] = byte;
                    assert!(!knows(harness, &changed), "{name}: {byte:#x} in {text}");
                    // As one more byte, and right before the closing quote.
                    changed[at] = frame.as_bytes()[at];
                    changed.insert(at + 1, byte);
                    assert!(!knows(harness, &changed), "{name}: {byte:#x} in {text}");
                }
            }
        }
    }
}

#[test]
fn a_string_beyond_ascii_is_utf_8() {
    let frame = free("BTCUSDT", "1.5");
    let [fixed, ascii, valid] = harnesses(&frame);
    for ((mut harness, name), any_script) in [(fixed, false), (ascii, false), (valid, true)] {
        // Before and across the 32 bytes that are looked at together.
        for before in [0, 1, 29, 30, 31, 32, 61] {
            for pair in 0x7F00..=0xFFFF_u16 {
                let [a, b] = pair.to_be_bytes();
                if before > 1 && pair % 7 != 0 {
                    continue;
                }
                let text = [&b"x".repeat(before)[..], &[a, b]].concat();
                let frame = splice(&frame, "BTCUSDT", &text);
                let good = str::from_utf8(&text).is_ok();
                let printable = !(text.contains(&0x7F) || text.contains(&b'"'))
                    && text.iter().all(|byte| *byte >= 0x20 && *byte != b'\\');
                let expected = good && printable && any_script;
                assert_eq!(knows(&mut harness, frame), expected, "{name}: {text:x?}");
            }
        }
        for (text, good) in [
            (&b"\xE2\x82\xAC"[..], true),
            (b"\xE2\x82", false),
            (b"\xC0\xAF", false),
            (b"\xE0\x80\x80", false),
            (b"\xED\xA0\x80", false),
            (b"\xEF\xBF\xBF", true),
            (b"\xF0\x9D\x84\x9E", true),
            (b"\xF0\x80\x80\x80", false),
            (b"\xF4\x8F\xBF\xBF", true),
            (b"\xF4\x90\x80\x80", false),
            (b"\xF8\x88\x80\x80\x80", false),
            (b"\x80", false),
            (b"\xFF", false),
        ] {
            let known = knows(&mut harness, splice(&frame, "BTCUSDT", text));
            assert_eq!(known, good && any_script, "{name}: {text:x?}");
        }
    }
}

fn splice(frame: &str, from: &str, to: &[u8]) -> Vec<u8> {
    let (before, after) = frame.split_once(from).unwrap();
    [before.as_bytes(), to, after.as_bytes()].concat()
}

#[test]
fn a_model_byte_admits_no_others_of_a_class_that_it_is_not_in() {
    // DEL is valid JSON, but nothing that a string position may hold.
    for text in ["BTC\u{7f}SDT", "\u{7f}", "é\u{7f}"] {
        let mut harness = Harness::new(Validation::Payload);
        assert!(!harness.teach(free(text, "1.5").as_bytes()));
        assert_eq!(harness.shapes.load().shapes().count(), 0);
    }
    let order = compact(MESSAGES[0]);
    // The zero bytes behind a fixed part's end stand for nothing.
    for (mut harness, name) in harnesses(&order) {
        for at in 0..order.len() {
            let mut frame = order.clone().into_bytes();
            frame[at] = 0;
            assert!(!knows(&mut harness, &frame), "{name}: {at}");
        }
    }
}

#[test]
fn a_number_of_known_width_begins_with_no_zero_that_others_follow() {
    for (model, same, others) in [
        (
            "10",
            &["99", "11"][..],
            &["00", "07", "-1", "1e", "1.", "1 "][..],
        ),
        ("-10", &["-99"], &["-00", "-07", "110", "--1"]),
        ("0", &["7", "0"], &["-", "a", " ", "."]),
        ("-0", &["-7"], &["00", "01", "--"]),
        ("0.50", &["9.99"], &["00.5", "0.5-", ".500", "0..5", "05.0"]),
        ("10.5", &["99.9"], &["00.5", "09.5", "1.05"]),
        ("-10.5", &["-99.9"], &["-00.5", "-09.5"]),
        ("1e10", &["9e00", "0e99"], &["1e1e", "1e+1", "01e1"]),
        ("10E-5", &["99E-0"], &["00E-5", "10E+5", "10e-5"]),
        ("100", &["999"], &["010", "000", "1e0", "1.0"]),
    ] {
        let frame = free("x", model);
        let mut harness = Harness::new(Validation::Payload);
        assert!(harness.teach(frame.as_bytes()));
        for number in same {
            assert!(knows(&mut harness, free("x", number)), "{model}: {number}");
        }
        for number in others {
            assert!(!knows(&mut harness, free("x", number)), "{model}: {number}");
        }
    }
}

#[test]
fn a_number_of_any_width_follows_the_grammar_and_nothing_else() {
    let mut harness = Harness::new(Validation::Payload);
    for number in ["1", "22", "-4.5"] {
        assert!(harness.teach(free("x", number).as_bytes()));
    }
    let mut exactly = |number: &str| {
        let follows = judge::follows_grammar(number);
        assert_eq!(knows(&mut harness, free("x", number)), follows, "{number}");
    };
    // Every text of up to six of these.
    const ALPHABET: [&str; 7] = ["0", "1", "-", "+", ".", "e", "E"];
    let mut texts = vec![String::new()];
    for _ in 0..6 {
        texts = (texts.iter())
            .flat_map(|text| ALPHABET.map(|more| format!("{text}{more}")))
            .collect();
        texts.iter().for_each(|text| exactly(text));
    }
    // About the 32 bytes that are looked at together.
    for whole in (1..=3).chain(28..=36).chain(60..=70) {
        for rest in ["", ".", ".5", "e5", ".5e-5", "e", "e+", ".e5", ".5.5", "-"] {
            for sign in ["", "-", "+"] {
                exactly(&format!("{sign}{}{rest}", "7".repeat(whole)));
                exactly(&format!("{sign}0{}{rest}", "7".repeat(whole)));
                exactly(&format!("{sign}7.{}{rest}", "0".repeat(whole)));
                exactly(&format!("{sign}7e{}{rest}", "0".repeat(whole)));
            }
        }
    }
}

#[test]
fn a_date_and_a_time_exist() {
    let frame = compact(MESSAGES[0]);
    let at = |time: &str| frame.replace("2026-01-03T12:41:00.000Z", time);
    for (harness, name) in &mut harnesses(&frame) {
        let mut exactly = |time: String| {
            let expected = judge::is_timestamp(&time);
            assert_eq!(knows(harness, at(&time)), expected, "{name}: {time}");
        };
        for year in [0, 1900, 2000, 2023, 2024, 2100, 2400, 9999] {
            for month in 0..=20 {
                for day in 0..=39 {
                    exactly(format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z"));
                }
            }
        }
        for two in 0..100 {
            exactly(format!("2026-{two:02}-28T00:00:00.000Z"));
            exactly(format!("2026-01-{two:02}T00:00:00.000Z"));
            exactly(format!("2026-01-28T{two:02}:00:00.000Z"));
            exactly(format!("2026-01-28T00:{two:02}:00.000Z"));
            exactly(format!("2026-01-28T00:00:{two:02}.000Z"));
        }
    }
}

#[test]
fn second_60_is_known_only_where_a_leap_second_can_be() {
    let frame = compact(MESSAGES[0]);
    for (model, leaps) in [
        ("2016-12-31T23:59:59.000Z", "2016-12-31T23:59:60.000Z"),
        ("1998-12-31T15:59:59-08:00", "1998-12-31T15:59:60-08:00"),
        ("2017-01-01T05:29:59.5+05:30", "2017-01-01T05:29:60.5+05:30"),
    ] {
        let at = |time: &str| frame.replace("2026-01-03T12:41:00.000Z", time);
        // A value that varies in its width is checked in full.
        let [fixed, ascii, valid] = harnesses(&at(model));
        for ((mut harness, name), in_full) in [(fixed, false), (ascii, true), (valid, true)] {
            assert!(knows(&mut harness, at(model)), "{name}: {model}");
            assert_eq!(knows(&mut harness, at(leaps)), in_full, "{name}: {leaps}");
            for minute in 0..24 * 60 {
                let time = format!("{:02}:{:02}:60", minute / 60, minute % 60);
                let time = format!("{}{time}{}", &leaps[..11], &leaps[19..]);
                let good = judge::is_timestamp(&time);
                let known = knows(&mut harness, at(&time));
                assert_eq!(known, good && in_full, "{name}: {time}");
            }
        }
    }
    // A shape can't be learned of it where its width is fixed: the parser
    // decides.
    let leap = frame.replace("2026-01-03T12:41:00.000Z", "2016-12-31T23:59:60.000Z");
    let mut harness = Harness::new(Validation::Payload);
    assert!(!harness.teach(leap.as_bytes()));
}

#[test]
fn a_fraction_or_an_offset_that_changed_is_checked_in_full_or_missed() {
    let frame = compact(MESSAGES[0]).replace(".000Z", ".5+05:30");
    let [fixed, ascii, valid] = harnesses(&frame);
    for ((mut harness, name), any) in [(fixed, false), (ascii, true), (valid, true)] {
        for tail in [
            ".6+05:30",
            ".5+05:31",
            ".5-05:30",
            ".5+25:30",
            ".5+23:59",
            ".5+05:60",
            ".5+24:00",
            ".5+05-30",
            ".5+0530",
            ".5+05:3",
            "Z",
            "z",
            "",
            ".Z",
            ".",
            ".5",
            ".5ZZ",
            ".5 Z",
            ".123456789012345678901234567890123456Z",
            "+00:00",
            ".5Z+05:30",
            ",5+05:30",
            "é",
        ] {
            let frame = frame.replace(".5+05:30", tail);
            let good = judge::is_timestamp(&format!("2026-01-03T12:41:00{tail}"));
            let known = knows(&mut harness, &frame);
            let expected = good && (any || tail == ".6+05:30");
            assert_eq!(known, expected, "{name}: {tail}");
        }
        let model = "2026-01-03T12:41:00.5+05:30";
        for at in 0..model.len() {
            for byte in b"0123456789TZtz+-:. \x7f\"" {
                let mut time = model.as_bytes().to_vec();
                time[at] = *byte;
                let time = String::from_utf8(time).unwrap();
                let good = judge::is_timestamp(&time);
                let known = knows(&mut harness, frame.replacen(model, &time, 1));
                assert!(good || !known, "{name}: {time}");
                assert!(known || !good || !any, "{name}: {time}");
            }
        }
    }
}

#[test]
fn an_id_is_a_uuid_and_a_text_that_looks_like_one_is_a_text() {
    let id = "550e8400-e29b-41d4-a716-446655440000";
    let ack = compact(MESSAGES[7]);
    let order = compact(MESSAGES[0]).replace("ord-456", "550e8400-e29b-41d4-a716-446655440999");
    let order = order.replace("BTCUSDT", "2026-01-03T12:41:07Z");
    for frame in [&ack, &order] {
        for (harness, name) in &mut harnesses(frame) {
            let first = frame.find("550e8400").unwrap();
            for at in first..first + id.len() {
                for byte in 0..=u8::MAX {
                    let mut frame = frame.clone().into_bytes();
                    frame[at] = byte;
                    let hyphen = id.as_bytes()[at - first] == b'-';
                    let good = if hyphen {
                        byte == b'-'
                    } else {
                        byte.is_ascii_hexdigit()
                    };
                    assert_eq!(knows(harness, &frame), good, "{name}: {byte:#x}");
                }
            }
            assert!(!knows(harness, frame.replacen(id, &id[1..], 1)));
            assert!(!knows(harness, frame.replacen(id, &format!("{id}0"), 1)));
        }
    }
    let acknowledged = ack.rfind("550e8400").unwrap();
    for (harness, _) in &mut harnesses(&ack) {
        let mut frame = ack.clone().into_bytes();
        frame[acknowledged] = b'g';
        assert!(!knows(harness, &frame));
    }
    for (harness, name) in &mut harnesses(&order) {
        for (from, to) in [
            (
                "550e8400-e29b-41d4-a716-446655440999",
                "not any UUID, but 36 characters wide",
            ),
            ("2026-01-03T12:41:07Z", "no timestamp is here"),
            ("2026-01-03T12:41:07Z", "2026-99-99T99:99:99X"),
        ] {
            assert!(knows(harness, with(&order, from, to)), "{name}: {to}");
        }
    }
}

#[test]
fn a_name_keeps_its_length_and_its_characters() {
    let frame = compact(MESSAGES[0]);
    for (mut harness, name) in harnesses(&frame) {
        for old in ["quantower-connector", "api-gateway"] {
            for bytes in 0..=140 {
                let frame = with(&frame, old, &"n".repeat(bytes));
                let expected =
                    (1..=128).contains(&bytes) && (name != "fixed" || bytes == old.len());
                assert_eq!(knows(&mut harness, frame), expected, "{name}: {bytes}");
            }
            for c in ('\u{7e}'..='\u{a1}').chain(['é', '注', '𝄞', '\u{2028}']) {
                let frame = with(&frame, old, &format!("a{c}"));
                let expected = !c.is_control() && name != "fixed";
                assert_eq!(knows(&mut harness, frame), expected, "{name}: {c:?}");
            }
            assert!(!knows(&mut harness, with(&frame, old, &"é".repeat(65))));
            let most = knows(&mut harness, with(&frame, old, &"é".repeat(64)));
            assert_eq!(most, name != "fixed");
        }
    }
}
