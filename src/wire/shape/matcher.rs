//! Holding a frame against a shape.
//!
//! The sweep is written once, over [`Lanes`]: what one processor checks a byte
//! at a time, another checks 32 at once.

#![forbid(unsafe_code)]

use super::class;
use super::{Block, Hole, Place, Recognized, Segment, Shape};
use crate::ids::Name;
use crate::limits::{NAME_BYTES_MAX, SHAPE_FRAME_BYTES_MAX, SHAPE_HOLES_MAX};
use crate::wire::envelope::{Names, Span};
use crate::wire::rules;

/// Where the segments of a shape begin in the frame at hand.
#[derive(Debug, Clone)]
pub(crate) struct Starts {
    of_segment: [u32; SHAPE_HOLES_MAX + 2],
    /// The number of the shape that recognised the frame; 0 if none did.
    pub(super) shape: u64,
}

impl Default for Starts {
    fn default() -> Self {
        Self {
            of_segment: [0; SHAPE_HOLES_MAX + 2],
            shape: 0,
        }
    }
}

impl Starts {
    /// How far behind the frame's start a place is.
    #[inline(always)]
    pub(super) fn at(&self, place: Place) -> u32 {
        let start = self.of_segment.get(place.segment as usize).copied();
        start.unwrap_or_default() + place.offset
    }
}

const _: () = assert!(
    Block::BYTES <= NAME_BYTES_MAX,
    "what fits a block is no longer than a name"
);

/// Bytes behind a frame that the sweep may look at (and not heed).
pub(super) const LOOKAHEAD: usize = Block::BYTES;

/// 32 bytes of a frame, or of what follows it.
pub(super) type Lane = [u8; Block::BYTES];

/// What a processor can do at once.
pub(super) trait Lanes: Copy {
    /// Whether each byte of `text` is its model or of its classes; of the last
    /// block only those in `last_mask`.
    fn fits(self, text: &[Lane], blocks: &[Block], last_mask: u32) -> bool;

    /// Which bytes equal `byte`.
    fn equal(self, text: &Lane, byte: u8) -> u32;

    /// Which bytes are not of `classes`.
    fn outside(self, text: &Lane, classes: class::Classes) -> u32;

    /// Whether the first 19 bytes, whose digits and separators are in their
    /// places, are a date and a time.
    fn is_date_and_time(self, text: &Lane) -> bool;
}

/// A place for a frame with nothing behind it, such as a read's last: there the
/// sweep finds what it looks at beyond the end.
#[derive(Debug)]
pub(super) struct Lookahead(Box<[u8]>);

impl Default for Lookahead {
    fn default() -> Self {
        Self(vec![0; SHAPE_FRAME_BYTES_MAX + LOOKAHEAD].into())
    }
}

impl Lookahead {
    /// No place; takes no memory.
    pub(super) fn nowhere() -> Self {
        Self(Box::default())
    }

    /// A copy of the frame that can be held against shapes; `None` if no shape
    /// is for frames so large.
    pub(super) fn copy(&mut self, frame: &[u8]) -> Option<&[u8]> {
        let fits = frame.len() <= SHAPE_FRAME_BYTES_MAX;
        let place = self.0.get_mut(..frame.len()).filter(|_| fits)?;
        place.copy_from_slice(frame);
        Some(&self.0)
    }
}

/// Holds the frame of `len` bytes at the front of `bytes` against a shape. There
/// must be [`LOOKAHEAD`] bytes behind it; what they are doesn't matter. If the
/// frame has the shape, [`found`] says what that tells.
#[inline]
pub(super) fn recognizes(shape: &Shape, bytes: &[u8], len: usize, starts: &mut Starts) -> bool {
    let small = shape.frame_bytes_min as usize <= len && len <= SHAPE_FRAME_BYTES_MAX;
    let fits = small && bytes.len() >= len + LOOKAHEAD && fits(shape, bytes, len, starts);
    starts.shape = if fits { shape.number } else { 0 };
    fits
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
    for (segment, start) in shape.segments.iter().zip(&mut starts.of_segment) {
        let end = at + segment.bytes as usize;
        *start = at as u32;
        let (Some(blocks), Some(times), Some(text)) = (
            part(&shape.blocks, segment.blocks),
            part(&shape.times, segment.times),
            bytes.get(at..),
        ) else {
            return false;
        };
        if end > len || !fits_stretch(lanes, blocks, segment.last_mask, text) {
            return false;
        }
        for &time in times {
            let text = lane(bytes, at + time as usize);
            if !text.is_some_and(|text| lanes.is_date_and_time(text)) {
                return false;
            }
        }
        if segment.hole == Hole::End {
            return end == len;
        }
        at = match fill(lanes, segment, bytes, end, len) {
            Some(hole_end) => hole_end,
            None => return false,
        };
    }
    false
}

#[inline(always)]
fn part<T>(all: &[T], (start, end): (u16, u16)) -> Option<&[T]> {
    all.get(usize::from(start)..usize::from(end))
}

#[inline(always)]
fn fits_stretch(lanes: impl Lanes, blocks: &[Block], last_mask: u32, bytes: &[u8]) -> bool {
    /// So many blocks are checked before it is seen whether they fit: a branch
    /// a block would cost more, none at all would sweep wrong shapes to the end.
    const BLOCKS_AT_ONCE: usize = 6;

    let (text, _) = bytes.as_chunks();
    let Some(text) = text.get(..blocks.len()) else {
        return false;
    };
    if blocks.len() <= BLOCKS_AT_ONCE {
        return lanes.fits(text, blocks, last_mask);
    }
    let (text, last_text) = text.split_at(text.len() - BLOCKS_AT_ONCE);
    let (blocks, last_blocks) = blocks.split_at(blocks.len() - BLOCKS_AT_ONCE);
    let texts = text.chunks(BLOCKS_AT_ONCE);
    let mut pairs = texts.zip(blocks.chunks(BLOCKS_AT_ONCE));
    pairs.all(|(text, blocks)| lanes.fits(text, blocks, u32::MAX))
        && lanes.fits(last_text, last_blocks, last_mask)
}

#[inline(always)]
fn lane(bytes: &[u8], at: usize) -> Option<&Lane> {
    bytes.get(at..)?.first_chunk()
}

/// Where the value that begins at `at` ends, if it is what the hole asks for:
/// at the first `terminator`, the literal that follows it. That may lie beyond
/// the frame: what follows the hole then doesn't fit.
///
/// Where the value ends is found without looking at what it is, because all
/// that follows in the frame waits for that.
#[inline(always)]
fn fill(
    lanes: impl Lanes,
    segment: &Segment,
    bytes: &[u8],
    at: usize,
    len: usize,
) -> Option<usize> {
    let Segment {
        hole, terminator, ..
    } = *segment;
    let text = lane(bytes, at)?;
    let ends = lanes.equal(text, terminator);
    if ends == 0 {
        // Not beyond the frame: nothing bounds what stands there.
        return Some(at + fill_long(hole, terminator, bytes.get(at..len)?)?);
    }
    let end = ends.trailing_zeros();
    // Those before the terminator.
    let inside = (ends & ends.wrapping_neg()).wrapping_sub(1);
    let right = match hole {
        Hole::Ascii => lanes.outside(text, class::STRING) & inside == 0,
        Hole::Name | Hole::Text => {
            let plain = lanes.outside(text, class::STRING) & inside == 0;
            plain && (hole == Hole::Text || end > 0) || fills(hole, text.get(..end as usize)?)
        }
        Hole::Number => {
            let others = lanes.outside(text, class::DIGIT) & inside;
            is_plain_number(text, end, others) || is_number(text.get(..end as usize)?)
        }
        Hole::Timestamp | Hole::End => fills(hole, text.get(..end as usize)?),
    };
    right.then_some(at + end as usize)
}

#[cold]
#[inline(never)]
fn fill_long(hole: Hole, terminator: u8, rest: &[u8]) -> Option<usize> {
    let text = rest.get(..memchr::memchr(terminator, rest)?)?;
    fills(hole, text).then_some(text.len())
}

/// Whether the value is what the hole asks for.
#[inline(never)]
fn fills(hole: Hole, text: &[u8]) -> bool {
    let all = |classes| text.iter().all(|&byte| class::is(byte, classes));
    match hole {
        Hole::End => false,
        Hole::Ascii => all(class::STRING),
        Hole::Number => is_number(text),
        Hole::Timestamp => rules::is_timestamp(text),
        Hole::Text => all(class::STRING | class::BEYOND_ASCII) && str::from_utf8(text).is_ok(),
        Hole::Name => {
            all(class::STRING | class::BEYOND_ASCII)
                && (1..=NAME_BYTES_MAX).contains(&text.len())
                && (text.is_ascii() || str::from_utf8(text).is_ok() && Name::check(text).is_ok())
        }
    }
}

/// Whether the first `end` bytes are a number without exponent, of which
/// `others` are no digits. False for some that are numbers all the same.
#[inline(always)]
fn is_plain_number(text: &Lane, end: u32, others: u32) -> bool {
    let negative = text[0] == b'-';
    let others = others >> u32::from(negative);
    let length = end - u32::from(negative).min(end);
    // The first that is no digit: the point, if there is one.
    let whole = if others == 0 {
        length
    } else {
        others.trailing_zeros()
    };
    let first = text[usize::from(negative)];
    let has_point = others != 0;
    let point = text[((u32::from(negative) + whole) % Block::BYTES as u32) as usize];
    let only_a_point = others & others.wrapping_sub(1) == 0 && point == b'.' && whole + 1 < length;
    whole > 0 && (first != b'0' || whole == 1) && (!has_point || only_a_point)
}

/// Whether the text is a number by JSON's grammar.
#[cold]
#[inline(never)]
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &mut &[u8]| {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *text = &text[count..];
        count
    };
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let leading_zero = rest.first() == Some(&b'0');
    let whole = digits(&mut rest);
    if whole == 0 || leading_zero && whole > 1 {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = fraction;
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        rest = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            exponent => exponent,
        };
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

/// What is recognised of a frame that fits.
#[inline(always)]
pub(super) fn found(shape: &Shape, starts: &Starts) -> Recognized {
    let at = |place: Place| starts.at(place);
    let span = |(start, end): (Place, Place)| Span::between(at(start), at(end));
    Recognized {
        kind: shape.kind,
        msg_id_at: at(shape.locators.msg_id),
        names: Names {
            source: span(shape.locators.source),
            target: shape.locators.target.map(span),
            in_scratch: false,
        },
    }
}

/// A byte at a time, on any processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar;

impl Lanes for Scalar {
    #[inline]
    fn fits(self, text: &[Lane], blocks: &[Block], last_mask: u32) -> bool {
        let misfits = |text: &Lane, block: &Block| {
            bits(|lane| {
                text[lane] != block.model[lane] && !class::is(text[lane], block.classes[lane])
            })
        };
        let last = blocks.len().saturating_sub(1);
        let mut pairs = text.iter().zip(blocks).enumerate();
        text.len() == blocks.len()
            && pairs.all(|(at, (text, block))| {
                let mask = if at == last { last_mask } else { u32::MAX };
                misfits(text, block) & mask == 0
            })
    }

    #[inline]
    fn equal(self, text: &Lane, byte: u8) -> u32 {
        bits(|lane| text[lane] == byte)
    }

    #[inline]
    fn outside(self, text: &Lane, classes: class::Classes) -> u32 {
        bits(|lane| !class::is(text[lane], classes))
    }

    #[inline]
    fn is_date_and_time(self, text: &Lane) -> bool {
        text.first_chunk().is_some_and(rules::is_date_and_time)
    }
}

#[inline]
fn bits(of: impl Fn(usize) -> bool) -> u32 {
    (0..Block::BYTES).fold(0, |bits, lane| bits | u32::from(of(lane)) << lane)
}
