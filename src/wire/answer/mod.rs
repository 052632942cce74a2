//! The answers of the server, appended to a buffer as whole frames, length prefix
//! included, and their reader.

mod batch_ack;
#[cfg(any(feature = "server", feature = "client"))]
mod reader;
#[cfg(feature = "client")]
mod spelled;
mod template;
mod writer;

pub use self::batch_ack::BatchAck;
#[cfg(any(feature = "server", feature = "client"))]
pub use self::reader::ServerMessage;
#[cfg(any(feature = "server", feature = "client"))]
pub(crate) use self::reader::{Answer, AnswerReader};
#[cfg(feature = "client")]
pub(crate) use self::spelled::SpelledAcks;
pub use self::template::{AckTemplate, AnswerIds};
pub(crate) use self::writer::{AnswerWriter, ErrorDetails};
use crate::limits::FRAME_PREFIX_BYTES;

/// Sets the length prefix of the frame from `start` to the buffer's end.
fn set_prefix(out: &mut [u8], start: usize) {
    let bytes =
        u32::try_from(out.len() - start - FRAME_PREFIX_BYTES).expect("answers are far below 4 GiB");
    out[start..start + FRAME_PREFIX_BYTES].copy_from_slice(&bytes.to_be_bytes());
}
