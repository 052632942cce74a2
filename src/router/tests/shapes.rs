//! Known shapes change nothing but the time; and the limits of a client that
//! teaches many.

use super::*;
use crate::limits::{SHAPE_CREDIT_INTERVAL, SHAPES_PER_CONNECTION_MAX};
use crate::wire::testing::MESSAGES;
use crate::wire::testing::generate::{Seed, message as generated};
use crate::wire::testing::vary::{Variation, edit, vary};
use crate::wire::{LearnOutcome, Parser, Validation, frames};

/// Valid, invalid and varied frames, with a valid one after each, so that
/// never too many in a row are refused.
fn conversation(number: u64) -> Vec<Vec<u8>> {
    let seed = &mut Seed::new(number);
    let mut models = vec![generated(seed).into_bytes()];
    for _ in 0..6 {
        models.push(seed.pick(&MESSAGES).into());
    }
    let mut frames = Vec::new();
    for _ in 0..60 {
        let model = &models[seed.below(models.len())];
        let variation = seed.pick(&[
            Variation::SameWidth,
            Variation::Ascii,
            Variation::Valid,
            Variation::Wild,
        ]);
        let frame = match seed.below(4) {
            0 => model.clone(),
            1 => edit(seed, model.clone()),
            _ => vary(seed, model, variation),
        };
        frames.extend((!frame.is_empty()).then_some(frame));
        frames.push(models[1].clone());
    }
    frames
}

fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let prefixed = |frame: &Vec<u8>| [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
    frames.iter().flat_map(prefixed).collect()
}

/// The output: the answers without ids and times of their own, and the messages
/// of each receiver, addressed to it and to everyone.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<String>,
    received: Vec<[Vec<u8>; 2]>,
}

/// Splits a stream in two: between addressed messages and broadcasts no order
/// is promised.
fn by_audience(stream: &[u8]) -> [Vec<u8>; 2] {
    let mut streams = [Vec::new(), Vec::new()];
    let mut parser = Parser::new(Validation::Envelope);
    for frame in frames(stream) {
        let json = &stream[frame.start + 4..frame.end];
        let header = parser.parse(json).expect("it was accepted");
        let index = usize::from(parser.target(json, &header.names).is_none());
        streams[index].extend_from_slice(&stream[frame]);
    }
    streams
}

/// Teaches the server and the scratch of a session the shapes of the frames.
/// Returns how many of the frames are recognised then.
fn warm(router: &Router, client: &mut TestClient, frames: &[Vec<u8>]) -> usize {
    let mut parser = Parser::new(router.0.config.validation);
    for frame in [frames, frames, frames].concat() {
        if let Ok(header) = parser.parse(&frame) {
            let learned = router.0.shapes.learn(&frame, &header, 0);
            client.scratch.hints().note(learned, frame.len());
        }
    }
    let known = |frame: &&Vec<u8>| is_known(router, client, frame);
    frames.iter().filter(known).count()
}

fn is_known(router: &Router, client: &mut TestClient, frame: &[u8]) -> bool {
    let table = router.0.shapes.load();
    let hints = client.scratch.hints();
    hints.recognize(&table, frame, frame.len(), 0).is_some()
}

fn play(frames: &[Vec<u8>], is_warm: bool, chunks: &mut dyn FnMut() -> usize) -> Outcome {
    let router = router();
    let names = ["api-gateway", "health-monitor", "everyone-else"];
    let mut receivers = names.map(|name| TestClient::named(&router, name));
    // Owns nothing, so that nothing that it sends comes back between answers.
    let mut sender = TestClient::anonymous(&router);
    if is_warm {
        let known = warm(&router, &mut sender, frames);
        assert!(known > frames.len() / 3, "{known} of {}", frames.len());
    }
    let bytes = stream(frames);
    let mut rest = &bytes[..];
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(chunks().clamp(1, rest.len()));
        rest = behind;
        let step = sender.arrive(chunk);
        assert!(step.halt.is_none(), "{:?}", step.halt);
        answers.extend(sender.read());
    }
    assert!(sender.input.is_empty());
    let told = |answer: &Value| match answer["msg_type"].as_str() {
        Some("ack") => format!("ack {}", answer["payload"]["acknowledged_msg_id"]),
        _ => format!("{} {}", answer["target"], answer["payload"]),
    };
    Outcome {
        answers: answers.iter().map(told).collect(),
        received: (receivers.iter_mut())
            .map(|client| by_audience(&client.read_bytes()))
            .collect(),
    }
}

#[test]
fn gives_the_same_whether_shapes_are_known_or_not() {
    for number in 0..24 {
        let frames = conversation(number);
        let seed = &mut Seed::new(number);
        let cold = play(&frames, false, &mut || usize::MAX);
        let kinds = |kind| {
            cold.answers
                .iter()
                .filter(move |a| a.starts_with("ack") == kind)
        };
        assert!(kinds(true).count() > 20 && kinds(false).count() > 5);
        assert_eq!(play(&frames, true, &mut || usize::MAX), cold);
        // Shapes are learned from one read to the next.
        for most in [64, 1_000, 5_000] {
            assert_eq!(play(&frames, false, &mut || 1 + seed.below(most)), cold);
            assert_eq!(play(&frames, true, &mut || 1 + seed.below(most)), cold);
        }
    }
}

#[test]
fn gives_the_same_for_known_shapes_that_come_byte_by_byte() {
    let frames = conversation(7);
    let cold = play(&frames, false, &mut || usize::MAX);
    assert_eq!(play(&frames, true, &mut || 1), cold);
}

#[test]
fn servers_that_check_differently_may_share_a_thread() {
    let strict = router();
    let lax = Router::new(RouterConfig {
        validation: Validation::Envelope,
        ..RouterConfig::default()
    });
    let mut gateways = [&strict, &lax].map(|router| TestClient::named(router, "gateway"));
    let mut senders = [&strict, &lax].map(TestClient::new);
    let good = order(1, "me", "gateway");
    let mut wrong = good.clone();
    wrong["payload"]["event_utc"] = "2026-99-03T12:41:00.000Z".into();
    for _ in 0..4 {
        for message in [&good, &wrong] {
            let [strict, lax] = &mut senders;
            let _ = strict.say(message);
            std::mem::swap(&mut strict.scratch, &mut lax.scratch);
            let _ = lax.say(message);
        }
    }
    let [strict, lax] = senders.map(|mut sender| sender.read());
    assert_eq!(kinds(&strict), ["ack", "INVALID_PAYLOAD"].repeat(4));
    assert_eq!(kinds(&lax), ["ack"; 8]);
    assert_eq!(
        gateways.each_mut().map(|client| client.read().len()),
        [4, 8]
    );
}

/// An order of a skeleton of its own.
fn order_with_key(number: usize) -> Value {
    let mut order = order(number, "them", "gateway");
    order["payload"]["payload_json"][format!("key-{number}")] = 1.into();
    order
}

fn json(message: &Value) -> Vec<u8> {
    serde_json::to_vec(message).unwrap()
}

#[test]
fn a_client_cannot_push_out_what_others_use() {
    let router = router();
    let mut gateway = TestClient::named(&router, "gateway");
    let mut usual: Vec<_> = (0..4).map(|_| TestClient::new(&router)).collect();
    let skeletons =
        |client: usize| (0..40).map(move |number| order_with_key(100 * client + number));
    for (at, client) in usual.iter_mut().enumerate() {
        for message in skeletons(at) {
            let _ = client.say(&message);
            let _ = client.say(&message);
            let _ = (client.read(), gateway.read());
            assert!(is_known(&router, client, &json(&message)));
        }
    }
    let mut flood = TestClient::new(&router);
    for number in 1_000..2_000 {
        let message = order_with_key(number);
        let _ = flood.say_all(&[message.clone(), message]);
        let _ = (flood.read(), gateway.read());
    }
    // Its allowance is used up, and the others' shapes stand.
    assert!(!is_known(
        &router,
        &mut flood,
        &json(&order_with_key(1_999))
    ));
    for (at, client) in usual.iter_mut().enumerate() {
        client.scratch = ReadScratch::default();
        for message in skeletons(at) {
            let parsed = Parser::default().parse(&json(&message)).unwrap();
            let learned = router.0.shapes.learn(&json(&message), &parsed, 0);
            assert!(matches!(learned, LearnOutcome::Known(_)), "{learned:?}");
        }
    }
    // In time it may teach again.
    flood.now.mono += SHAPE_CREDIT_INTERVAL;
    let known = (2_000..4_100).filter(|number| {
        let message = order_with_key(*number);
        let _ = flood.say_all(&[message.clone(), message.clone()]);
        let _ = (flood.read(), gateway.read());
        is_known(&router, &mut flood, &json(&message))
    });
    assert_eq!(known.count(), 1);
    assert!(usize::from(SHAPES_PER_CONNECTION_MAX) < crate::limits::SHAPES_MAX / 2);
}

#[test]
fn a_client_whose_frames_never_repeat_stops_paying_for_learning() {
    use crate::router::session::learning::Learning;

    let mut learning = Learning::default();
    let mut tries = 0;
    for _ in 0..100_000 {
        if learning.may_learn(at_ms(0)) {
            tries += 1;
            learning.note(LearnOutcome::FirstSighting);
        }
    }
    assert!((100..4_000).contains(&tries), "{tries} of 100000");
}

#[test]
fn a_client_that_repeats_itself_among_much_that_never_does_is_recognised() {
    let router = router();
    let _gateway = TestClient::named(&router, "gateway");
    let mut sender = TestClient::new(&router);
    for number in 0..3_000 {
        let mut unique = order_with_key(number);
        unique["source"] = "me".into();
        let _ = sender.say_all(&[unique, order(1, "me", "gateway")]);
        let _ = sender.read();
    }
    assert!(is_known(
        &router,
        &mut sender,
        &json(&order(2, "me", "gateway"))
    ));
}
