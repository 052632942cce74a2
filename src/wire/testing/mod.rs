//! The bodies of the fuzz targets as plain functions, the frames they begin with, and
//! the judges. The tests run them thousands of times, a fuzzer without end.
//!
//! A body takes any bytes, and panics if two verdicts differ.

#![cfg_attr(not(test), allow(dead_code, reason = "tests use more of it"))]

mod escapes;
mod filter_judge;
pub(crate) mod filters;
pub(crate) mod generate;
pub(super) mod judge;
mod tree;
pub(crate) mod vary;

use self::filters::FilterHarness;
use self::generate::Seed;
use self::judge::{Refused, judge};
use self::tree::Tree;
use self::vary::{Variation, behind, edit, vary};
use super::shape::Harness;
use super::{
    ErrorCode, FrameError, FrameState, Kind, MillisText, Parser, ValidFrame, Validation,
    frame_state, locate,
};
use crate::ids::MsgId;
use crate::limits::{FILTER_TEXT_BYTES_MAX, FRAME_PREFIX_BYTES};

/// Fails if shapes learned from some frames in `data` and the parser differ. Frames
/// are separated by the byte 0xFF, which is part of none.
pub fn shapes_and_parser_agree(data: &[u8]) {
    for validation in [Validation::Payload, Validation::Envelope] {
        let mut harness = Harness::new(validation);
        let mut at = 0;
        for frame in data.split(|byte| *byte == 0xFF) {
            at += frame.len();
            // Other frames, other seeds.
            let sum = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
            let mut seed = Seed::new(frame.iter().fold(0, sum));
            harness.hold(frame, &data[at..]);
            at = (at + 1).min(data.len());
            if !harness.teach(frame) {
                continue;
            }
            for variation in [
                Variation::SameWidth,
                Variation::Valid,
                Variation::Wild,
                Variation::Escaped,
                Variation::Wild,
            ] {
                let varied = vary(&mut seed, frame, variation);
                harness.hold(&varied, &behind(&mut seed, frame, 0));
                if variation == Variation::Escaped {
                    harness.teach(&varied);
                }
                let edited = edit(&mut seed, varied);
                harness.hold(&edited, &behind(&mut seed, frame, 0));
            }
        }
    }
}

/// Fails if a filter and its judge differ on a frame, by a shape or by a scan. `data` holds the JSON of a `where`, then frames, separated by the byte
/// 0xFF.
pub fn filters_and_judge_agree(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0xFF);
    let conditions = parts.next().and_then(|json| str::from_utf8(json).ok());
    let Some(conditions) = conditions.filter(|json| is_accepted_where(json)) else {
        return;
    };
    let mut harness = FilterHarness::new();
    harness.filter_by([conditions]);
    for frame in parts {
        let sum = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        let mut seed = Seed::new(frame.iter().fold(0, sum));
        harness.hold(frame, &[]);
        harness.hold(frame, data);
        for variation in [
            Variation::SameWidth,
            Variation::Valid,
            Variation::Escaped,
            Variation::Escaped,
            Variation::Wild,
        ] {
            let varied = vary(&mut seed, frame, variation);
            harness.hold(&varied, &behind(&mut seed, frame, 0));
        }
    }
}

/// Returns whether the parser accepts the JSON in a `where`, and it is not too large.
fn is_accepted_where(json: &str) -> bool {
    let frame = format!(
        r#"{{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"subscribe",
            "timestamp":"2026-01-03T12:41:00Z","source":"a","payload":{{"where":{json}}}}}"#
    );
    // The limits have tests of their own.
    let short = json.len() < FILTER_TEXT_BYTES_MAX;
    short && Parser::default().parse(frame.as_bytes()).is_ok()
}

/// Fails if parser and judge differ on the frame `data`.
pub fn parser_and_judge_agree_on(data: &[u8]) {
    let mut parsers = [Validation::Payload, Validation::Envelope].map(Parser::new);
    parser_and_judge_agree(&mut parsers, data);
}

/// Fails if the frames found in the stream `data` as it grows byte by byte are
/// not those that a plain reading finds.
pub fn streams_decode(data: &[u8]) {
    const LIMIT: usize = 512;
    let mut rest = data;
    let mut plain = Vec::new();
    let end = loop {
        let [a, b, c, d, behind @ ..] = rest else {
            break Ok(4 - rest.len());
        };
        let declared = [a, b, c, d]
            .iter()
            .fold(0, |sum, byte| sum * 256 + usize::from(**byte));
        if !(1..=LIMIT).contains(&declared) {
            break Err(declared);
        }
        let Some(frame) = behind.get(..declared) else {
            break Ok(declared - behind.len());
        };
        plain.push(frame);
        rest = &behind[declared..];
    };

    let mut at = 0;
    let mut found = Vec::new();
    let mut last = Ok(4);
    for received in 0..=data.len() {
        let state = frame_state(&data[at..received], LIMIT);
        last = match state {
            Ok(FrameState::Partial { missing }) => Ok(missing),
            Ok(FrameState::Complete { len }) => {
                let start = at + FRAME_PREFIX_BYTES;
                found.push(&data[start..start + len]);
                at = start + len;
                assert_eq!(at, received, "a frame is complete with its last byte");
                Ok(4)
            }
            Err(FrameError::Empty) => Err(0),
            Err(FrameError::TooLarge { declared, .. }) => Err(declared as usize),
            Err(other) => panic!("{other} of a frame that is read"),
        };
        if last.is_err() {
            break;
        }
    }
    assert_eq!(found, plain);
    assert_eq!(last, end);
}

/// Fails if parser and judge differ on `frame` in either mode: the same verdict,
/// header, code, field, id and source. Says whether any accepted it.
pub(super) fn parser_and_judge_agree(parsers: &mut [Parser; 2], frame: &[u8]) -> bool {
    let mut accepted = false;
    for parser in parsers {
        let verdict = parser
            .parse(frame)
            .map(|header| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (
                    header.msg_id.to_string(),
                    header.kind,
                    text(parser.source(frame, &header.names)),
                    parser.target(frame, &header.names).map(text),
                )
            })
            .map_err(|refusal| {
                assert!(refusal.to_string().chars().count() < 400, "{refusal}");
                assert!(
                    locate(frame, &refusal).is_none_or(|at| at <= frame.len()),
                    "{refusal}"
                );
                Refused {
                    code: refusal.code,
                    field: refusal.field.map(std::borrow::Cow::into_owned),
                    msg_id: refusal.msg_id.map(|id| id.to_string()),
                    source: refusal.source.map(|name| name.to_string()),
                }
            });
        let judged = judge(frame, parser.validation());
        // Keys that a refusal shortens or escapes are no concern of the judge.
        let is_shortened = |ours: &Refused, key: &str| {
            let begin = ours
                .field
                .as_deref()
                .and_then(|field| field.strip_suffix('…'));
            begin.is_some_and(|begin| begin.len() >= 80 && key.starts_with(begin))
        };
        let echoes_differ = matches!((&verdict, &judged), (Err(ours), Err(theirs))
            if ours.code == ErrorCode::DuplicateField
                && ours.code == theirs.code
                && theirs.field.as_deref().is_some_and(|key| key.contains(['\\', '\0'])
                    || key.contains(char::is_control) || !key.is_ascii()
                    || is_shortened(ours, key)));
        assert!(
            verdict == judged || echoes_differ,
            "{:?}\nparser {verdict:?}\njudge  {judged:?}",
            String::from_utf8_lossy(frame)
        );
        accepted |= verdict.is_ok();
    }
    accepted
}

/// Fails if a [`ValidFrame`] of the JSON `data`, as it is sent, is not what the parser
/// accepts, or differs from `data` in more than its id and its timestamp.
pub fn valid_frames_are_accepted(data: &[u8]) {
    let mut parser = Parser::new(Validation::Payload);
    let accepted = parser.parse(data);
    let frame = match ValidFrame::from_json(data) {
        Ok(frame) => frame,
        Err(refusal) => {
            let is_control = accepted.is_ok_and(|header| header.kind.is_control());
            assert!(is_control || parser.parse(data).is_err(), "{refusal}");
            return;
        }
    };
    assert!(accepted.is_ok());
    for (frame, keeps_timestamp) in [(frame.clone(), false), (frame.keeping_timestamp(), true)] {
        let (id, mut out) = (MsgId::fresh(), Vec::new());
        let known = frame.append(&mut out, id, &MillisText::from_unix_ms(1_767_444_060_000));
        assert_eq!(known.bytes, out.len());
        let limit = u32::MAX as usize;
        let len = frame.json_bytes();
        assert_eq!(frame_state(&out, limit), Ok(FrameState::Complete { len }));
        let json = &out[FRAME_PREFIX_BYTES..];
        let mut checked = Parser::new(Validation::Payload);
        let header = checked.parse(json).expect("it was valid");
        assert_eq!((header.msg_id, header.kind), (id, frame.kind()));
        if let Some(known) = known.header {
            assert_eq!((known.msg_id, known.kind), (header.msg_id, header.kind));
            assert_eq!(known.names, header.names);
        }
        let text = |json: &[u8]| str::from_utf8(json).expect("it was valid").to_owned();
        let (sent, given) = (Tree::read(&text(json)), Tree::read(&text(data)));
        let differs = |key: &str| sent.first(key) != given.first(key);
        assert_eq!(sent.pointers(), given.pointers());
        for key in ["msg_type", "source", "target", "payload"] {
            assert!(!differs(key), "{key}");
        }
        assert!(!keeps_timestamp || !differs("timestamp"));
    }
}

/// The platform's eleven example messages.
pub(crate) const MESSAGES: [&str; 11] = [
    include_str!("../../../tests/fixtures/messages/01-order-event.json"),
    include_str!("../../../tests/fixtures/messages/02-execution-event.json"),
    include_str!("../../../tests/fixtures/messages/03-market-data-event.json"),
    include_str!("../../../tests/fixtures/messages/04-info-log.json"),
    include_str!("../../../tests/fixtures/messages/05-error-log.json"),
    include_str!("../../../tests/fixtures/messages/06-heartbeat.json"),
    include_str!("../../../tests/fixtures/messages/07-error-message.json"),
    include_str!("../../../tests/fixtures/messages/08-acknowledgment.json"),
    include_str!("../../../tests/fixtures/messages/09-strategy-instance-update.json"),
    include_str!("../../../tests/fixtures/messages/10-oco-group-creation.json"),
    include_str!("../../../tests/fixtures/messages/11-multiple-ingest-events.json"),
];

/// The header for routing: id, kind, source, target.
pub(super) type Routed = (String, Kind, String, Option<String>);

pub(super) fn compact(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    // serde_json sorts keys, which is one more order to be accepted.
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(json).unwrap();
    let mut out = String::new();
    let mut in_string = false;
    let mut escaped = false;
    for c in raw.get().chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).unwrap(),
        value
    );
    out
}

/// The message with the members of every object in reverse.
pub(super) fn reversed(json: &str) -> String {
    fn write(value: &serde_json::Value, out: &mut String) {
        match value.as_object() {
            None => out.push_str(&value.to_string()),
            Some(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().rev().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&format!("{key:?}:"));
                    write(value, out);
                }
                out.push('}');
            }
        }
    }
    let mut out = String::new();
    write(&serde_json::from_str(json).unwrap(), &mut out);
    out
}
