//! The shapes against the parser and, for a share of the frames, the judge:
//! a recognised frame is accepted, with the same header, on every set of
//! instructions. The harness checks that.

use super::*;
use crate::wire::testing::parser_and_judge_agree;
use crate::wire::tests::seeds;

/// Frames that are held against the shapes of one harness.
const FRAMES_A_HARNESS: u64 = 64;

/// A frame like `model`: varied, edited, or both, so that about half are valid.
fn like(seed: &mut Seed, model: &[u8]) -> Vec<u8> {
    let variation = match seed.below(8) {
        0 | 1 => Variation::SameWidth,
        2 => Variation::Ascii,
        3 => Variation::Valid,
        4 => Variation::Escaped,
        _ => Variation::Wild,
    };
    let varied = vary(seed, model, variation);
    match seed.below(4) {
        0 | 1 => varied,
        2 => edit(seed, varied),
        _ => edit(seed, model.to_vec()),
    }
}

/// A generated message that can be learned from.
fn learnable(seed: &mut Seed) -> Vec<u8> {
    loop {
        let message = message(seed).into_bytes();
        if Harness::new(Validation::Payload).teach(&message) {
            return message;
        }
    }
}

/// A harness that knows these messages.
fn knowing(messages: &[Vec<u8>], validation: Validation) -> Harness {
    let mut harness = Harness::new(validation);
    let seed = &mut Seed::new(1);
    for message in messages {
        harness.teach(message);
        for variation in [Variation::Valid, Variation::Escaped].repeat(4) {
            let varied = vary(seed, message, variation);
            harness.teach(&varied);
        }
    }
    harness
}

#[test]
fn agrees_with_the_parser_on_mutated_messages() {
    let messages = spellings();
    let validations = [Validation::Payload, Validation::Envelope];
    let mut parsers = validations.map(Parser::new);
    // One harness that knows all messages, and one for a few frames each.
    let mut crowds = validations.map(|validation| knowing(&messages, validation));
    let (mut recognized, mut accepted, mut held) = (0, 0, 0);
    for number in 0..seeds(60_000).end.div_ceil(FRAMES_A_HARNESS) {
        let seed = &mut Seed::new(number ^ 0x5A5A_0000);
        let model = match number % 3 {
            0 => learnable(seed),
            _ => messages[seed.below(messages.len())].clone(),
        };
        let mode = usize::from(seed.once_in(4));
        let mut harness = Harness::new(validations[mode]);
        harness.teach(&model);
        for _ in 0..seed.below(5) {
            let variation = seed.pick(&[
                Variation::SameWidth,
                Variation::Ascii,
                Variation::Valid,
                Variation::Escaped,
            ]);
            let varied = vary(seed, &model, variation);
            harness.teach(&varied);
        }
        for _ in 0..FRAMES_A_HARNESS {
            let frame = like(seed, &model);
            let behind = behind(seed, &frame, 0);
            held += 1;
            recognized += u64::from(harness.hold(&frame, &behind));
            if seed.once_in(8) {
                crowds[mode].hold(&frame, &behind);
                accepted += u64::from(harness.parser.parse(&frame).is_ok());
            }
            if seed.once_in(32) {
                parser_and_judge_agree(&mut parsers, &frame);
            }
            if seed.once_in(64) {
                harness.teach(&frame);
            }
        }
    }
    let (recognized, accepted) = (recognized * 100 / held, accepted * 800 / held);
    println!("{held} frames: {recognized} % recognised, {accepted} % accepted");
    // Both sides must be reached.
    assert!((20..80).contains(&recognized), "{recognized} %");
}

#[test]
fn agrees_with_the_parser_on_every_byte_at_every_place_of_every_message() {
    for message in MESSAGES {
        let message = compact(message).into_bytes();
        for lessons in [
            &[][..],
            &[Variation::Valid; 6],
            &[Variation::Valid, Variation::Escaped].repeat(6),
        ] {
            let mut harness = Harness::new(Validation::Payload);
            let seed = &mut Seed::new(7);
            assert!(harness.teach(&message));
            for variation in lessons {
                let varied = vary(seed, &message, *variation);
                harness.teach(&varied);
            }
            let behind = [message.as_slice(); 2].concat();
            let mut recognized = 0;
            for at in 0..message.len() {
                let mut frame = message.clone();
                for byte in 0..=u8::MAX {
                    frame[at] = byte;
                    recognized += usize::from(harness.hold(&frame, &behind));
                }
            }
            assert!(recognized > 10 * message.len(), "{recognized}");
        }
    }
}

#[test]
fn agrees_with_the_parser_on_a_frame_cut_at_every_place() {
    for message in spellings() {
        let mut harness = Harness::new(Validation::Payload);
        let seed = &mut Seed::new(7);
        harness.teach(&message);
        for variation in [Variation::Valid, Variation::Escaped].repeat(5) {
            let varied = vary(seed, &message, variation);
            harness.teach(&varied);
        }
        let longest = [message.as_slice(); 2].concat();
        for end in 0..longest.len() {
            let (frame, behind) = longest.split_at(end);
            let recognized = harness.hold(frame, behind);
            assert_eq!(recognized, end == message.len(), "{:?}", show(frame));
        }
        for start in 1..message.len() {
            assert!(!harness.hold(&message[start..], &message));
        }
    }
}
