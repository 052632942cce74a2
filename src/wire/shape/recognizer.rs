//! The entry to the matcher: picks the processor's instructions, and reads the
//! header of a frame that matched.

#[cfg(target_arch = "x86_64")]
use super::avx2::{self, Avx2};
use super::position::{Offsets, Position};
use super::simd::Portable;
use super::{Block, Shape, ShapeMatch, matcher};
use crate::limits::SHAPE_FRAME_BYTES_MAX;
use crate::wire::envelope::{Names, Span};

/// The number of bytes behind a frame that are read. Their values don't matter.
pub(super) const LOOKAHEAD: usize = Block::BYTES;

/// A buffer for a frame with less than [`LOOKAHEAD`] behind it, such as the last
/// of a read.
#[derive(Debug)]
pub(super) struct PaddedCopy(Box<[u8]>);

impl Default for PaddedCopy {
    fn default() -> Self {
        Self(vec![0; SHAPE_FRAME_BYTES_MAX + LOOKAHEAD].into())
    }
}

impl PaddedCopy {
    /// A buffer without memory.
    pub(super) fn empty() -> Self {
        Self(Box::default())
    }

    /// Copies the frame. `None` if it is larger than any that shapes recognise.
    pub(super) fn copy(&mut self, frame: &[u8]) -> Option<&[u8]> {
        let fits = frame.len() <= SHAPE_FRAME_BYTES_MAX;
        let copy = self.0.get_mut(..frame.len()).filter(|_| fits)?;
        copy.copy_from_slice(frame);
        Some(&self.0)
    }
}

/// Returns whether the frame of `len` bytes at the front of `bytes` has the
/// shape, with [`LOOKAHEAD`] bytes behind it. Then [`header_of`] gives its
/// header.
#[inline]
pub(super) fn matches(shape: &Shape, bytes: &[u8], len: usize, offsets: &mut Offsets) -> bool {
    let small = shape.frame_bytes_min as usize <= len && len <= SHAPE_FRAME_BYTES_MAX;
    let fits = small && bytes.len() >= len + LOOKAHEAD && fits(shape, bytes, len, offsets);
    offsets.shape = if fits { shape.number } else { 0 };
    fits
}

#[inline]
fn fits(shape: &Shape, bytes: &[u8], len: usize, offsets: &mut Offsets) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = Avx2::detect() {
        return avx2::fits(avx2, shape, bytes, len, offsets);
    }
    matcher::fits(Portable, shape, bytes, len, offsets)
}

/// The header of a frame that matched.
#[inline(always)]
pub(super) fn header_of(shape: &Shape, offsets: &Offsets) -> ShapeMatch {
    let at = |position: Position| offsets.at(position);
    let span = |(start, end): (Position, Position)| Span::between(at(start), at(end));
    ShapeMatch {
        kind: shape.kind,
        msg_id_at: at(shape.header.msg_id),
        names: Names {
            source: span(shape.header.source),
            target: shape.header.target.map(span),
            in_scratch: false,
        },
    }
}
