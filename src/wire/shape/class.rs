//! Classes of bytes, as bits: the bytes that a position admits beside its sample.
//!
//! Every class is made of sets of low nibbles times sets of high nibbles. So two
//! lookups by nibble give all classes of a byte, or of 32 bytes at once.

/// A set of classes.
pub(super) type Classes = u8;

/// 0x30 to 0x4F and 0x60 to 0x6F.
const STRING_MIDDLE: Classes = 1;
/// 0x20 to 0x2F without the quote.
const STRING_2: Classes = 1 << 1;
/// 0x50 to 0x5F without the backslash.
const STRING_5: Classes = 1 << 2;
/// 0x70 to 0x7F without DEL.
const STRING_7: Classes = 1 << 3;
/// `0` to `9`
pub(super) const DIGIT: Classes = 1 << 4;
/// `a` to `f`, `A` to `F`
const HEX_LETTER: Classes = 1 << 5;
/// `1` to `9`
pub(super) const NONZERO_DIGIT: Classes = 1 << 6;
/// 0x80 to 0xFF: part of a character beyond ASCII.
pub(super) const BEYOND_ASCII: Classes = 1 << 7;

/// Printable ASCII that may stand in a JSON string as it is: no quote, no backslash.
pub(super) const STRING: Classes = STRING_MIDDLE | STRING_2 | STRING_5 | STRING_7;
/// A digit of a UUID, in either case.
pub(super) const HEX: Classes = DIGIT | HEX_LETTER;

/// The classes that a byte's low nibble leaves possible.
pub(super) static BY_LOW: [Classes; 16] = {
    let mut table = [0; 16];
    let mut low = 0;
    while low < 16 {
        let mut classes = STRING_MIDDLE | BEYOND_ASCII;
        if low != 0x2 {
            classes |= STRING_2;
        }
        if low != 0xC {
            classes |= STRING_5;
        }
        if low != 0xF {
            classes |= STRING_7;
        }
        if low <= 9 {
            classes |= DIGIT;
        }
        if low >= 1 && low <= 9 {
            classes |= NONZERO_DIGIT;
        }
        if low >= 1 && low <= 6 {
            classes |= HEX_LETTER;
        }
        table[low] = classes;
        low += 1;
    }
    table
};

/// The classes that a byte's high nibble leaves possible.
pub(super) static BY_HIGH: [Classes; 16] = {
    let mut table = [BEYOND_ASCII; 16];
    table[0] = 0;
    table[1] = 0;
    table[2] = STRING_2;
    table[3] = STRING_MIDDLE | DIGIT | NONZERO_DIGIT;
    table[4] = STRING_MIDDLE | HEX_LETTER;
    table[5] = STRING_5;
    table[6] = STRING_MIDDLE | HEX_LETTER;
    table[7] = STRING_7;
    table
};

/// The classes of `byte`.
#[inline]
pub(super) const fn of(byte: u8) -> Classes {
    BY_LOW[(byte & 0xF) as usize] & BY_HIGH[(byte >> 4) as usize]
}

/// Returns whether `byte` is of any of `classes`.
#[inline]
pub(super) const fn is(byte: u8, classes: Classes) -> bool {
    of(byte) & classes != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_holds_its_bytes_and_no_other() {
        for byte in 0..=u8::MAX {
            let printable = (0x20..0x7F).contains(&byte);
            assert_eq!(
                is(byte, STRING),
                printable && byte != b'"' && byte != b'\\',
                "{byte:#x}"
            );
            assert_eq!(is(byte, DIGIT), byte.is_ascii_digit(), "{byte:#x}");
            assert_eq!(is(byte, HEX), byte.is_ascii_hexdigit(), "{byte:#x}");
            assert_eq!(
                is(byte, NONZERO_DIGIT),
                (b'1'..=b'9').contains(&byte),
                "{byte:#x}"
            );
            assert_eq!(is(byte, BEYOND_ASCII), byte >= 0x80, "{byte:#x}");
        }
    }
}
