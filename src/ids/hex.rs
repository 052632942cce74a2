//! The number of a UUID and its spelling, eight digits at a time in a word: each message has
//! an id that is spelled, and one that is remembered as a number.

use super::MsgId;

/// The places of the 32 digits in a hyphenated UUID.
const GROUPS: [(usize, usize); 5] = [(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)];

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Spells a number as a hyphenated UUID, in lower case.
#[inline]
pub(super) fn spell(number: u128) -> [u8; MsgId::LEN] {
    let mut digits = [0; 32];
    for (eight, shift) in digits.chunks_exact_mut(8).zip([96, 64, 32, 0]) {
        eight.copy_from_slice(&spell_eight((number >> shift) as u32).to_be_bytes());
    }
    let mut text = [b'-'; MsgId::LEN];
    let mut from = 0;
    for (start, end) in GROUPS {
        let to = from + end - start;
        text[start..end].copy_from_slice(&digits[from..to]);
        from = to;
    }
    text
}

/// The number that the digits of a hyphenated UUID spell, in either case.
#[inline]
pub(super) fn number(text: &[u8; MsgId::LEN]) -> u128 {
    let mut digits = [0; 32];
    let mut from = 0;
    for (start, end) in GROUPS {
        let to = from + end - start;
        digits[from..to].copy_from_slice(&text[start..end]);
        from = to;
    }
    let eights = digits.chunks_exact(8);
    eights.fold(0, |number, eight| {
        let eight = eight.try_into().map_or(0, u64::from_be_bytes);
        number << 32 | u128::from(value_of_eight(eight))
    })
}

/// The eight digits of a number, the first in the highest byte.
#[inline]
fn spell_eight(number: u32) -> u64 {
    let mut nibbles = u64::from(number);
    nibbles = (nibbles | nibbles << 16) & 0x0000_FFFF_0000_FFFF;
    nibbles = (nibbles | nibbles << 8) & 0x00FF_00FF_00FF_00FF;
    nibbles = (nibbles | nibbles << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    // Above nine, the sum reaches the next bit.
    let letters = ((nibbles + 6 * ONES) >> 4) & ONES;
    nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)
}

#[inline]
fn value_of_eight(digits: u64) -> u32 {
    // Only letters have the bit of 0x40. Their low half counts from one.
    let letters = (digits >> 6) & ONES;
    let mut nibbles = (digits & (0x0F * ONES)) + 9 * letters;
    nibbles = (nibbles | nibbles >> 4) & 0x00FF_00FF_00FF_00FF;
    nibbles = (nibbles | nibbles >> 8) & 0x0000_FFFF_0000_FFFF;
    (nibbles | nibbles >> 16) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn spells_and_reads_as_the_crate_uuid_does(value: u128, upper: u64) {
            let expected = Uuid::from_u128(value).hyphenated().to_string();
            let text = spell(value);
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), &expected);
            prop_assert_eq!(number(&text), value);
            let mut mixed = text;
            for (place, byte) in mixed.iter_mut().enumerate() {
                if upper >> (place % 64) & 1 == 1 {
                    byte.make_ascii_uppercase();
                }
            }
            prop_assert_eq!(number(&mixed), value);
        }
    }

    #[test]
    fn each_digit_is_spelled_at_each_place() {
        for digit in 0..16_u128 {
            for place in 0..32 {
                let value = digit << (4 * place);
                let expected = Uuid::from_u128(value).hyphenated().to_string();
                assert_eq!(std::str::from_utf8(&spell(value)).unwrap(), expected);
                assert_eq!(number(&spell(value)), value);
            }
        }
    }
}
