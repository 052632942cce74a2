//! How the cuts of a byte stream change nothing.

use proptest::prelude::*;

use super::*;

/// A conversation with every kind of outcome in it.
fn conversation() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut number = 0;
    let mut add = |make: &dyn Fn(usize) -> Value| {
        number += 1;
        bytes.extend(framed(&make(number)));
    };
    for _ in 0..3 {
        add(&|n| order(n, "me", "gateway"));
        add(&|n| order(n, "me", "gateway"));
        add(&|n| order(n, "me", "other"));
        add(&|n| order(n, "me", Value::Null));
        add(&|n| order(n, "me", "nobody"));
        add(&|n| heartbeat(n, "me", "health-monitor"));
        add(&|n| ack(n, "me", "gateway"));
        add(&|n| order(n, "you", "gateway"));
        add(&|n| order(n, "tickwire", "gateway"));
        add(&|n| {
            let mut wrong = order(n, "me", "gateway");
            wrong["payload"]["run_id"] = 7.into();
            wrong
        });
        add(&|n| {
            let mut quoted = order(n, "me", "gateway");
            quoted["payload"]["note"] = "a \"quote\"\n".into();
            quoted
        });
    }
    bytes
}

/// The output: the sender's answers and the two receivers' streams.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<String>,
    gateway: Vec<u8>,
    other: Vec<u8>,
}

fn play(bytes: &[u8], cuts: &[usize]) -> Outcome {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut other = TestClient::named(&router, "other");
    let mut sender = TestClient::new(&router);
    let mut from = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let step = sender.arrive(&bytes[from..cut]);
        assert!(step.halt.is_none());
        from = cut;
    }
    assert!(sender.input.is_empty());
    let answers = sender.read();
    let answers = answers
        .iter()
        .map(|answer| match answer["msg_type"].as_str().unwrap() {
            "ack" => format!("ack {}", answer["payload"]["acknowledged_msg_id"]),
            _ => answer["payload"].to_string(),
        })
        .collect();
    Outcome {
        answers,
        gateway: gateway.read_bytes(),
        other: other.read_bytes(),
    }
}

#[test]
fn gives_the_same_for_a_stream_cut_once_at_every_position() {
    let bytes = conversation();
    let whole = play(&bytes, &[]);
    assert_eq!(
        whole.answers.len(),
        30,
        "each but the three acks is answered"
    );
    for cut in 0..bytes.len() {
        assert_eq!(play(&bytes, &[cut]), whole, "cut at {cut}");
    }
}

#[test]
fn gives_the_same_for_a_stream_that_comes_byte_by_byte() {
    let bytes = conversation();
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(play(&bytes, &every), play(&bytes, &[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn gives_the_same_for_a_stream_cut_at_random(
        mut cuts in proptest::collection::vec(0usize..10_000, 0..40)
    ) {
        let bytes = conversation();
        for cut in &mut cuts {
            *cut %= bytes.len();
        }
        cuts.sort_unstable();
        prop_assert_eq!(play(&bytes, &cuts), play(&bytes, &[]));
    }
}

#[test]
fn answers_what_came_before_a_length_that_ends_the_framing() {
    for (prefix, code) in [(0u32, "FRAME_EMPTY"), (u32::MAX, "FRAME_TOO_LARGE")] {
        let router = router();
        let mut gateway = TestClient::named(&router, "gateway");
        let mut sender = TestClient::new(&router);
        let mut bytes = framed(&order(1, "me", "gateway"));
        bytes.extend_from_slice(&prefix.to_be_bytes());
        bytes.extend_from_slice(&framed(&order(2, "me", "gateway")));
        let step = sender.arrive(&bytes);
        assert!(matches!(step.halt, Some(Halt::Close)));
        assert_eq!(kinds(&sender.read()), ["ack", code]);
        assert_eq!(ids(&gateway.read()), [id(1)]);
    }
}

#[test]
fn closes_after_a_hundred_invalid_frames_in_a_row_and_not_before() {
    let router = router();
    let mut sender = TestClient::new(&router);
    let wrong = [0, 0, 0, 2, b'[', b']'];
    for _ in 0..99 {
        assert!(sender.arrive(&wrong).halt.is_none());
    }
    // Refused for another reason: the frame is valid, so the row is broken.
    let _ = sender.say(&order(1, "me", "nobody"));
    for _ in 0..99 {
        assert!(sender.arrive(&wrong).halt.is_none());
    }
    assert!(matches!(sender.arrive(&wrong).halt, Some(Halt::Close)));
    let answers = sender.read();
    let kinds = kinds(&answers);
    assert_eq!(kinds[..99], ["INVALID_JSON"; 99]);
    assert_eq!(kinds[99], "TARGET_UNAVAILABLE");
    assert_eq!(kinds[100..200], ["INVALID_JSON"; 100]);
    assert_eq!(kinds[200..], ["TOO_MANY_REFUSED"]);
}

#[test]
fn takes_no_more_input_while_too_many_answers_wait() {
    let router = router();
    let _gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::new(&router);
    let mut halted = false;
    let mut sent = 0;
    for number in 0..2_000 {
        sent += 1;
        let step = sender.say(&order(number, "me", "gateway"));
        if let Some(halt) = step.halt {
            assert!(matches!(halt, Halt::AnswersFull));
            halted = true;
            break;
        }
    }
    assert!(halted, "answers that nobody reads must stop the input");
    let before = sender.read();
    let rest = sender.arrive(&[]);
    assert!(rest.halt.is_none());
    let after = sender.read();
    assert_eq!(acked(&before).len() + acked(&after).len(), sent);
}
