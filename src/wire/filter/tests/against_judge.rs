//! Filters against their judge, on generated frames.

use super::*;
use crate::wire::testing::filters::{FilterHarness, Tally, conditions};
use crate::wire::testing::generate::{Seed, message};
use crate::wire::testing::vary::{Variation, behind, edit, vary};
use crate::wire::testing::{MESSAGES, filters_and_judge_agree};
use crate::wire::tests::seeds;

/// A message that is valid, in some spelling.
fn valid(seed: &mut Seed) -> String {
    let mut parser = Parser::default();
    loop {
        let message = match seed.below(3) {
            0 => seed.pick(&MESSAGES).to_owned(),
            1 => event(&nested(seed, 3)),
            _ => message(seed),
        };
        if parser.parse(message.as_bytes()).is_ok() {
            return message;
        }
    }
}

/// An object with few keys, which may be repeated, and values of all kinds.
fn nested(seed: &mut Seed, levels: usize) -> String {
    let value = |seed: &mut Seed| match seed.below(8) {
        0..2 if levels > 0 => nested(seed, levels - 1),
        2 if levels > 0 => {
            let inner = nested(seed, levels - 1);
            seed.pick(&["[$]", "[1,$]", "[[],[$,$]]", "[ \"x\" , $ ]"])
                .replace('$', &inner)
        }
        _ => seed
            .pick(&[
                "1", "-2.50", "1e3", "\"a\"", "\"\"", "null", "true", "[]", "{}", "1e400",
            ])
            .to_owned(),
    };
    let members: Vec<String> = (0..seed.below(5))
        .map(|_| {
            let key = seed.pick(&["a", "b", "0", "1", "01", "", "~", "/", "\\u0061", "é"]);
            let space = seed.pick(&["", " ", "\n"]);
            format!("{space}\"{key}\"{space}:{space}{}{space}", value(seed))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Holds filters on a message and its like to their judge.
fn hold(number: u64) -> Tally {
    let seed = &mut Seed::new(number);
    let mut harness = FilterHarness::new();
    let model = valid(seed);
    for _ in 0..2 {
        let filters: Vec<String> = (0..8).map(|_| conditions(seed, &model)).collect();
        harness.filter_by(filters.iter().map(String::as_str));
        let model = model.as_bytes();
        harness.hold(model, &[]);
        harness.hold(model, &behind(seed, model, 0));
        for variation in [
            Variation::SameWidth,
            Variation::Ascii,
            Variation::Valid,
            Variation::Wild,
        ] {
            for _ in 0..4 {
                let varied = vary(seed, model, variation);
                harness.hold(&varied, &behind(seed, model, 0));
                let edited = edit(seed, varied);
                harness.hold(&edited, &behind(seed, model, 0));
            }
        }
    }
    harness.tally
}

#[test]
fn agrees_with_the_judge_by_shape_and_by_scan() {
    let mut sum = Tally::default();
    for number in seeds(400) {
        let tally = std::panic::catch_unwind(|| hold(number));
        let tally = tally.unwrap_or_else(|_| panic!("seed {number}"));
        sum.by_shape += tally.by_shape;
        sum.by_scan += tally.by_scan;
        sum.matched += tally.matched;
    }
    // Each way is taken often, and both verdicts are.
    let held = sum.by_shape + sum.by_scan;
    for share in [sum.by_shape, sum.by_scan, sum.matched, held - sum.matched] {
        assert!(share * 20 > held, "{sum:?}");
    }
}

#[test]
fn the_fuzz_body_takes_filters_and_frames() {
    for number in seeds(200) {
        let seed = &mut Seed::new(number);
        let model = valid(seed);
        let mut data = conditions(seed, &model).into_bytes();
        for _ in 0..4 {
            data.push(0xFF);
            data.extend(vary(seed, model.as_bytes(), Variation::Wild));
        }
        filters_and_judge_agree(&data);
    }
}
