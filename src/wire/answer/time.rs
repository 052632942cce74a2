//! The spelling of an answer's time.

use chrono::{DateTime, Datelike, Timelike};

/// A time as answers spell it: `2026-01-03T12:41:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct AnswerTime(pub(super) [u8; Self::LEN]);

impl AnswerTime {
    pub(super) const LEN: usize = 24;

    /// The time `unix_ms` milliseconds after 1970-01-01T00:00:00Z, moved into the
    /// years 0 to 9999 where it lies outside.
    #[must_use]
    pub(super) fn from_unix_ms(unix_ms: i64) -> Self {
        const FIRST: i64 = -62_167_219_200_000;
        const LAST: i64 = 253_402_300_799_999;
        let time = DateTime::from_timestamp_millis(unix_ms.clamp(FIRST, LAST))
            .expect("chrono covers the years 0 to 9999");
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, digits: usize, mut value: u32| {
            for place in (at..at + digits).rev() {
                text[place] = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        put(0, 4, time.year().unsigned_abs());
        put(5, 2, time.month());
        put(8, 2, time.day());
        put(11, 2, time.hour());
        put(14, 2, time.minute());
        put(17, 2, time.second());
        put(20, 3, time.nanosecond() / 1_000_000);
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits and punctuation are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_chrono_does() {
        for ms in [
            0,
            1,
            951_782_399_999,
            951_782_400_000,
            1_767_444_060_123,
            -1,
        ] {
            let expected = DateTime::from_timestamp_millis(ms)
                .unwrap()
                .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            assert_eq!(AnswerTime::from_unix_ms(ms).as_str(), expected);
        }
        assert_eq!(
            AnswerTime::from_unix_ms(i64::MAX).as_str(),
            "9999-12-31T23:59:59.999Z"
        );
        assert_eq!(
            AnswerTime::from_unix_ms(i64::MIN).as_str(),
            "0000-01-01T00:00:00.000Z"
        );
    }
}
