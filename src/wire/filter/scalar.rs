//! Values of messages and of filters, and how they compare.

use std::cmp::Ordering;

/// The value of a message at a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is spelled.
    Number(&'a [u8]),
    /// A string without its quotes, unescaped.
    Text(&'a [u8]),
    /// An object or an array; compares with nothing.
    Container,
}

/// A value of a filter, or a key that tells messages apart. Those that mean the same are
/// equal: `1`, `1.0` and `10e-1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scalar {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Finite),
    /// A string, unescaped.
    Text(Box<str>),
}

/// A number that an `f64` holds: not infinite, and zero without a sign. As an integer
/// that has the order of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Finite(i64);

/// Turns the bits of a float into an integer of the same order, and back.
#[inline]
fn ordered(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

impl Finite {
    #[inline]
    fn new(number: f64) -> Self {
        Self(ordered(number.to_bits().cast_signed()))
    }

    /// The number nearest to a spelling by JSON's grammar; `None` beyond all.
    #[inline]
    pub fn read(spelling: &[u8]) -> Option<Self> {
        if let Some(number) = read_short(spelling) {
            return Some(Self::new(number));
        }
        // Rust reads every number that JSON can spell.
        let number: f64 = str::from_utf8(spelling).ok()?.parse().ok()?;
        // Minus zero and zero make zero.
        number.is_finite().then_some(Self::new(number + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from_bits(ordered(self.0).cast_unsigned())
    }
}

/// A number of at most 15 digits and no exponent, the usual case: its digits as
/// an integer and the power of ten are exact, so one division rounds right.
#[inline]
fn read_short(spelling: &[u8]) -> Option<f64> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    let (negative, digits) = match spelling {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut whole = 0_u64;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => whole = whole * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |point| digits.len() - point - 1);
    let number = whole as f64 / POWERS[decimals];
    // Without a sign if it is zero.
    Some(if negative { 0.0 - number } else { number })
}

impl Scalar {
    /// Orders `value` relative to this. `None` across types and beyond an `f64`.
    #[inline]
    pub fn compare(&self, value: &Value<'_>) -> Option<Ordering> {
        match (value, self) {
            (Value::Text(text), Self::Text(own)) => Some((*text).cmp(own.as_bytes())),
            (Value::Number(spelling), Self::Number(own)) => Some(Finite::read(spelling)?.cmp(own)),
            (Value::Bool(value), Self::Bool(own)) => Some(value.cmp(own)),
            (Value::Null, Self::Null) => Some(Ordering::Equal),
            _ => None,
        }
    }

    /// Returns whether `value` means the same.
    #[inline]
    pub fn equals(&self, value: &Value<'_>) -> bool {
        self.compare(value) == Some(Ordering::Equal)
    }
}
