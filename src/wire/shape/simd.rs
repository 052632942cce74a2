//! The comparisons that a matcher is made of, for any processor.

use super::Block;
use super::class::{self, Classes};
use crate::wire::rules;

/// 32 bytes of a frame, or of the bytes behind it.
pub(super) type Chunk = [u8; Block::BYTES];

/// Comparisons of 32 bytes. A mask has a bit for each byte, the first lowest.
pub(super) trait Simd: Copy {
    /// Returns whether each byte of `text` equals its sample or is of its
    /// classes. Of the last block only the bytes in `last_mask` count.
    fn fits(self, text: &[Chunk], blocks: &[Block], last_mask: u32) -> bool;

    /// Returns the mask of the bytes that equal `byte`.
    fn equal(self, text: &Chunk, byte: u8) -> u32;

    /// Returns the mask of the bytes that are of none of `classes`.
    fn outside(self, text: &Chunk, classes: Classes) -> u32;

    /// Returns whether the first 19 bytes are a date and a time. Digits and
    /// separators are known to be in their places.
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
    fn is_date_and_time(self, text: &Chunk) -> bool {
        text.first_chunk().is_some_and(rules::is_date_and_time)
    }
}

#[inline]
fn bits(of: impl Fn(usize) -> bool) -> u32 {
    (0..Block::BYTES).fold(0, |bits, at| bits | u32::from(of(at)) << at)
}
