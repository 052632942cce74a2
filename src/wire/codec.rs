//! The framing as a tokio-util codec.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::frame::{FrameError, FrameState, frame_state, write_frame};
use crate::limits::{FRAME_BYTES_MAX_DEFAULT, FRAME_PREFIX_BYTES, READ_BUFFER_BYTES};

/// Cuts a byte stream into frames and writes frames to it: each item is the unread
/// JSON of one frame, without its length prefix.
///
/// After an error every further call of `decode` gives the same: close the connection.
#[derive(Debug, Clone)]
pub struct FrameCodec {
    frame_bytes_max: usize,
}

/// The failure of a framed stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameCodecError {
    /// The framing is broken.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The transport failed, or ended within a frame
    /// ([`io::ErrorKind::UnexpectedEof`]).
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FrameCodec {
    /// A codec for frames of at most `frame_bytes_max` bytes, without their
    /// prefix, in both directions.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max }
    }
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self::new(FRAME_BYTES_MAX_DEFAULT)
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = FrameCodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, FrameCodecError> {
        match frame_state(src, self.frame_bytes_max)? {
            FrameState::Complete { len } => {
                src.advance(FRAME_PREFIX_BYTES);
                Ok(Some(src.split_to(len).freeze()))
            }
            FrameState::Partial { missing } => {
                // In steps: memory follows the bytes that arrive.
                src.reserve(missing.min(READ_BUFFER_BYTES));
                Ok(None)
            }
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Bytes>, FrameCodecError> {
        match self.decode(src)? {
            None if !src.is_empty() => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the stream ended within a frame",
            )
            .into()),
            frame => Ok(frame),
        }
    }
}

impl Encoder<&[u8]> for FrameCodec {
    type Error = FrameCodecError;

    fn encode(&mut self, json: &[u8], dst: &mut BytesMut) -> Result<(), FrameCodecError> {
        if json.len() > self.frame_bytes_max {
            return Err(FrameError::Unwritable {
                len: json.len(),
                limit: self.frame_bytes_max,
            }
            .into());
        }
        dst.reserve(FRAME_PREFIX_BYTES + json.len());
        Ok(write_frame(dst, json)?)
    }
}

impl Encoder<Bytes> for FrameCodec {
    type Error = FrameCodecError;

    fn encode(&mut self, json: Bytes, dst: &mut BytesMut) -> Result<(), FrameCodecError> {
        self.encode(&json[..], dst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_frames_however_the_bytes_are_cut() {
        let mut codec = FrameCodec::default();
        let mut stream = BytesMut::new();
        let frames: [&[u8]; 3] = [b"{}", b"{\"a\":1}", b"x"];
        for frame in frames {
            codec.encode(frame, &mut stream).unwrap();
        }
        for step in 1..=stream.len() {
            let mut src = BytesMut::new();
            let mut got = Vec::new();
            for bytes in stream.chunks(step) {
                src.extend_from_slice(bytes);
                while let Some(frame) = codec.decode(&mut src).unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
            assert!(codec.decode_eof(&mut src).unwrap().is_none());
        }
    }

    #[test]
    fn an_end_within_a_frame_is_an_error() {
        let mut src = BytesMut::from(&b"\0\0\0\x05{}"[..]);
        let error = FrameCodec::default().decode_eof(&mut src).unwrap_err();
        assert!(
            matches!(error, FrameCodecError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof)
        );
    }

    #[test]
    fn memory_follows_what_arrived_and_not_what_was_declared() {
        let mut src = BytesMut::from(&[0x03, 0xFF, 0xFF, 0xFF, b'{'][..]);
        assert!(FrameCodec::new(1 << 26).decode(&mut src).unwrap().is_none());
        assert!(src.capacity() <= 2 * READ_BUFFER_BYTES);
    }

    #[test]
    fn writes_nothing_that_the_other_side_would_refuse() {
        let mut out = BytesMut::new();
        let mut codec = FrameCodec::new(2);
        assert!(codec.encode(Bytes::from_static(b"{ }"), &mut out).is_err());
        assert!(codec.encode(Bytes::new(), &mut out).is_err());
        assert!(out.is_empty());
    }
}
