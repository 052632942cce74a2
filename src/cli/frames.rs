//! Frames out of a blocking stream.

use std::io::{self, ErrorKind, Read};

use bytes::{Bytes, BytesMut};
use tickwire::limits::{FRAME_BYTES_MAX_MAX, READ_BUFFER_BYTES};
use tickwire::wire::{FrameCodec, FrameCodecError, FrameState, frame_state, write_frame};
use tokio_util::codec::Decoder;

/// Returns whether a read ended because its time was up.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Frames out of a stream of bytes, as large as any server lets them be.
#[derive(Debug)]
pub struct Frames<R> {
    reader: R,
    codec: FrameCodec,
    unread: BytesMut,
    chunk: Box<[u8]>,
    /// The last read left nothing that had come by then.
    pub has_read_all: bool,
}

impl<R: Read> Frames<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            codec: FrameCodec::new(FRAME_BYTES_MAX_MAX),
            unread: BytesMut::new(),
            chunk: vec![0; READ_BUFFER_BYTES].into(),
            has_read_all: false,
        }
    }

    pub fn put_back(&mut self, frames: &[Bytes]) {
        let behind = self.unread.split();
        for frame in frames {
            write_frame(&mut self.unread, frame).expect("it was a frame before");
        }
        self.unread.extend_from_slice(&behind);
    }

    /// Returns the bytes read and not given yet: frames, the last perhaps in part.
    pub fn into_unread(self) -> Vec<u8> {
        self.unread.into()
    }

    /// Returns the next frame, without its prefix, if all of it is at hand.
    pub fn next_at_hand(&mut self) -> Result<Option<Bytes>, FrameCodecError> {
        self.codec.decode(&mut self.unread)
    }

    /// Returns whether a reader has to wait for a frame or an error.
    pub fn is_drained(&self) -> bool {
        let next = frame_state(&self.unread, FRAME_BYTES_MAX_MAX);
        matches!(next, Ok(FrameState::Partial { .. }))
    }

    /// Reads once. Returns the bytes read, 0 at the end of the stream.
    pub fn fill(&mut self) -> io::Result<usize> {
        self.has_read_all = true;
        let read = loop {
            match self.reader.read(&mut self.chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.unread.extend_from_slice(&self.chunk[..read]);
        self.has_read_all = read < self.chunk.len();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the next frame, or `None` at the end of the stream.
    fn next<R: Read>(frames: &mut Frames<R>) -> Option<Bytes> {
        while frames.is_drained() {
            if frames.fill().unwrap() == 0 {
                return None;
            }
        }
        frames.next_at_hand().unwrap()
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut bytes = Vec::new();
        let long = vec![b'x'; 3 * READ_BUFFER_BYTES];
        for frame in [b"{}".as_slice(), &long, b"{\"a\":1}"] {
            write_frame(&mut bytes, frame).unwrap();
        }
        let mut frames = Frames::new(bytes.as_slice());
        assert_eq!(next(&mut frames).unwrap(), b"{}".as_slice());
        assert_eq!(next(&mut frames).unwrap(), long.as_slice());
        assert!(!frames.is_drained());
        assert_eq!(next(&mut frames).unwrap(), b"{\"a\":1}".as_slice());
        assert!(frames.is_drained());
        assert_eq!(next(&mut frames), None);
    }

    #[test]
    fn frames_that_were_put_back_come_first() {
        let mut frames = Frames::new(b"\0\0\0\x02{}".as_slice());
        frames.put_back(&[Bytes::from_static(b"{1}")]);
        assert!(!frames.is_drained());
        assert_eq!(next(&mut frames).unwrap(), b"{1}".as_slice());
        assert_eq!(next(&mut frames).unwrap(), b"{}".as_slice());
    }

    #[test]
    fn what_is_unread_can_be_taken_over() {
        let mut frames = Frames::new(b"\0\0\0\x02{}\0\0\0\x03{".as_slice());
        frames.fill().unwrap();
        frames.put_back(&[Bytes::from_static(b"{1}")]);
        let unread = frames.into_unread();
        assert_eq!(unread, b"\0\0\0\x03{1}\0\0\0\x02{}\0\0\0\x03{");
    }
}
