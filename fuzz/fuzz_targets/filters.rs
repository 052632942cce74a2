//! Filters against their judge, by shapes and by a scan. The input is the JSON
//! of a `where`, then frames, separated by the byte 0xFF.

#![no_main]

use tickwire::wire::testing::filters_and_judge_agree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| filters_and_judge_agree(data));
