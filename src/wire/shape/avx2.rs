//! The sweep on processors with AVX2: 32 bytes at once.
//!
//! All that is unsafe here is calling functions compiled for AVX2 (an [`Avx2`]
//! proves that the processor has it) and loads whose bounds are checked right
//! before.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_cmpgt_epi16, _mm_loadu_si128, _mm_maddubs_epi16, _mm_movemask_epi8,
    _mm_or_si128, _mm_set1_epi8, _mm_setr_epi8, _mm_setr_epi16, _mm_shuffle_epi8, _mm_sub_epi8,
    _mm256_and_si256, _mm256_andnot_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16,
};

use super::super::timestamp;
use super::class::{self, BY_HIGH, BY_LOW};
use super::sweep::{Lanes, Starts, fits_by};
use super::{Block, Shape};

/// The proof that this processor has AVX2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// Asks the processor; the answer is kept, so this costs one load.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// [`fits_by`], compiled for AVX2 as a whole.
#[inline]
#[allow(unsafe_code, reason = "the processor was asked")]
pub(super) fn fits(
    avx2: Avx2,
    shape: &Shape,
    bytes: &[u8],
    len: usize,
    starts: &mut Starts,
) -> bool {
    #[target_feature(enable = "avx2")]
    fn compiled(avx2: Avx2, shape: &Shape, bytes: &[u8], len: usize, starts: &mut Starts) -> bool {
        fits_by(avx2, shape, bytes, len, starts)
    }
    // SAFETY: an `Avx2` exists only where the processor has AVX2.
    unsafe { compiled(avx2, shape, bytes, len, starts) }
}

#[allow(unsafe_code, reason = "an `Avx2` proves that the processor has AVX2")]
impl Lanes for Avx2 {
    #[inline(always)]
    fn misfits(self, bytes: &[u8], at: usize, block: &Block) -> u32 {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { misfits(bytes, at, block) }
    }

    #[inline(always)]
    fn outside(self, bytes: &[u8], at: usize, classes: class::Classes) -> u32 {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { outside(bytes, at, classes) }
    }

    #[inline(always)]
    fn is_date_and_time(self, bytes: &[u8], at: usize) -> bool {
        // SAFETY: an `Avx2` exists only where the processor has AVX2.
        unsafe { is_date_and_time(bytes, at) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn misfits(bytes: &[u8], at: usize, block: &Block) -> u32 {
    let Some(text) = load(bytes, at) else {
        return u32::MAX;
    };
    let equal = _mm256_cmpeq_epi8(text, load_array(&block.model));
    let common = _mm256_and_si256(classes_of(text), load_array(&block.classes));
    let in_none = _mm256_cmpeq_epi8(common, _mm256_setzero_si256());
    _mm256_movemask_epi8(_mm256_andnot_si256(equal, in_none)).cast_unsigned()
}

#[inline]
#[target_feature(enable = "avx2")]
fn outside(bytes: &[u8], at: usize, classes: class::Classes) -> u32 {
    let Some(text) = load(bytes, at) else {
        return outside_at_the_end(bytes, at, classes);
    };
    let wanted = _mm256_set1_epi8(classes.cast_signed());
    let common = _mm256_and_si256(classes_of(text), wanted);
    let in_none = _mm256_cmpeq_epi8(common, _mm256_setzero_si256());
    _mm256_movemask_epi8(in_none).cast_unsigned()
}

#[cold]
fn outside_at_the_end(bytes: &[u8], at: usize, classes: class::Classes) -> u32 {
    super::sweep::Scalar.outside(bytes, at, classes)
}

/// The classes of 32 bytes, by two lookups of nibbles.
#[inline]
#[target_feature(enable = "avx2")]
fn classes_of(text: __m256i) -> __m256i {
    let nibble = _mm256_set1_epi8(0x0F);
    let low = _mm256_and_si256(text, nibble);
    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(text), nibble);
    _mm256_and_si256(
        _mm256_shuffle_epi8(both_halves(&BY_LOW), low),
        _mm256_shuffle_epi8(both_halves(&BY_HIGH), high),
    )
}

/// Month, day, hour, minute and second at once; days above 28 are left to the
/// calendar, and so is second 60.
#[inline]
#[target_feature(enable = "avx2")]
fn is_date_and_time(bytes: &[u8], at: usize) -> bool {
    let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<32>()) else {
        return false;
    };
    // From the month on: `MM-DDThh:mm:ss`.
    let text = load_half(&head[5..21]);
    let digits = _mm_sub_epi8(text, _mm_set1_epi8(b'0'.cast_signed()));
    let pairs = _mm_shuffle_epi8(
        digits,
        _mm_setr_epi8(0, 1, 3, 4, 6, 7, 9, 10, 12, 13, -1, -1, -1, -1, -1, -1),
    );
    let weights = _mm_setr_epi8(10, 1, 10, 1, 10, 1, 10, 1, 10, 1, 0, 0, 0, 0, 0, 0);
    let values = _mm_maddubs_epi16(pairs, weights);
    let too_large = _mm_cmpgt_epi16(values, _mm_setr_epi16(12, 28, 23, 59, 59, 0, 0, 0));
    let too_small = _mm_cmpgt_epi16(_mm_setr_epi16(1, 1, 0, 0, 0, 0, 0, 0), values);
    _mm_movemask_epi8(_mm_or_si128(too_large, too_small)) == 0
        || head.first_chunk().is_some_and(timestamp::is_date_and_time)
}

#[inline]
#[target_feature(enable = "avx2")]
fn both_halves(table: &[u8; 16]) -> __m256i {
    _mm256_broadcastsi128_si256(load_half(table))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8], at: usize) -> Option<__m256i> {
    let these = bytes.get(at..at.checked_add(Block::BYTES)?)?;
    Some(load_array(these.first_chunk()?))
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code, reason = "intrinsics load from pointers")]
fn load_array(bytes: &[u8; Block::BYTES]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes, and the load needs no
    // alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code, reason = "intrinsics load from pointers")]
fn load_half(bytes: &[u8]) -> __m128i {
    assert!(bytes.len() >= 16, "16 bytes are loaded");
    // SAFETY: the slice has 16 bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}
