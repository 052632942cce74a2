//! The parser against the judge. The input is one frame.

#![no_main]

use tickwire::wire::testing::parser_and_judge_agree_on;

libfuzzer_sys::fuzz_target!(|data: &[u8]| parser_and_judge_agree_on(data));
