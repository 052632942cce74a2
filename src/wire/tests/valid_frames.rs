//! Frames that are checked once: as they are sent, the parser accepts them.

use super::generate::{self, Seed};
use super::{MESSAGES, compact, escaped, order_with, reversed, seeds};
use crate::ids::MsgId;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::testing::valid_frames_are_accepted;
use crate::wire::{ErrorCode, Message, MillisText, ValidFrame};

fn sent(frame: &ValidFrame, id: MsgId) -> String {
    let mut out = Vec::new();
    frame.append(&mut out, id, &MillisText::from_unix_ms(1_767_444_060_000));
    String::from_utf8(out.split_off(FRAME_PREFIX_BYTES)).unwrap()
}

#[test]
fn whatever_is_taken_is_accepted_as_it_is_sent() {
    for json in MESSAGES {
        for json in [
            json.to_owned(),
            compact(json),
            reversed(json),
            escaped(json),
        ] {
            valid_frames_are_accepted(json.as_bytes());
        }
    }
    for seed in seeds(3_000) {
        let mut seed = Seed::new(seed);
        let message = generate::message(&mut seed).into_bytes();
        valid_frames_are_accepted(&message);
        valid_frames_are_accepted(&generate::mutate(&mut seed, message));
    }
}

#[test]
fn each_time_it_is_sent_the_id_and_the_time_are_fresh_and_nothing_else() {
    let order = order_with("2026-01-03T12:41:00.000Z", "2026-01-03T12:41:00.000001Z");
    let frame = ValidFrame::from_json(order.as_bytes()).unwrap();
    let old_id = Message::from_json(order.as_bytes()).unwrap().msg_id;
    for _ in 0..2 {
        let id = MsgId::fresh();
        let (old, new) = ("2026-01-03T12:41:00.000001Z", "2026-01-03T12:41:00.000Z");
        let with_id = order.replacen(old_id.as_str(), id.as_str(), 1);
        assert_eq!(sent(&frame, id), with_id.replacen(old, new, 1));
        assert_eq!(sent(&frame.clone().keeping_timestamp(), id), with_id);
    }
    assert_eq!(frame.json(), order.as_bytes());
}

#[test]
fn what_public_fields_can_hold_and_no_server_accepts_is_refused() {
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    for extra in [&deep, r#""\ud800""#] {
        let json = order_with("{", &format!("{{\"extra\":{extra},"));
        let message = Message::from_json(json.as_bytes()).expect("its reader is more lenient");
        let refused = ValidFrame::new(&message).unwrap_err();
        assert!(refused.code.is_invalid_frame(), "{refused}");
    }
    let subscribe = order_with("ingest_event", "subscribe");
    let refused = ValidFrame::from_json(subscribe.as_bytes());
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidEnvelope);
}
