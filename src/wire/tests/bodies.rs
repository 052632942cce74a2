//! The bodies of the fuzz targets, for as long as a test may take.

use super::generate::{Seed, message, mutate};
use super::*;
use crate::wire::testing::{
    filters_and_judge_agree, parser_and_judge_agree_on, shapes_and_parser_agree, streams_decode,
};

#[test]
fn shapes_and_parser_agree_on_frames_side_by_side() {
    for number in seeds(300) {
        let seed = &mut Seed::new(number);
        let model = message(seed).into_bytes();
        let mut data = model.clone();
        for _ in 0..seed.below(4) {
            data.push(0xFF);
            data.extend(mutate(seed, model.clone()));
        }
        shapes_and_parser_agree(&data);
    }
}

/// A repeated key that is too long for a refusal is shortened there, not by the judge.
#[test]
fn parser_and_judge_agree_on_long_repeated_keys() {
    for bytes in [79, 80, 81, 200] {
        let key = "k".repeat(bytes);
        for frame in [
            format!(r#"{{"{key}":1,"{key}":2}}"#),
            MESSAGES[0].replacen('{', &format!(r#"{{"{key}":1,"{key}":2,"#), 1),
            MESSAGES[0].replace(r#""run_id""#, &format!(r#""{key}":1,"{key}":2,"run_id""#)),
        ] {
            parser_and_judge_agree_on(frame.as_bytes());
        }
    }
}

#[test]
fn streams_decode_however_they_are_cut_and_broken() {
    for number in seeds(5_000) {
        let seed = &mut Seed::new(number);
        let mut stream = Vec::new();
        for _ in 0..seed.below(6) {
            let bytes = seed.below(520);
            stream.extend_from_slice(&(bytes as u32).to_be_bytes());
            stream.resize(stream.len() + bytes, seed.byte());
        }
        if seed.once_in(2) {
            stream = mutate(seed, stream);
        }
        streams_decode(&stream);
    }
}

proptest::proptest! {
    #[test]
    fn all_of_them_take_anything(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        shapes_and_parser_agree(&data);
        parser_and_judge_agree_on(&data);
        streams_decode(&data);
        filters_and_judge_agree(&data);
    }
}
