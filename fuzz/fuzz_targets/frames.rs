//! A stream of frames that grows byte by byte against a plain reading of it.

#![no_main]

use tickwire::wire::testing::streams_decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| streams_decode(data));
