//! Length-prefixed framing as plain functions: a big-endian `u32` N, then N
//! bytes of JSON.
//!
//! Ask [`frame_state`] for the frame at the start of the bytes at hand, take it when it
//! is complete, and ask again behind it. After a [`FrameError`] the framing is lost.

use bytes::BufMut;

use super::refusal::{ErrorCode, Refusal};
use crate::limits::FRAME_PREFIX_BYTES;

/// The frame at the front of the bytes at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameState {
    /// No complete frame yet.
    Partial {
        /// The bytes missing of the prefix, or else of the frame; at least 1, and as many
        /// as the peer likes: don't reserve them at once.
        missing: usize,
    },
    /// A complete frame: its JSON is `bytes[FRAME_PREFIX_BYTES..][..len]`.
    Complete {
        /// Bytes of the frame without its prefix, 1 to the limit.
        len: usize,
    },
}

/// A length prefix that can't be followed. The connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The prefix declares 0 bytes.
    #[error("a frame holds at least one byte, this length prefix says 0")]
    Empty,
    /// The prefix declares more than is allowed.
    #[error(
        "this length prefix says {declared} bytes, at most {limit} are allowed{}",
        probably(*declared)
    )]
    TooLarge {
        /// Bytes that the prefix declares, without itself.
        declared: u32,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// A frame to be written is longer than is allowed.
    #[error("a frame of {len} bytes can't be written, at most {limit} are allowed")]
    Unwritable {
        /// Bytes of the frame, without its prefix.
        len: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
}

impl FrameError {
    /// The code of the error for the peer.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Empty => ErrorCode::FrameEmpty,
            Self::TooLarge { .. } | Self::Unwritable { .. } => ErrorCode::FrameTooLarge,
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Returns the state of the frame at the front of `bytes`. `limit` is the longest
/// frame allowed, in bytes without the prefix.
///
/// # Errors
/// With the prefix alone: [`FrameError::Empty`] or [`FrameError::TooLarge`].
#[inline]
pub fn frame_state(bytes: &[u8], limit: usize) -> Result<FrameState, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<FRAME_PREFIX_BYTES>() else {
        return Ok(FrameState::Partial {
            missing: FRAME_PREFIX_BYTES - bytes.len(),
        });
    };
    let declared = u32::from_be_bytes(*prefix);
    let len = declared as usize;
    if len == 0 {
        return Err(FrameError::Empty);
    }
    if len > limit {
        return Err(FrameError::TooLarge { declared, limit });
    }
    Ok(if rest.len() >= len {
        FrameState::Complete { len }
    } else {
        FrameState::Partial {
            missing: len - rest.len(),
        }
    })
}

/// The length prefix of a frame of `len` bytes.
///
/// # Errors
/// [`FrameError::Empty`] for 0, [`FrameError::Unwritable`] beyond 32 bits.
#[inline]
pub fn frame_prefix(len: usize) -> Result<[u8; FRAME_PREFIX_BYTES], FrameError> {
    match u32::try_from(len) {
        Ok(0) => Err(FrameError::Empty),
        Ok(len) => Ok(len.to_be_bytes()),
        Err(_) => Err(FrameError::Unwritable {
            len,
            limit: u32::MAX as usize,
        }),
    }
}

/// Appends one frame, prefix and `json`, to `out`, which has room for it or grows.
///
/// # Errors
/// Those of [`frame_prefix`]; nothing is written then.
#[inline]
pub fn write_frame(out: &mut impl BufMut, json: &[u8]) -> Result<(), FrameError> {
    let prefix = frame_prefix(json.len())?;
    out.put_slice(&prefix);
    out.put_slice(json);
    Ok(())
}

/// Words the protocol that a nonsensical length was probably meant for.
fn probably(declared: u32) -> &'static str {
    match &declared.to_be_bytes() {
        b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" | b"DELE" | b"PATC" | b"CONN" | b"TRAC"
        | b"PRI " | b"HTTP" => ": this port speaks length-prefixed JSON, not HTTP",
        [0x16, 0x03, ..] => ": this port speaks length-prefixed JSON, not TLS",
        [b'{', ..] => {
            ": these are the first bytes of JSON; each frame begins with its length, \
             a big-endian u32"
        }
        _ => ": a prefix is a big-endian u32 that counts the bytes after it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_the_prefix_first_and_for_the_rest_then() {
        let bytes = [0, 0, 0, 3, b'a', b'b', b'c', 0];
        let missing = [4, 3, 2, 1, 3, 2, 1];
        for (len, missing) in missing.into_iter().enumerate() {
            assert_eq!(
                frame_state(&bytes[..len], 3),
                Ok(FrameState::Partial { missing })
            );
        }
        assert_eq!(
            frame_state(&bytes[..7], 3),
            Ok(FrameState::Complete { len: 3 })
        );
        assert_eq!(frame_state(&bytes, 3), Ok(FrameState::Complete { len: 3 }));
    }

    #[test]
    fn refuses_lengths_of_zero_and_above_the_limit_before_the_frame_arrives() {
        assert_eq!(frame_state(&[0, 0, 0, 0], 10), Err(FrameError::Empty));
        assert_eq!(
            frame_state(&[0, 0, 0, 11], 10),
            Err(FrameError::TooLarge {
                declared: 11,
                limit: 10
            })
        );
        assert_eq!(
            frame_state(&[0, 0, 0, 10], 10),
            Ok(FrameState::Partial { missing: 10 })
        );
    }

    #[test]
    fn tells_peers_that_speak_something_else() {
        let reason = |bytes: &[u8]| frame_state(bytes, 1 << 20).unwrap_err().to_string();
        for method in ["GET / HTTP/1.1", "POST /", "HEAD /", "PUT /", "OPTIONS *"] {
            assert!(reason(method.as_bytes()).contains("length-prefixed JSON, not HTTP"));
        }
        assert!(reason(&[0x16, 0x03, 0x01, 0x02]).contains("not TLS"));
        assert!(reason(b"{\"msg_id\"").contains("begins with its length"));
        assert!(reason(&[3, 0, 0, 0]).contains("big-endian"));
    }

    #[test]
    fn each_error_has_its_code() {
        let code = |bytes: &[u8]| Refusal::from(frame_state(bytes, 5).unwrap_err()).code;
        assert_eq!(code(&[0; 4]), ErrorCode::FrameEmpty);
        assert_eq!(code(&[0xFF; 4]), ErrorCode::FrameTooLarge);
    }

    #[test]
    fn reads_what_it_writes() {
        let mut out = Vec::new();
        write_frame(&mut out, b"{}").unwrap();
        write_frame(&mut out, b"[1]").unwrap();
        assert_eq!(out, b"\0\0\0\x02{}\0\0\0\x03[1]");
        assert_eq!(frame_state(&out, 9), Ok(FrameState::Complete { len: 2 }));
        assert_eq!(write_frame(&mut out, b""), Err(FrameError::Empty));
        assert_eq!(out.len(), 13);
    }
}
