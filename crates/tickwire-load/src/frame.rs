//! Frames of tickwire's protocol: a length of four bytes, and JSON.
//!
//! Written from the protocol alone: the counts must not depend on the code of
//! the server that they judge.

use std::io::{self, ErrorKind, Read};

/// Bytes of a frame's length prefix.
pub const PREFIX_BYTES: usize = 4;
/// Bytes that a frame may have at most, whatever a server's own limit.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A reason why a stream carries no frames any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The prefix declares 0 bytes.
    #[error("a frame holds at least one byte, this length prefix says 0")]
    Empty,
    /// The prefix declares more than any server allows.
    #[error("this length prefix says {0} bytes, at most {FRAME_BYTES_MAX} are allowed")]
    TooLarge(usize),
}

/// Appends `json` as a frame.
pub fn write(out: &mut Vec<u8>, json: &[u8]) {
    let length = u32::try_from(json.len()).expect("a message fits a frame");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(json);
}

/// Reads one frame from a blocking stream.
pub fn read(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix)?;
    let len = u32::from_be_bytes(prefix) as usize;
    if len > FRAME_BYTES_MAX {
        let error = FrameError::TooLarge(len);
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

/// Hands the complete frames at the front of `bytes` to `take`, each without its
/// prefix, and returns how many bytes they have together.
#[inline]
pub fn for_each(bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, FrameError> {
    let mut at = 0;
    while let Some((prefix, rest)) = bytes[at..].split_first_chunk::<PREFIX_BYTES>() {
        let len = u32::from_be_bytes(*prefix) as usize;
        if len == 0 {
            return Err(FrameError::Empty);
        }
        if len > FRAME_BYTES_MAX {
            return Err(FrameError::TooLarge(len));
        }
        let Some(frame) = rest.get(..len) else { break };
        take(frame);
        at += PREFIX_BYTES + len;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_are_taken() {
        let mut bytes = Vec::new();
        for json in [&b"{}"[..], b"[1]"] {
            write(&mut bytes, json);
        }
        for end in 0..=bytes.len() {
            let mut frames = Vec::new();
            let taken = for_each(&bytes[..end], |frame| frames.push(frame.to_vec())).unwrap();
            let expected = [(13, 2), (6, 1), (0, 0)];
            let expected = expected.into_iter().find(|(bytes, _)| *bytes <= end);
            assert_eq!(expected, Some((taken, frames.len())));
        }
        assert_eq!(for_each(&[0; 4], |_| {}), Err(FrameError::Empty));
        let http = u32::from_be_bytes(*b"HTTP") as usize;
        let error = FrameError::TooLarge(http);
        assert_eq!(for_each(b"HTTP/1.1", |_| {}), Err(error));
    }
}
