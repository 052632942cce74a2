//! RFC 3339 timestamps: the check, and the wording of mistakes.
//!
//! The check follows sections 5.6 and 5.7, `t` and `z` in lower case included, and
//! allows no space for the `T`. Second 60 is valid only as 23:59:60 UTC, on any date,
//! with any offset: elsewhere no leap second can be.

use std::borrow::Cow;

use crate::wire::refusal::echo;

/// Bytes of `YYYY-MM-DDThh:mm:ss`.
pub(crate) const SECONDS_END: usize = 19;

/// Returns whether `text` is a timestamp with `Z` or an offset.
#[inline]
pub(crate) fn is_timestamp(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_first_chunk::<SECONDS_END>() else {
        return false;
    };
    if is_date_and_time(head) {
        is_fraction_and_offset(tail)
    } else {
        is_leap_second(head, tail)
    }
}

/// Returns whether the first 19 bytes of a timestamp are a date and a time, second
/// 60 excluded: that depends on the offset.
#[inline]
pub(crate) fn is_date_and_time(head: &[u8; SECONDS_END]) -> bool {
    const SHAPE: &[u8; SECONDS_END] = b"0000-00-00T00:00:00";
    let mut fits = true;
    for (&byte, &shape) in head.iter().zip(SHAPE) {
        fits &= match shape {
            b'0' => byte.is_ascii_digit(),
            b'T' => byte | 0x20 == b't',
            separator => byte == separator,
        };
    }
    if !fits {
        return false;
    }
    let month = two_digits(head[5], head[6]);
    let day = two_digits(head[8], head[9]);
    // Every month has 28 days; only a later day needs the calendar.
    matches!(month, 1..=12)
        && day >= 1
        && (day <= 28 || day <= days_in_month(year(head), month))
        && two_digits(head[11], head[12]) <= 23
        && two_digits(head[14], head[15]) <= 59
        && two_digits(head[17], head[18]) <= 59
}

/// Returns whether a timestamp of these two parts is second 60 of 23:59 UTC.
#[cold]
fn is_leap_second(head: &[u8; SECONDS_END], tail: &[u8]) -> bool {
    const MINUTES_A_DAY: i32 = 24 * 60;
    let mut second_before = *head;
    let [.., tens, ones] = &mut second_before;
    if (*tens, *ones) != (b'6', b'0') {
        return false;
    }
    (*tens, *ones) = (b'5', b'9');
    if !is_date_and_time(&second_before) || !is_fraction_and_offset(tail) {
        return false;
    }
    let minutes =
        |h1, h2, m1, m2| i32::from(two_digits(h1, h2)) * 60 + i32::from(two_digits(m1, m2));
    let local = minutes(head[11], head[12], head[14], head[15]);
    let offset = match *tail {
        [.., b'+', h1, h2, b':', m1, m2] => minutes(h1, h2, m1, m2),
        [.., b'-', h1, h2, b':', m1, m2] => -minutes(h1, h2, m1, m2),
        _ => 0,
    };
    (local - offset).rem_euclid(MINUTES_A_DAY) == MINUTES_A_DAY - 1
}

#[inline]
fn is_fraction_and_offset(tail: &[u8]) -> bool {
    let tail = match tail {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            rest.get(digits..).unwrap_or_default()
        }
        tail => tail,
    };
    match tail {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit())
                && two_digits(*h1, *h2) <= 23
                && two_digits(*m1, *m2) <= 59
        }
        _ => false,
    }
}

/// The value of two bytes that are known to be digits.
#[inline]
const fn two_digits(tens: u8, ones: u8) -> u8 {
    (tens & 0x0F) * 10 + (ones & 0x0F)
}

fn year(head: &[u8; SECONDS_END]) -> u16 {
    u16::from(two_digits(head[0], head[1])) * 100 + u16::from(two_digits(head[2], head[3]))
}

const fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Words the mistake in a text that is not a timestamp, and its remedy.
#[cold]
pub(crate) fn explain(text: &str) -> Cow<'static, str> {
    const FORM: &str = "RFC 3339, like 2026-01-03T12:41:00.000Z";
    let bytes = text.as_bytes();
    // A text that only lacks its end, or only has a space for its T.
    let with_end = |end: &str| is_timestamp([bytes, end.as_bytes()].concat().as_slice());
    if with_end("Z") {
        return "must say its offset from UTC: append Z or an offset like +01:00".into();
    }
    if bytes.get(10) == Some(&b' ') {
        return format!(
            "must have a T, not a space, between date and time: {FORM}; this is {}",
            echo(text)
        )
        .into();
    }
    if with_end(":00") {
        return "an offset must have hours and minutes, like +01:00".into();
    }
    if let Some((head, tail)) = bytes.split_first_chunk::<SECONDS_END>() {
        if head.ends_with(b":60") && is_fraction_and_offset(tail) {
            return format!(
                "second 60 is valid only as 23:59:60 UTC, where a leap second can be; this is {}",
                echo(text)
            )
            .into();
        }
        if is_fraction_and_offset(tail) && !is_date_and_time(head) {
            return format!("no such date or time: {}; it must be {FORM}", echo(text)).into();
        }
        if tail.first() == Some(&b',') {
            return "must have a point, not a comma, before the fraction of a second".into();
        }
        if let [.., b'+' | b'-', h1, h2, m1, m2] = tail
            && [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit())
        {
            return "an offset must have a colon, like +01:00".into();
        }
    }
    if bytes.len() == 10 && with_end("T00:00:00Z") {
        return format!("must have a time after the date: {FORM}").into();
    }
    format!("must be a timestamp by {FORM}; this is {}", echo(text)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[&str] = &[
        "2026-01-03T12:41:00.000Z",
        "2026-01-03T12:41:00Z",
        "2026-01-03t12:41:00z",
        "2026-01-03T12:41:00.1+00:00",
        "2026-01-03T12:41:00.123456789012345678901234567890-23:59",
        "2026-12-31T23:59:60Z",
        "1998-12-31T15:59:60-08:00",
        "1998-12-31T15:59:60.123-08:00",
        "2017-01-01T05:29:60+05:30",
        "2017-01-01T00:00:60+00:01",
        "2016-12-31T23:58:60-00:01",
        "2016-12-31t23:59:60.5-00:00",
        "2026-01-03T23:59:60Z",
        "2024-02-29T00:00:00-00:00",
        "2000-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-04-30T00:00:00Z",
    ];

    const BAD: &[&str] = &[
        "",
        "Z",
        "2026-01-03",
        "2026-01-03T12:41Z",
        "2026-01-03T12:41:00",
        "2026-01-03 12:41:00Z",
        "2026-01-03_12:41:00Z",
        "2026-01-03T12:41:00.Z",
        "2026-01-03T12:41:00,1Z",
        "2026-01-03T12:41:00+24:00",
        "2026-01-03T12:41:00+00:60",
        "2026-01-03T12:41:00+0100",
        "2026-01-03T12:41:00+01",
        "2026-01-03T12:41:00ZZ",
        "2026-01-03T12:41:00Z ",
        " 2026-01-03T12:41:00Z",
        "2026-00-03T12:41:00Z",
        "2026-13-03T12:41:00Z",
        "2026-01-00T12:41:00Z",
        "2026-01-32T12:41:00Z",
        "2026-02-29T12:41:00Z",
        "1900-02-29T12:41:00Z",
        "2026-04-31T12:41:00Z",
        "2026-01-03T24:00:00Z",
        "2026-01-03T12:60:00Z",
        "2026-01-03T12:41:61Z",
        "2026-01-03T23:59:61Z",
        "2016-12-31T23:58:60Z",
        "2016-12-31T22:59:60Z",
        "2016-12-31T23:59:60+01:00",
        "2016-12-31T15:59:60+08:00",
        "2017-01-01T05:30:60+05:30",
        "2017-01-01T00:00:60Z",
        "2016-12-32T23:59:60Z",
        "2016-12-31T23:59:60+24:00",
        "2016-12-31T23:59:60",
        "+026-01-03T12:41:00Z",
        "2026-01-03T12:41:00\u{2212}01:00",
        "２026-01-03T12:41:00Z",
        "1767444060",
    ];

    #[test]
    fn accepts_rfc_3339_and_nothing_else() {
        for text in GOOD {
            assert!(is_timestamp(text.as_bytes()), "{text}");
        }
        for text in BAD {
            assert!(!is_timestamp(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn says_what_the_writer_of_a_client_did() {
        let says = |text: &str, word: &str| {
            let reason = explain(text);
            assert!(reason.contains(word), "{text}: {reason}");
        };
        says("2026-01-03T12:41:00", "append Z or an offset");
        says("2026-01-03T12:41:00.123", "append Z or an offset");
        says("2026-01-03 12:41:00Z", "not a space");
        says("2026-01-03T12:41:00+0100", "colon");
        says("2026-01-03T12:41:00+01", "hours and minutes");
        says("2026-02-30T12:41:00Z", "no such date");
        says("2026-01-03T12:41:60Z", "leap second");
        says("2026-01-03T23:59:60", "append Z or an offset");
        says("2026-01-03T12:41:00,5Z", "not a comma");
        says("2026-01-03", "time after the date");
        says("yesterday", "RFC 3339");
        for text in BAD {
            assert!(!explain(text).is_empty());
        }
    }

    #[test]
    fn agrees_with_the_calendar_of_chrono() {
        for year in [1900, 2000, 2023, 2024, 2100] {
            for month in 0..=13 {
                for day in 0..=32 {
                    let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
                    let judge = chrono::DateTime::parse_from_rfc3339(&text).is_ok();
                    assert_eq!(is_timestamp(text.as_bytes()), judge, "{text}");
                }
            }
        }
    }
}
