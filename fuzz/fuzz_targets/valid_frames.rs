//! Frames that are prepared once, as they are sent, against the parser.

#![no_main]

use tickwire::wire::testing::valid_frames_are_accepted;

libfuzzer_sys::fuzz_target!(|data: &[u8]| valid_frames_are_accepted(data));
