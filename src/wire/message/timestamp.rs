//! Timestamps that keep their spelling.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::short_text::ShortText;
use crate::ids::unix_time;
use crate::wire::rules::is_timestamp;

/// An RFC 3339 timestamp as it was spelled, with `Z` or an offset. Two are equal if they
/// are spelled alike; compare [`Timestamp::to_utc`] to compare instants.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Box<str>")]
pub struct Timestamp(ShortText);

/// A time in milliseconds as text: `2026-01-03T12:41:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MillisText([u8; Self::LEN]);

/// A text that is not an RFC 3339 timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 timestamp: write it like 2026-01-03T12:41:00.000Z, with Z or an offset")]
#[non_exhaustive]
pub struct TimestampError;

impl Timestamp {
    /// The current time, in milliseconds and UTC: always of the same length, so that
    /// a router learns a client's messages only once.
    #[must_use]
    pub fn now() -> Self {
        Self::at(unix_time())
    }

    /// The time `unix` after 1970, in milliseconds.
    pub(crate) fn at(unix: Duration) -> Self {
        Self(ShortText::of_ascii(MillisText::at(unix).as_bytes()))
    }

    /// The time `unix_ms` milliseconds after 1970, moved into the years 0 to 9999.
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) fn from_unix_ms(unix_ms: i64) -> Self {
        Self(MillisText::from_unix_ms(unix_ms).as_str().into())
    }

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    /// It is not an RFC 3339 timestamp.
    pub fn new(text: impl AsRef<str>) -> Result<Self, TimestampError> {
        let text = text.as_ref();
        match is_timestamp(text.as_bytes()) {
            true => Ok(Self(text.into())),
            false => Err(TimestampError),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The timestamp as it was spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The instant that it names, to the nanosecond.
    #[must_use]
    pub fn to_utc(&self) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(self.as_str())
            .expect("chrono reads whatever the check lets through")
            .to_utc()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    /// With three, six or nine digits of a second, as the time needs. Years beyond 0
    /// to 9999, which RFC 3339 can't spell, become the nearest.
    fn from(time: DateTime<Utc>) -> Self {
        let time = time.clamp(
            year_start(0),
            year_start(10_000) - chrono::TimeDelta::nanoseconds(1),
        );
        let digits = match time.timestamp_subsec_nanos() {
            nanos if nanos % 1_000_000 == 0 => SecondsFormat::Millis,
            nanos if nanos % 1_000 == 0 => SecondsFormat::Micros,
            _ => SecondsFormat::Nanos,
        };
        Self(time.to_rfc3339_opts(digits, true).as_str().into())
    }
}

impl MillisText {
    pub(crate) const LEN: usize = 24;

    /// The time `unix` after 1970, in milliseconds: in a thread most often that of the
    /// message before.
    pub(crate) fn at(unix: Duration) -> Self {
        thread_local! {
            static LATEST: Cell<(i64, MillisText)> = Cell::new((0, MillisText::from_unix_ms(0)));
        }
        let unix_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
        let (latest, text) = LATEST.get();
        if latest == unix_ms {
            return text;
        }
        let text = Self::from_unix_ms(unix_ms);
        LATEST.set((unix_ms, text));
        text
    }

    /// The time `unix_ms` milliseconds after 1970, moved into the years 0 to 9999.
    pub(crate) fn from_unix_ms(unix_ms: i64) -> Self {
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

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("digits and punctuation are ASCII")
    }
}

fn year_start(year: i32) -> DateTime<Utc> {
    chrono::NaiveDate::from_ymd_opt(year, 1, 1)
        .expect("a first of January")
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        Self::new(text)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl TryFrom<Box<str>> for Timestamp {
    type Error = TimestampError;
    fn try_from(text: Box<str>) -> Result<Self, TimestampError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_spelling_and_knows_the_instant() {
        let spelled = Timestamp::new("2026-01-03T14:41:00.100+02:00").unwrap();
        assert_eq!(spelled.as_str(), "2026-01-03T14:41:00.100+02:00");
        assert_eq!(
            Timestamp::from(spelled.to_utc()).as_str(),
            "2026-01-03T12:41:00.100Z"
        );
    }

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
            assert_eq!(MillisText::from_unix_ms(ms).as_str(), expected);
        }
        assert_eq!(
            MillisText::from_unix_ms(i64::MAX).as_str(),
            "9999-12-31T23:59:59.999Z"
        );
        assert_eq!(
            MillisText::from_unix_ms(i64::MIN).as_str(),
            "0000-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn the_current_time_is_always_as_long() {
        for _ in 0..10_000 {
            assert_eq!(
                Timestamp::now().as_str().len(),
                "2026-01-03T12:41:00.000Z".len()
            );
        }
    }

    #[test]
    fn takes_what_rfc_3339_allows_and_nothing_else() {
        for text in [
            "2026-01-03t12:41:00z",
            "2026-12-31T23:59:60Z",
            "1998-12-31T15:59:60-08:00",
            "2017-01-01T05:29:60+05:30",
            "2024-02-29T00:00:00.123456789-23:59",
            "0000-01-01T00:00:00Z",
        ] {
            let _ = Timestamp::new(text).unwrap().to_utc();
        }
        for text in [
            "",
            "2026-01-03T12:41:00",
            "2026-01-03 12:41:00Z",
            "2026-01-03T12:41Z",
            "2025-02-29T00:00:00Z",
            "2026-01-03T24:00:00Z",
            "2026-01-03T23:58:60Z",
            "2026-01-03T23:59:60+01:00",
            "2026-01-03T12:41:00.Z",
            "2026-01-03T12:41:00\u{2212}01:00",
            "2026-01-03T12:41:00+0100",
            " 2026-01-03T12:41:00Z",
            "2026-01-03T12:41:00Z ",
        ] {
            assert_eq!(Timestamp::new(text), Err(TimestampError), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_instant_of_whatever_passes_the_check_is_known(
            text in concat!(
                "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]",
                "([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,40})?",
                "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])",
            )
        ) {
            if let Ok(timestamp) = Timestamp::new(text) {
                let _ = timestamp.to_utc();
            }
        }
    }

    #[test]
    fn a_time_beyond_the_spellable_years_becomes_the_nearest_spellable() {
        for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let spelled = Timestamp::from(time);
            assert_eq!(Timestamp::new(spelled.as_str()), Ok(spelled));
        }
    }
}
