//! Every message is accounted for, whatever arrives.

use serde_json::json;

use super::*;
use crate::load::Place;
use crate::load::tests::{frame as message, load};
use crate::messages::{Example, Selection};
use crate::protocol::Acks;

const FENCE: &str = "550e8400-e29b-41d4-a716-446655440000";

fn orders() -> Load {
    load(&Selection::One(Example::Order), 1, 1, false)
}

fn answers(load: &Load, acks: Acks) -> Answers<'_> {
    Answers::new(load, 0, "tickwire".to_owned(), acks, Some(FENCE.to_owned()))
}

fn id(load: &Load, index: usize) -> String {
    let value: serde_json::Value = serde_json::from_slice(message(load, 0, index)).unwrap();
    value["msg_id"].as_str().unwrap().to_owned()
}

fn frame(msg_type: &str, payload: &serde_json::Value) -> Vec<u8> {
    json!({"msg_type": msg_type, "source": "tickwire", "payload": payload})
        .to_string()
        .into_bytes()
}

fn ack(load: &Load, index: usize) -> Vec<u8> {
    frame("ack", &json!({"acknowledged_msg_id": id(load, index)}))
}

fn batch(load: &Load, indices: &[usize], dropped: Option<u64>) -> Vec<u8> {
    let ids: Vec<_> = indices.iter().map(|index| id(load, *index)).collect();
    let mut payload = json!({"acknowledged_msg_id": ids.last(), "acknowledged_msg_ids": ids});
    if let Some(dropped) = dropped {
        payload["dropped"] = dropped.into();
    }
    frame("ack", &payload)
}

fn error(code: &str, msg_id: Option<String>) -> Vec<u8> {
    let details = json!({ "msg_id": msg_id });
    frame(
        "error",
        &json!({"code": code, "message": "m", "details": details}),
    )
}

#[test]
fn counts_deliveries_and_gaps() {
    let load = orders();
    let mut deliveries = Deliveries::new(&load, 0, "tickwire".to_owned());
    for index in [0, 1, 4, 5] {
        let delivery = deliveries.take(message(&load, 0, index)).unwrap();
        assert_eq!(delivery.number, index as u64);
    }
    assert_eq!((deliveries.delivered, deliveries.missing), (4, 2));
    assert_eq!(deliveries.bytes, load.streams[0].bytes_of(6));
    deliveries.take(b"{\"msg_id\":\"stranger\"}");
    deliveries.take(&error("MESSAGES_DROPPED", None));
    deliveries.take(message(&load, 0, 6));
    assert_eq!((deliveries.delivered, deliveries.missing), (5, 2));
    assert_eq!(deliveries.foreign, 1);
    assert_eq!(deliveries.notices, ["MESSAGES_DROPPED: m"]);
}

#[test]
fn deliveries_go_round() {
    let load = orders();
    let mut deliveries = Deliveries::new(&load, 0, "tickwire".to_owned());
    let round = load.streams[0].messages();
    for index in (0..round).chain([0, 1]) {
        deliveries.take(message(&load, 0, index));
    }
    assert_eq!(deliveries.delivered, round as u64 + 2);
    assert_eq!(deliveries.missing, 0);
    let delivery = deliveries.take(message(&load, 0, 2)).unwrap();
    assert_eq!(delivery.number, round as u64 + 2);
}

#[test]
fn streams_mix_at_a_receiver_and_each_keeps_its_order() {
    for broadcast in [false, true] {
        let load = load(&Selection::Mix, 3, 2, broadcast);
        for receiver in 0..2 {
            let mut deliveries = Deliveries::new(&load, receiver, "tickwire".to_owned());
            let mut expected = 0;
            for index in 0..40 {
                for stream in [2, 0, 1] {
                    let place = Place { stream, index };
                    if load.is_for(receiver, place) {
                        let delivery = deliveries.take(message(&load, stream, index)).unwrap();
                        assert_eq!((delivery.stream, delivery.number), (stream, index as u64));
                        expected += 1;
                    }
                }
            }
            assert_eq!((deliveries.delivered, deliveries.missing), (expected, 0));
            assert_eq!(expected, if broadcast { 120 } else { 60 });
            // A message for another receiver is foreign here.
            let other = (0..2).find(|index| {
                !load.is_for(
                    receiver,
                    Place {
                        stream: 0,
                        index: *index,
                    },
                )
            });
            if let Some(index) = other {
                assert_eq!(deliveries.take(message(&load, 0, index)), None);
                assert_eq!(deliveries.foreign, 1);
            }
        }
    }
}

#[test]
fn what_comes_twice_counts_as_a_gap_of_nearly_a_round() {
    let load = orders();
    let mut deliveries = Deliveries::new(&load, 0, "tickwire".to_owned());
    for index in [0, 1, 1] {
        deliveries.take(message(&load, 0, index));
    }
    assert!(deliveries.settled() > 3);
}

#[test]
fn counts_acks_refusals_and_what_is_never_answered() {
    let load = orders();
    let mut answers = answers(&load, Acks::Each);
    answers.take(&ack(&load, 0));
    assert_eq!(answers.singles.len(), 1);
    answers.take(&ack(&load, 1));
    answers.take(&error("QUEUE_FULL", Some(id(&load, 2))));
    answers.take(&ack(&load, 5));
    answers.take(&error("SERVER_SHUTTING_DOWN", None));
    assert_eq!(answers.acknowledged, 3);
    assert_eq!(answers.refused["QUEUE_FULL"], 1);
    assert_eq!(answers.unanswered, 2);
    assert_eq!(answers.settled(), 6);
    assert_eq!(answers.notices, ["SERVER_SHUTTING_DOWN: m"]);
    assert!(!answers.fenced);
    answers.take(&frame("welcome", &json!({"hello_msg_id": FENCE})));
    assert!(answers.fenced);
}

#[test]
fn counts_each_message_of_a_batch() {
    let load = orders();
    let mut answers = answers(&load, Acks::Batch);
    answers.take(&batch(&load, &[0, 1, 2], None));
    assert!(answers.batch.is_some());
    answers.take(&batch(&load, &[3], None));
    answers.take(&batch(&load, &[4, 5], Some(3)));
    answers.take(&batch(&load, &[7, 8], None));
    answers.take(&ack(&load, 9));
    let all: Vec<_> = (10..1_034).collect();
    answers.take(&batch(&load, &all, None));
    assert_eq!(answers.acknowledged, 1_033);
    assert_eq!(answers.ack_frames, 6);
    assert_eq!(answers.dropped, 3);
    assert_eq!(answers.unanswered, 1);
    assert!(answers.notices.is_empty(), "{:?}", answers.notices);
    // A list with a foreign id, and one cut short.
    answers.take(&frame(
        "ack",
        &json!({"acknowledged_msg_id": FENCE, "acknowledged_msg_ids": [id(&load, 1_034), FENCE]}),
    ));
    assert_eq!(answers.acknowledged, 1_033);
    assert_eq!(answers.notices, ["an unexpected ack"]);
}

#[test]
fn acks_are_not_waited_for_where_none_come() {
    // Of a mix's acks …
    let mix = load(&Selection::Mix, 1, 1, false);
    let mut counter = answers(&mix, Acks::Each);
    for index in [5, 6, 8, 9] {
        counter.take(&ack(&mix, index));
    }
    assert_eq!((counter.acknowledged, counter.unanswered), (4, 5));
    counter.take(&error("TARGET_UNAVAILABLE", Some(id(&mix, 7))));
    counter.take(&ack(&mix, 10));
    assert_eq!((counter.acknowledged, counter.unanswered), (5, 5));
    assert_eq!(counter.refused_in_all(), 1);
    // … and of anything when none were asked for.
    let mut counter = answers(&mix, Acks::None);
    counter.take(&error("TARGET_UNAVAILABLE", Some(id(&mix, 100))));
    assert_eq!((counter.unanswered, counter.refused_in_all()), (0, 1));
}
