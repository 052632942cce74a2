//! Matching a frame against a shape.
//!
//! A shape is a template: fixed parts, and between them variables, values of
//! varying width. A segment is a fixed part and the variable behind it. At each
//! position of a fixed part stand a sample byte and, in a value that was always as
//! wide, the classes of the other bytes that may stand there.
//!
//! `docs/architecture.md` has a picture.
//!
//! - [`fits`] goes from segment to segment, and is compiled for each processor, over
//!   [`Simd`].
//! - The terminator is the fixed byte behind the variable. All that follows waits
//!   for its position, so one comparison finds it, and the value is checked aside.
//! - Up to 31 bytes behind the frame are read as part of the last chunk. They
//!   never decide: `end` is compared with `len`.

#[cfg(target_arch = "x86_64")]
use super::avx2::{self, Avx2};
use super::class::{self, Classes};
use super::escape;
use super::{Block, Offsets, Segment, Shape, ShapeMatch, SlotPosition, Variable};
use crate::ids::Name;
use crate::limits::{NAME_BYTES_MAX, SHAPE_FRAME_BYTES_MAX};
use crate::wire::envelope::{Names, Span};
use crate::wire::rules;

/// The number of bytes behind a frame that are read. Their values don't matter.
pub(super) const LOOKAHEAD: usize = Block::BYTES;

/// Returns whether the frame of `len` bytes at the front of `bytes`, with
/// [`LOOKAHEAD`] bytes behind it, has the shape. Then [`header_of`] gives its header.
#[inline(always)]
pub(super) fn matches(shape: &Shape, bytes: &[u8], len: usize, offsets: &mut Offsets) -> bool {
    let small = shape.frame_bytes_min as usize <= len && len <= SHAPE_FRAME_BYTES_MAX;
    let fits = small && bytes.len() >= len + LOOKAHEAD && fits_here(shape, bytes, len, offsets);
    offsets.shape = if fits { shape.number } else { 0 };
    fits
}

/// [`fits`] by the instructions of this processor.
#[inline(always)]
fn fits_here(shape: &Shape, bytes: &[u8], len: usize, offsets: &mut Offsets) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = Avx2::detect() {
        return avx2::fits(avx2, shape, bytes, len, offsets);
    }
    fits(Portable, shape, bytes, len, offsets)
}

/// The header of a frame that matched.
#[inline(always)]
pub(super) fn header_of(shape: &Shape, offsets: &Offsets) -> ShapeMatch {
    let span = |slot: SlotPosition| Span::between(offsets.at(slot.start), offsets.at(slot.end));
    ShapeMatch {
        kind: shape.kind,
        msg_id_at: offsets.at(shape.header.msg_id),
        names: Names {
            source: span(shape.header.source),
            target: shape.header.target.map(span),
            in_scratch: false,
        },
    }
}

/// 32 bytes of a frame, or of the bytes behind it.
pub(super) type Chunk = [u8; Block::BYTES];

/// Comparisons of 32 bytes. A mask has a bit for each byte, the first lowest.
pub(super) trait Simd: Copy {
    /// Returns whether each byte of `text` equals its sample or is of its
    /// classes. Of the last block only the bytes in `last_mask` count.
    fn fits(self, text: &[Chunk], blocks: &[Block], last_mask: u32) -> bool;

    /// Returns the mask of the bytes that equal `byte`.
    fn equal(self, text: &Chunk, byte: u8) -> u32;

    /// Returns the mask of the bytes that are of none of `classes`, classes of ASCII.
    fn outside(self, text: &Chunk, classes: Classes) -> u32;

    /// Returns the mask of the bytes beyond ASCII.
    fn beyond_ascii(self, text: &Chunk) -> u32;

    /// Returns the mask of the bytes that are no digits.
    fn other_than_digits(self, text: &Chunk) -> u32;

    /// Returns whether the first 19 bytes, digits and separators in place, are a date
    /// and a time.
    fn is_date_and_time(self, text: &Chunk) -> bool;
}

/// One byte at a time, on any processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    #[inline]
    fn fits(self, text: &[Chunk], blocks: &[Block], last_mask: u32) -> bool {
        let misfits = |text: &Chunk, block: &Block| {
            bits(|at| text[at] != block.sample[at] && !class::is(text[at], block.classes[at]))
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
    fn equal(self, text: &Chunk, byte: u8) -> u32 {
        bits(|at| text[at] == byte)
    }

    #[inline]
    fn outside(self, text: &Chunk, classes: Classes) -> u32 {
        bits(|at| !class::is(text[at], classes))
    }

    #[inline]
    fn beyond_ascii(self, text: &Chunk) -> u32 {
        bits(|at| !text[at].is_ascii())
    }

    #[inline]
    fn other_than_digits(self, text: &Chunk) -> u32 {
        bits(|at| !text[at].is_ascii_digit())
    }

    #[inline]
    fn is_date_and_time(self, text: &Chunk) -> bool {
        text.first_chunk().is_some_and(rules::is_date_and_time)
    }
}

/// The mask of the bytes for which `of` is true.
#[inline]
fn bits(of: impl Fn(usize) -> bool) -> u32 {
    let (mut bits, mut at) = (0, 0);
    // No range: unoptimised, as most tests run, its iterator costs six times
    // the comparison.
    while at < Block::BYTES {
        bits |= u32::from(of(at)) << at;
        at += 1;
    }
    bits
}

const _: () = assert!(
    Block::BYTES <= NAME_BYTES_MAX,
    "what fits a block is no longer than a name"
);

/// Returns whether the frame of `len` bytes at the front of `bytes` has the shape.
#[inline(always)]
pub(super) fn fits(
    simd: impl Simd,
    shape: &Shape,
    bytes: &[u8],
    len: usize,
    offsets: &mut Offsets,
) -> bool {
    let (mut blocks, mut times) = (&*shape.blocks, &*shape.times);
    let mut at = 0;
    offsets.has_escapes = false;
    for (segment, start) in shape.segments.iter().zip(&mut offsets.of_segment) {
        *start = at as u32;
        let (Some(own_blocks), Some(text)) = (front(&mut blocks, segment.blocks), bytes.get(at..))
        else {
            return false;
        };
        if !fits_fixed_part(simd, own_blocks, segment.last_mask, text) {
            return false;
        }
        if segment.times > 0 {
            let is_time = |&time: &u32| {
                chunk(text, time as usize).is_some_and(|text| simd.is_date_and_time(text))
            };
            let own_times = front(&mut times, segment.times);
            if !own_times.is_some_and(|own_times| own_times.iter().all(is_time)) {
                return false;
            }
        }
        // Compared with `len` once the last variable has ended.
        let end = at + segment.bytes as usize;
        if segment.variable == Variable::End {
            return end == len;
        }
        let next = if segment.variable == Variable::EscapedText {
            escape::text_end(simd, bytes, end, len, &mut offsets.has_escapes)
        } else {
            variable_end(simd, segment, bytes, end, len)
        };
        at = match next {
            Some(next) => next,
            None => return false,
        };
    }
    false
}

/// Takes the first `count` items off `rest`. `None` if there are fewer.
#[inline(always)]
fn front<'a, T>(rest: &mut &'a [T], count: u16) -> Option<&'a [T]> {
    let (front, behind) = rest.split_at_checked(usize::from(count))?;
    *rest = behind;
    Some(front)
}

#[inline(always)]
fn fits_fixed_part(simd: impl Simd, blocks: &[Block], last_mask: u32, bytes: &[u8]) -> bool {
    /// Blocks between two branches. A branch for each costs more; none at all
    /// would compare a wrong shape to its end.
    const BLOCKS_AT_ONCE: usize = 6;

    let (text, _) = bytes.as_chunks();
    let Some(text) = text.get(..blocks.len()) else {
        return false;
    };
    if blocks.len() <= BLOCKS_AT_ONCE {
        return simd.fits(text, blocks, last_mask);
    }
    let (text, last_text) = text.split_at(text.len() - BLOCKS_AT_ONCE);
    let (blocks, last_blocks) = blocks.split_at(blocks.len() - BLOCKS_AT_ONCE);
    let texts = text.chunks(BLOCKS_AT_ONCE);
    let mut pairs = texts.zip(blocks.chunks(BLOCKS_AT_ONCE));
    pairs.all(|(text, blocks)| simd.fits(text, blocks, u32::MAX))
        && simd.fits(last_text, last_blocks, last_mask)
}

#[inline(always)]
pub(super) fn chunk(bytes: &[u8], at: usize) -> Option<&Chunk> {
    bytes.get(at..)?.first_chunk()
}

/// Finds the end of the value that begins at `at`, at the first terminator.
/// `None` if the value is not of the variable's type. The end may lie beyond the
/// frame: then the last fixed part ends behind it.
#[inline(always)]
fn variable_end(
    simd: impl Simd,
    segment: &Segment,
    bytes: &[u8],
    at: usize,
    len: usize,
) -> Option<usize> {
    let Segment {
        variable,
        terminator,
        ..
    } = *segment;
    let text = chunk(bytes, at)?;
    let ends = simd.equal(text, terminator);
    if ends == 0 {
        // Within the frame: nothing bounds the bytes behind it.
        return Some(at + long_variable_end(variable, terminator, bytes.get(at..len)?)?);
    }
    let end = ends.trailing_zeros();
    // The bytes before the terminator.
    let inside = (ends & ends.wrapping_neg()).wrapping_sub(1);
    let right = match variable {
        Variable::Ascii => simd.outside(text, class::STRING) & inside == 0,
        Variable::Name | Variable::Text => {
            let plain = simd.outside(text, class::STRING) & inside == 0;
            plain && (variable == Variable::Text || end > 0)
                || is_valid(variable, text.get(..end as usize)?)
        }
        Variable::Number => {
            let others = simd.other_than_digits(text) & inside;
            is_plain_number(text, end, others) || is_number(text.get(..end as usize)?)
        }
        Variable::Timestamp | Variable::EscapedText | Variable::End => {
            is_valid(variable, text.get(..end as usize)?)
        }
    };
    right.then_some(at + end as usize)
}

#[cold]
#[inline(never)]
fn long_variable_end(variable: Variable, terminator: u8, rest: &[u8]) -> Option<usize> {
    let text = rest.get(..memchr::memchr(terminator, rest)?)?;
    is_valid(variable, text).then_some(text.len())
}

/// Returns whether the text is a value of the variable's type.
#[inline(never)]
fn is_valid(variable: Variable, text: &[u8]) -> bool {
    let all = |classes| text.iter().all(|&byte| class::is(byte, classes));
    match variable {
        // Neither has a value that comes here.
        Variable::End | Variable::EscapedText => false,
        Variable::Ascii => all(class::STRING),
        Variable::Number => is_number(text),
        Variable::Timestamp => rules::is_timestamp(text),
        Variable::Text => all(class::STRING | class::BEYOND_ASCII) && str::from_utf8(text).is_ok(),
        Variable::Name => {
            all(class::STRING | class::BEYOND_ASCII)
                && (1..=NAME_BYTES_MAX).contains(&text.len())
                && (text.is_ascii() || str::from_utf8(text).is_ok() && Name::check(text).is_ok())
        }
    }
}

/// Returns whether the first `end` bytes are a number without exponent. `others`
/// are its bytes that are no digits. False for some numbers all the same.
#[inline(always)]
fn is_plain_number(text: &Chunk, end: u32, others: u32) -> bool {
    let negative = text[0] == b'-';
    let others = others >> u32::from(negative);
    let length = end - u32::from(negative).min(end);
    // The first byte that is no digit: the point, if there is one.
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

/// Returns whether the text is a number by JSON's grammar.
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
