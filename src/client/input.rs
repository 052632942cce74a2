//! The bytes that have arrived and not been taken, cut into frames.

use std::ops::Range;
use std::{io, mem};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::{FRAME_PREFIX_BYTES, READ_BUFFER_BYTES};
use crate::wire::{FrameCodecError, FrameError, FrameState, frame_state};

/// A stream and its buffer.
#[derive(Debug)]
pub(super) struct Input<R> {
    reader: R,
    pub buffer: Buffer,
}

/// The bytes at hand. Its user goes through the frames, and takes them out then.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: BytesMut,
    /// Bytes of the allocation behind `bytes`, all of which a slice keeps alive.
    allocated: usize,
    frame_bytes_max: usize,
}

/// Frames side by side, prefixes included, as they arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    frames: Bytes,
    /// Bytes that `frames` keep alive.
    pinned: usize,
}

/// A slice may keep so many times its size alive, and is copied out of more.
const PINNED_FACTOR: usize = 4;

/// The least room for a read. With less the rest of the buffer is left alone.
const READ_ROOM_MIN: usize = READ_BUFFER_BYTES / 4;

impl<R: AsyncRead + Unpin> Input<R> {
    pub(super) fn new(reader: R, frame_bytes_max: usize) -> Self {
        let buffer = Buffer {
            bytes: BytesMut::new(),
            allocated: 0,
            frame_bytes_max,
        };
        Self { reader, buffer }
    }

    /// Reads once; returns whether the stream goes on. Safe to drop.
    ///
    /// # Errors
    /// Those of the stream, and [`io::ErrorKind::UnexpectedEof`] at an end within a
    /// frame.
    pub(super) async fn read(&mut self) -> io::Result<bool> {
        self.buffer.make_room();
        if self.reader.read_buf(&mut self.buffer.bytes).await? > 0 {
            return Ok(true);
        }
        match self.buffer.bytes.is_empty() {
            true => Ok(false),
            false => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the stream ended within a frame",
            )),
        }
    }

    /// The JSON of the next frame; `None` at the end of the stream. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, FrameCodecError>> {
        loop {
            match self.buffer.frame_at(0) {
                Ok(Some(json)) => {
                    let end = end_of(0, json);
                    return self.buffer.take(0..end).next().map(Ok);
                }
                Ok(None) => {}
                Err(error) => return Some(Err(error.into())),
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// The end of a frame that begins at `at` and holds `json`.
pub(super) fn end_of(at: usize, json: &[u8]) -> usize {
    at + FRAME_PREFIX_BYTES + json.len()
}

impl Buffer {
    /// The JSON of the frame that begins at `at`; `None` if it hasn't all arrived.
    ///
    /// # Errors
    /// The framing is broken.
    #[inline]
    pub(super) fn frame_at(&self, at: usize) -> Result<Option<&[u8]>, FrameError> {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        Ok(match frame_state(bytes, self.frame_bytes_max)? {
            FrameState::Complete { len } => bytes
                .get(FRAME_PREFIX_BYTES..)
                .and_then(|rest| rest.get(..len)),
            FrameState::Partial { .. } => None,
        })
    }

    /// Drops the bytes before `at`.
    pub(super) fn drop_before(&mut self, at: usize) {
        self.bytes.advance(at.min(self.bytes.len()));
    }

    /// Takes the whole frames in `range`, and drops everything before them.
    pub(super) fn take(&mut self, range: Range<usize>) -> Run {
        self.drop_before(range.start);
        let bytes = range.len().min(self.bytes.len());
        if bytes.saturating_mul(PINNED_FACTOR) >= self.allocated {
            let frames = self.bytes.split_to(bytes).freeze();
            return Run {
                frames,
                pinned: self.allocated,
            };
        }
        // Many such runs may wait, each with a buffer of its own.
        let frames = Bytes::copy_from_slice(self.bytes.get(..bytes).unwrap_or_default());
        self.bytes.advance(bytes);
        let pinned = bytes;
        Run { frames, pinned }
    }

    /// Makes room for a read: memory follows the bytes that arrive.
    fn make_room(&mut self) {
        let held = self.bytes.len();
        // A buffer that grew for one frame isn't kept for the next.
        let is_kept = held > 0 || self.allocated <= 2 * READ_BUFFER_BYTES;
        if is_kept && self.bytes.try_reclaim(READ_BUFFER_BYTES) {
            return;
        }
        let missing = match frame_state(&self.bytes, self.frame_bytes_max) {
            Ok(FrameState::Partial { missing }) if held > READ_ROOM_MIN => missing,
            _ => READ_ROOM_MIN,
        };
        if is_kept && self.bytes.capacity() - held >= missing.min(READ_ROOM_MIN) {
            return;
        }
        let bytes = (held + missing.min(held)).max(READ_BUFFER_BYTES);
        let former = mem::replace(&mut self.bytes, BytesMut::with_capacity(bytes));
        self.bytes.extend_from_slice(&former);
        self.allocated = self.bytes.capacity();
    }
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// The JSON of each frame, sharing memory or copied.
impl Iterator for Run {
    type Item = Bytes;

    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        let prefix = self.frames.first_chunk::<FRAME_PREFIX_BYTES>()?;
        let bytes = u32::from_be_bytes(*prefix) as usize;
        self.frames.advance(FRAME_PREFIX_BYTES);
        let bytes = bytes.min(self.frames.len());
        if bytes.saturating_mul(PINNED_FACTOR) >= self.pinned {
            return Some(self.frames.split_to(bytes));
        }
        let json = Bytes::copy_from_slice(self.frames.get(..bytes)?);
        self.frames.advance(bytes);
        if self.frames.is_empty() {
            self.frames = Bytes::new();
        }
        Some(json)
    }
}

#[cfg(test)]
mod tests;
