//! The ids of answers.

use uuid::Uuid;

use crate::ids::MsgId;

/// Fresh ids for the answers of one session: UUIDs of version 8 (RFC 9562, section
/// 5.8), random in front and counted behind, so the next costs twelve digits.
#[derive(Debug, Clone)]
pub struct AnswerIds {
    random: [u8; MsgId::LEN - Self::COUNTED],
    count: u64,
}

impl AnswerIds {
    const COUNTED: usize = 12;

    /// Ids that start with the random bits of `seed`.
    #[must_use]
    pub fn new(seed: Uuid) -> Self {
        let id = MsgId::from(uuid::Builder::from_custom_bytes(seed.into_bytes()).into_uuid());
        let random = id.as_bytes().first_chunk();
        Self {
            random: *random.expect("an id is longer than its random part"),
            count: 0,
        }
    }

    /// Writes the next id to `place`.
    // In place: a copy would wait until all digits had reached the cache.
    #[inline]
    pub(super) fn write_next(&mut self, place: &mut [u8; MsgId::LEN]) {
        self.count = self.count.wrapping_add(1);
        let (random, digits) = place.split_at_mut(self.random.len());
        random.copy_from_slice(&self.random);
        let (high, low) = digits.split_at_mut(Self::COUNTED - 8);
        high.copy_from_slice(&hex_digits((self.count >> 32) as u32)[4..]);
        low.copy_from_slice(&hex_digits(self.count as u32));
    }

    pub(super) fn next_string(&mut self) -> String {
        let mut text = [0; MsgId::LEN];
        self.write_next(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The eight hexadecimal digits of a number, all at once.
#[inline]
fn hex_digits(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The value of one digit in each byte.
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    let values = (spread | spread << 4) & (0x0F * EACH);
    // From ten on the sum reaches 16.
    let letters = (values + 6 * EACH) >> 4 & EACH;
    let to_letters = u64::from(b'a' - b'0' - 10);
    (values + u64::from(b'0') * EACH + letters * to_letters).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_hexadecimal() {
        for shift in 0..u64::BITS {
            for count in [
                1 << shift,
                u64::MAX >> shift,
                0x0123_4567_89AB_CDEF << shift,
            ] {
                let number = count as u32;
                assert_eq!(hex_digits(number), *format!("{number:08x}").as_bytes());
                let mut ids = AnswerIds::new(Uuid::nil());
                ids.count = count - 1;
                let digits = format!("{:012x}", count & 0xFFFF_FFFF_FFFF);
                assert!(ids.next_string().ends_with(&digits), "{count}");
            }
        }
    }

    #[test]
    fn gives_each_answer_another_valid_id() {
        let mut ids = AnswerIds::new(Uuid::new_v4());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let id = Uuid::try_parse(&ids.next_string()).unwrap();
            assert_eq!(id.get_version_num(), 8);
            assert!(seen.insert(id));
        }
    }
}
