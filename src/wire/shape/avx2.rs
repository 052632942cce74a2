//! The matcher on processors with AVX2: 32 bytes at once.
//!
//! Unsafe are calls of functions compiled for AVX2, which an [`Avx2`] proves to be
//! there, and bytes that become vectors.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cmpgt_epi16, _mm_maddubs_epi16, _mm_movemask_epi8, _mm_or_si128,
    _mm_set1_epi8, _mm_setr_epi8, _mm_setr_epi16, _mm_shuffle_epi8, _mm_sub_epi8, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_max_epu8, _mm256_min_epu8,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_sub_epi8,
};
use std::mem::transmute;

use super::class::{self, BY_HIGH, BY_LOW};
use super::matcher::{self, Chunk, Simd};
use super::{Block, Offsets, Shape};
use crate::wire::rules;

/// The proof that this processor has AVX2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Asks the processor. The answer is kept, so this costs one load.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// [`matcher::fits`], compiled for AVX2 as a whole.
#[inline]
#[allow(unsafe_code, reason = "the processor was asked")]
pub(super) fn fits(
    avx2: Avx2,
    shape: &Shape,
    bytes: &[u8],
    len: usize,
    offsets: &mut Offsets,
) -> bool {
    #[target_feature(enable = "avx2")]
    fn compiled(
        avx2: Avx2,
        shape: &Shape,
        bytes: &[u8],
        len: usize,
        offsets: &mut Offsets,
    ) -> bool {
        matcher::fits(avx2, shape, bytes, len, offsets)
    }
    // SAFETY: an `Avx2` exists only where the processor has AVX2.
    unsafe { compiled(avx2, shape, bytes, len, offsets) }
}

#[allow(unsafe_code, reason = "an `Avx2` proves that the processor has AVX2")]
impl Simd for Avx2 {
    #[inline(always)]
    fn fits(self, text: &[Chunk], blocks: &[Block], last_mask: u32) -> bool {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { all_fit(text, blocks, last_mask) }
    }

    #[inline(always)]
    fn equal(self, text: &Chunk, byte: u8) -> u32 {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { equal(text, byte) }
    }

    #[inline(always)]
    fn outside(self, text: &Chunk, classes: class::Classes) -> u32 {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { outside(text, classes) }
    }

    #[inline(always)]
    fn beyond_ascii(self, text: &Chunk) -> u32 {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { beyond_ascii(text) }
    }

    #[inline(always)]
    fn other_than_digits(self, text: &Chunk) -> u32 {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { other_than_digits(text) }
    }

    #[inline(always)]
    fn is_date_and_time(self, text: &Chunk) -> bool {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { is_date_and_time(text) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn all_fit(text: &[Chunk], blocks: &[Block], last_mask: u32) -> bool {
    let (Some((last_text, text)), Some((last_block, blocks))) =
        (text.split_last(), blocks.split_last())
    else {
        return text.len() == blocks.len();
    };
    let last = zeros(reasons(last_text, last_block)) & last_mask;
    let mut before = _mm256_set1_epi8(-1);
    for (text, block) in text.iter().zip(blocks) {
        before = _mm256_min_epu8(before, reasons(text, block));
    }
    last == 0 && zeros(before) == 0
}

/// Of each byte the reasons why it fits: zero if it doesn't.
#[inline]
#[target_feature(enable = "avx2")]
fn reasons(text: &Chunk, block: &Block) -> __m256i {
    let text = load(text);
    let equal = _mm256_cmpeq_epi8(text, load(&block.sample));
    let common = _mm256_and_si256(classes_of(text), load(&block.classes));
    _mm256_or_si256(equal, common)
}

/// The mask of the bytes that are zero.
#[inline]
#[target_feature(enable = "avx2")]
fn zeros(bytes: __m256i) -> u32 {
    let zero = _mm256_cmpeq_epi8(bytes, _mm256_setzero_si256());
    _mm256_movemask_epi8(zero).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal(text: &Chunk, byte: u8) -> u32 {
    let equal = _mm256_cmpeq_epi8(load(text), _mm256_set1_epi8(byte.cast_signed()));
    _mm256_movemask_epi8(equal).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn outside(text: &Chunk, classes: class::Classes) -> u32 {
    let wanted = _mm256_set1_epi8(classes.cast_signed());
    zeros(_mm256_and_si256(classes_of(load(text)), wanted))
}

#[inline]
#[target_feature(enable = "avx2")]
fn beyond_ascii(text: &Chunk) -> u32 {
    // The highest bit of each byte.
    _mm256_movemask_epi8(load(text)).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn other_than_digits(text: &Chunk) -> u32 {
    let nine = _mm256_set1_epi8(9);
    let value = _mm256_sub_epi8(load(text), _mm256_set1_epi8(b'0'.cast_signed()));
    let digits = _mm256_cmpeq_epi8(_mm256_max_epu8(value, nine), nine);
    !_mm256_movemask_epi8(digits).cast_unsigned()
}

/// The classes of 32 bytes, by two lookups of nibbles; none of a byte beyond ASCII.
#[inline]
#[target_feature(enable = "avx2")]
fn classes_of(text: __m256i) -> __m256i {
    let nibble = _mm256_set1_epi8(0x0F);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(text), nibble);
    _mm256_and_si256(
        // The lookup takes the low nibble, and gives zero where the highest bit is set.
        _mm256_shuffle_epi8(both_halves(&BY_LOW), text),
        _mm256_shuffle_epi8(both_halves(&BY_HIGH), high),
    )
}

/// Checks month to second at once; days above 28 are left to the calendar.
#[inline]
#[target_feature(enable = "avx2")]
fn is_date_and_time(text: &Chunk) -> bool {
    // From the month on: `MM-DDThh:mm:ss`.
    let from_month: &[u8; 16] = text[5..21].first_chunk().expect("16 bytes");
    let digits = _mm_sub_epi8(load_half(from_month), _mm_set1_epi8(b'0'.cast_signed()));
    let pairs = _mm_shuffle_epi8(
        digits,
        _mm_setr_epi8(0, 1, 3, 4, 6, 7, 9, 10, 12, 13, -1, -1, -1, -1, -1, -1),
    );
    let weights = _mm_setr_epi8(10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 0, 0, 0, 0, 0, 0);
    let values = _mm_maddubs_epi16(pairs, weights);
    let too_large = _mm_cmpgt_epi16(values, _mm_setr_epi16(12, 28, 23, 59, 59, 0, 0, 0));
    let too_small = _mm_cmpgt_epi16(_mm_setr_epi16(1, 1, 0, 0, 0, 0, 0, 0), values);
    _mm_movemask_epi8(_mm_or_si128(too_large, too_small)) == 0
        || text.first_chunk().is_some_and(rules::is_date_and_time)
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_halves(table: &[u8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(load_half(table))
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code, reason = "a vector is made of bytes")]
fn load(bytes: &[u8; Block::BYTES]) -> __m256i {
    // SAFETY: any 32 bytes are a vector.
    unsafe { transmute::<[u8; 32], __m256i>(*bytes) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code, reason = "a vector is made of bytes")]
fn load_half(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: any 16 bytes are a vector.
    unsafe { transmute::<[u8; 16], __m128i>(*bytes) }
}
