//! Learned shapes against the parser. Frames in the input are separated by
//! the byte 0xFF.

#![no_main]

use tickwire::wire::testing::shapes_and_parser_agree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| shapes_and_parser_agree(data));
