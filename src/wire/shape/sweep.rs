//! Holding a frame against a shape.
//!
//! The sweep is written once, over [`Lanes`]: what one processor checks a byte
//! at a time, another checks 32 at once.

#![forbid(unsafe_code)]

use super::super::envelope::{Header, Span};
use super::super::timestamp;
use super::class;
use super::{Block, Hole, Place, Segment, Shape};
use crate::ids::{MsgId, Name};
use crate::limits::{NAME_BYTES_MAX, SHAPE_FRAME_BYTES_MAX, SHAPE_HOLES_MAX};

/// Where the segments of a shape begin in the frame at hand.
#[derive(Debug, Clone)]
pub(crate) struct Starts([u32; SHAPE_HOLES_MAX + 2]);

impl Default for Starts {
    fn default() -> Self {
        Self([0; SHAPE_HOLES_MAX + 2])
    }
}

/// Bytes behind a frame that the sweep may look at (and not heed).
pub(super) const LOOKAHEAD: usize = Block::BYTES;

/// What a processor can do at once. All of it is safe for any arguments: what
/// lies beyond `bytes` fails.
pub(super) trait Lanes: Copy {
    /// Which of the 32 bytes at `at` are neither their model nor of their
    /// classes.
    fn misfits(self, bytes: &[u8], at: usize, block: &Block) -> u32;

    /// Which of the 32 bytes at `at` are not of `classes`.
    fn outside(self, bytes: &[u8], at: usize, classes: class::Classes) -> u32;

    /// Whether the 19 bytes at `at`, whose digits and separators are in their
    /// places, are a date and a time.
    fn is_date_and_time(self, bytes: &[u8], at: usize) -> bool;
}

/// Holds the frame of `len` bytes at the front of `bytes` against a shape, and
/// finds its header. What stands behind the frame doesn't matter.
#[inline]
pub(super) fn recognize(
    shape: &Shape,
    bytes: &[u8],
    len: usize,
    starts: &mut Starts,
) -> Option<Header> {
    if len < shape.frame_bytes_min as usize || len > SHAPE_FRAME_BYTES_MAX {
        return None;
    }
    if bytes.len() < len + LOOKAHEAD {
        return recognize_copy(shape, bytes.get(..len)?, starts);
    }
    if !fits(shape, bytes, len, starts) {
        return None;
    }
    header(shape, bytes, starts)
}

/// The last frame of a read: there is nothing behind it to look at.
#[cold]
fn recognize_copy(shape: &Shape, frame: &[u8], starts: &mut Starts) -> Option<Header> {
    let mut copy = [0; SHAPE_FRAME_BYTES_MAX + LOOKAHEAD];
    copy.get_mut(..frame.len())?.copy_from_slice(frame);
    if !fits(shape, &copy, frame.len(), starts) {
        return None;
    }
    header(shape, &copy, starts)
}

#[inline]
fn fits(shape: &Shape, bytes: &[u8], len: usize, starts: &mut Starts) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = super::avx2::Avx2::detect() {
        return super::avx2::fits(avx2, shape, bytes, len, starts);
    }
    fits_by(Scalar, shape, bytes, len, starts)
}

/// Whether the frame of `len` bytes at the front of `bytes` has the shape.
#[inline(always)]
pub(super) fn fits_by(
    lanes: impl Lanes,
    shape: &Shape,
    bytes: &[u8],
    len: usize,
    starts: &mut Starts,
) -> bool {
    let mut at = 0;
    for (segment, start) in shape.segments.iter().zip(&mut starts.0) {
        let end = at + segment.bytes as usize;
        *start = at as u32;
        if end > len || !fits_stretch(lanes, shape, segment, bytes, at) {
            return false;
        }
        at = match fill(lanes, segment.hole, bytes, end) {
            Some(hole_end) if segment.hole != Hole::End => hole_end,
            _ => return segment.hole == Hole::End && end == len,
        };
    }
    false
}

#[inline(always)]
fn fits_stretch(
    lanes: impl Lanes,
    shape: &Shape,
    segment: &Segment,
    bytes: &[u8],
    at: usize,
) -> bool {
    /// So many blocks are checked before it is seen whether they fit: a branch
    /// a block would cost more, none at all would sweep wrong shapes to the end.
    const BLOCKS_AT_ONCE: usize = 4;

    let blocks = shape
        .blocks
        .get(usize::from(segment.blocks.start)..usize::from(segment.blocks.end));
    let Some((last, before)) = blocks.and_then(|blocks| blocks.split_last()) else {
        return false;
    };
    let mut at = at;
    for few in before.chunks(BLOCKS_AT_ONCE) {
        let mut misfits = 0;
        for block in few {
            misfits |= lanes.misfits(bytes, at, block);
            at += Block::BYTES;
        }
        if misfits != 0 {
            return false;
        }
    }
    if lanes.misfits(bytes, at, last) & segment.last_mask != 0 {
        return false;
    }
    let times = shape
        .times
        .get(usize::from(segment.times.start)..usize::from(segment.times.end))
        .unwrap_or_default();
    let start = at - before.len() * Block::BYTES;
    times
        .iter()
        .all(|&time| lanes.is_date_and_time(bytes, start + time as usize))
}

/// Where the value that begins at `at` ends, if it is what the hole asks for.
/// It may reach beyond the frame: what follows the hole then doesn't fit.
#[inline(always)]
fn fill(lanes: impl Lanes, hole: Hole, bytes: &[u8], at: usize) -> Option<usize> {
    match hole {
        Hole::End => None,
        Hole::Ascii => run_end(lanes, bytes, at, class::STRING),
        Hole::Number => number_end(lanes, bytes, at),
        Hole::Text | Hole::Name | Hole::Timestamp => fill_rarer(lanes, hole, bytes, at),
    }
}

#[inline(always)]
fn fill_rarer(lanes: impl Lanes, hole: Hole, bytes: &[u8], at: usize) -> Option<usize> {
    let end = run_end(lanes, bytes, at, class::STRING | class::BEYOND_ASCII)?;
    let text = bytes.get(at..end)?;
    let right = match hole {
        Hole::Text => text.is_ascii() || str::from_utf8(text).is_ok(),
        Hole::Timestamp => timestamp::is_timestamp(text),
        _ if text.is_ascii() => (1..=NAME_BYTES_MAX).contains(&text.len()),
        _ => str::from_utf8(text).is_ok() && Name::check(text).is_ok(),
    };
    right.then_some(end)
}

/// Where the bytes of `classes` that begin at `at` end.
#[inline(always)]
fn run_end(
    lanes: impl Lanes,
    bytes: &[u8],
    mut at: usize,
    classes: class::Classes,
) -> Option<usize> {
    while at < bytes.len() {
        match lanes.outside(bytes, at, classes) {
            0 => at += Block::BYTES,
            outside => return Some(at + outside.trailing_zeros() as usize),
        }
    }
    None
}

/// Where the number that begins at `at` ends: the longest stretch that JSON's
/// grammar takes.
#[inline(always)]
fn number_end(lanes: impl Lanes, bytes: &[u8], at: usize) -> Option<usize> {
    let first = at + usize::from(bytes.get(at) == Some(&b'-'));
    let others = lanes.outside(bytes, first, class::DIGIT);
    let whole = others.trailing_zeros() as usize;
    if whole == 0 || whole > 1 && bytes.get(first) == Some(&b'0') {
        return None;
    }
    let end = match bytes.get(first + whole)? {
        b'.' => {
            // The first that is no digit behind the point, which is none.
            let behind = others & others.wrapping_sub(1);
            let end = behind.trailing_zeros() as usize;
            if end == whole + 1 && end < Block::BYTES {
                return None;
            }
            end
        }
        _ => whole,
    };
    match bytes.get(first + end)? {
        _ if end == Block::BYTES => odd_number_end(bytes, at),
        b'e' | b'E' => odd_number_end(bytes, at),
        _ => Some(first + end),
    }
}

/// The same for numbers with an exponent, or of many digits.
#[cold]
#[inline(never)]
fn odd_number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits_end = |at: usize| {
        let rest = bytes.get(at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(at + digits)
    };
    let is_at = |at: usize, these: &[u8]| bytes.get(at).is_some_and(|byte| these.contains(byte));
    let first = at + usize::from(is_at(at, b"-"));
    let mut end = digits_end(first)?;
    if end > first + 1 && is_at(first, b"0") {
        return None;
    }
    if is_at(end, b".") {
        end = digits_end(end + 1)?;
    }
    if is_at(end, b"eE") {
        let sign = usize::from(is_at(end + 1, b"+-"));
        end = digits_end(end + 1 + sign)?;
    }
    Some(end)
}

/// The header of a frame that fits.
#[inline]
pub(super) fn header(shape: &Shape, bytes: &[u8], starts: &Starts) -> Option<Header> {
    let at = |place: Place| {
        let start = starts.0.get(place.segment as usize).copied();
        start.unwrap_or_default() as usize + place.offset as usize
    };
    let span = |(start, end): (Place, Place)| Span::new(at(start), at(end));
    let msg_id = bytes.get(at(shape.locators.msg_id)..)?.first_chunk()?;
    Some(Header {
        msg_id: MsgId::from_checked(*msg_id),
        kind: shape.kind,
        source: span(shape.locators.source)?,
        target: match shape.locators.target {
            Some(target) => Some(span(target)?),
            None => None,
        },
        in_scratch: false,
    })
}

/// A byte at a time, on any processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

impl Lanes for Scalar {
    #[inline]
    fn misfits(self, bytes: &[u8], at: usize, block: &Block) -> u32 {
        let mut misfits = 0;
        for lane in 0..Block::BYTES {
            let fits = bytes.get(at + lane).is_some_and(|&byte| {
                byte == block.model[lane] || class::is(byte, block.classes[lane])
            });
            misfits |= u32::from(!fits) << lane;
        }
        misfits
    }

    #[inline]
    fn outside(self, bytes: &[u8], at: usize, classes: class::Classes) -> u32 {
        let mut outside = 0;
        for lane in 0..Block::BYTES {
            let inside = (bytes.get(at + lane)).is_some_and(|&byte| class::is(byte, classes));
            outside |= u32::from(!inside) << lane;
        }
        outside
    }

    #[inline]
    fn is_date_and_time(self, bytes: &[u8], at: usize) -> bool {
        let head = bytes.get(at..).and_then(|rest| rest.first_chunk());
        head.is_some_and(timestamp::is_date_and_time)
    }
}
