//! Sizes and durations as people write them.

use std::time::Duration;

/// What a size may look like.
pub const SIZE_FORM: &str = "must be a number of bytes or a size such as \"64KiB\" or \"8MiB\"";
/// What a duration may look like.
pub const DURATION_FORM: &str =
    "must be a duration with its unit, such as \"500ms\", \"2s\" or \"1m\"";

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// The bytes that `text` says: `65536`, `64KiB`, `8 MiB`, `1MB`.
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let factor = if unit.is_empty() {
        1
    } else {
        factor_of(unit, &SIZES)?
    };
    usize::try_from(number.checked_mul(factor)?).ok()
}

/// The duration that `text` says. A bare number has no unit, hence no meaning.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let factor = factor_of(unit, &DURATIONS)?;
    Some(Duration::from_millis(number.checked_mul(factor)?))
}

/// The shortest text from which [`size`] reads `bytes` again.
pub fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let binary = SIZES[1..5].iter().rev();
    for (unit, factor) in binary {
        if bytes > 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// A text from which [`duration`] reads `duration` again, in milliseconds.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.replace('_', "").parse().ok()?;
    Some((number, unit.trim_start_matches(' ')))
}

fn factor_of(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, factor)| *factor)
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
        for wrong in ["", "MiB", "8M", "-1", "1.5MiB", "8MiB x", "99999999999TiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_durations_only_with_a_unit() {
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1m"), Some(Duration::from_secs(60)));
        for wrong in ["", "2", "s", "-2s", "2 days", "99999999999999999999s"] {
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
