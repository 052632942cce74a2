//! Messages as the command `bench` makes them, and as a read has them.

#[allow(dead_code, reason = "not all benchmarks work on sessions")]
pub mod endpoint;

use bytes::BytesMut;
use tickwire_load::messages::{self, Example, Selection, Target};

/// `count` variants of an example, compact, for the target of the example.
#[allow(dead_code, reason = "not all benchmarks work on the examples")]
pub fn variants(example: Example, count: usize) -> Vec<Vec<u8>> {
    messages::variants(&Selection::One(example), count, None, Target::Keep)
}

/// The frames as one stream, length prefixes included.
pub fn stream<'a>(messages: impl IntoIterator<Item = &'a Vec<u8>>) -> BytesMut {
    let mut stream = BytesMut::new();
    for message in messages {
        tickwire::wire::write_frame(&mut stream, message).expect("the examples fit a frame");
    }
    stream
}
