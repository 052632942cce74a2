//! Sizes and durations as people write them.

use std::time::Duration;

pub const SIZE_FORM: &str = "must be a whole number of bytes, or one with a unit: kB, MB, GB or TB \
                             (1 kB is 1,000 bytes), KiB, MiB, GiB or TiB (1 KiB is 1,024), such \
                             as \"64KiB\" or \"8MiB\"";
pub const DURATION_FORM: &str = "must be a whole number with its unit: ms, s, m or h, such as \
                                 \"500ms\", \"2s\" or \"1m\"; 0 needs none";

const SIZES: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Returns the bytes that `text` says: `65536`, `64KiB`, `8 MiB`, `1MB`. `8M` is
/// refused, for it is 8,000,000 bytes to some programs and 8,388,608 to others.
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let factor = factor_of(unit, &SIZES)?;
    usize::try_from(number.checked_mul(factor)?).ok()
}

/// Returns the duration that `text` says. A number but 0 needs a unit.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    if number == 0 && unit.is_empty() {
        return Some(Duration::ZERO);
    }
    let factor = factor_of(unit, &DURATIONS)?;
    Some(Duration::from_millis(number.checked_mul(factor)?))
}

/// Returns the shortest text from which [`size`] reads `bytes` again.
pub fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let mut binary = SIZES[2..6].iter().rev();
    match binary.find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// Returns a text from which [`duration`] reads `duration` again, in milliseconds.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

/// Returns the whole number that `text` says, underscores between digits allowed.
pub fn number(text: &str) -> Option<u64> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !text.split('_').all(is_digits) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let digits = &text[..text.len() - unit.len()];
    Some((number(digits)?, unit.trim_start_matches(' ')))
}

fn factor_of(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let known = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    known.map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        assert_eq!(size("65536"), Some(65_536));
        assert_eq!(size("1_000"), Some(1_000));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("8 MiB"), Some(8 << 20));
        assert_eq!(size("8mib"), Some(8 << 20));
        assert_eq!(size("1MB"), Some(1_000_000));
        for wrong in [
            "",
            "MiB",
            "8M",
            "8Mi",
            "-1",
            "+1",
            "1.5MiB",
            "1e6",
            "NaN",
            "inf",
            "0x10",
            "8MiB x",
            "_1",
            "1_",
            "1__0",
            "_MiB",
            "99999999999TiB",
            "99999999999999999999",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_durations_only_with_a_unit_unless_they_are_0() {
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1m"), Some(Duration::from_secs(60)));
        assert_eq!(duration("1_000ms"), Some(Duration::from_secs(1)));
        for zero in ["0", "0s", "0 ms", "00"] {
            assert_eq!(duration(zero), Some(Duration::ZERO), "{zero}");
        }
        for wrong in [
            "",
            "2",
            "s",
            "-2s",
            "-0",
            "1.5s",
            "NaNs",
            "inf",
            "1m30s",
            "2 days",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn shows_what_it_reads() {
        for bytes in [0, 1, 1_000, 65_536, 8 << 20, 3 << 30, (8 << 20) + 1] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!(show_size(8 << 20), "8MiB");
        assert_eq!(show_duration(Duration::from_secs(2)), "2s");
        assert_eq!(show_duration(Duration::from_millis(1_500)), "1500ms");
    }
}
