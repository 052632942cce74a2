//! A map by the values of messages, without copies of them.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;

use super::scalar::{Finite, Scalar, Value};

/// A map by values, looked up as a message spells them. Peers choose the keys, so
/// their hashes are random.
#[derive(Debug, Clone)]
pub(crate) struct ValueMap<T> {
    null: Option<T>,
    bools: [Option<T>; 2],
    numbers: HashMap<Finite, T, RandomState>,
    /// Mostly symbols.
    short_texts: HashMap<ShortText, T, RandomState>,
    texts: HashMap<Box<[u8]>, T, RandomState>,
}

/// A text of at most 15 bytes and its length: small, and compared at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ShortText {
    /// The first eight bytes.
    first: u64,
    /// Those that follow, and the length.
    rest: u64,
}

impl Hash for ShortText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from(self.rest) << 64 | u128::from(self.first));
    }
}

impl ShortText {
    /// `None` if it is longer.
    #[inline]
    fn new(text: &[u8]) -> Option<Self> {
        let len = text.len();
        let (first, rest) = match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) if len < 16 => {
                // The bits by which the last eight bytes overlap the first eight,
                // all 64 where there are no more.
                let overlap = 8 * (16 - len as u32);
                let rest = u64::from_le_bytes(*last) >> 1 >> (overlap - 1);
                (u64::from_le_bytes(*first), rest)
            }
            (Some(_), _) => return None,
            _ => {
                let fold = |sum, byte: &u8| sum << 8 | u64::from(*byte);
                (text.iter().fold(0, fold), 0)
            }
        };
        Some(Self {
            first,
            rest: rest | (len as u64) << 56,
        })
    }
}

impl<T> Default for ValueMap<T> {
    fn default() -> Self {
        Self {
            null: None,
            bools: [None, None],
            numbers: HashMap::default(),
            short_texts: HashMap::default(),
            texts: HashMap::default(),
        }
    }
}

impl<T> ValueMap<T> {
    /// The entry of `value`.
    #[inline]
    pub fn get(&self, value: &Value<'_>) -> Option<&T> {
        match value {
            Value::Text(text) => match ShortText::new(text) {
                Some(short) => self.short_texts.get(&short),
                None => self.texts.get(*text),
            },
            // Without numbers among the keys it need not be read.
            Value::Number(_) if self.numbers.is_empty() => None,
            Value::Number(spelling) => self.numbers.get(&Finite::read(spelling)?),
            Value::Bool(value) => self.bools[usize::from(*value)].as_ref(),
            Value::Null => self.null.as_ref(),
            Value::Container => None,
        }
    }

    /// The entry of `key`, which is created if it is missing.
    pub fn get_or_default(&mut self, key: &Scalar) -> &mut T
    where
        T: Default,
    {
        match key {
            Scalar::Null => self.null.get_or_insert_default(),
            Scalar::Bool(value) => self.bools[usize::from(*value)].get_or_insert_default(),
            Scalar::Number(number) => self.numbers.entry(*number).or_default(),
            Scalar::Text(text) => match ShortText::new(text.as_bytes()) {
                Some(short) => self.short_texts.entry(short).or_default(),
                None => self.texts.entry(text.as_bytes().into()).or_default(),
            },
        }
    }

    /// Replaces each entry by the result of `change`.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> ValueMap<U> {
        ValueMap {
            null: self.null.map(&mut change),
            bools: self.bools.map(|of| of.map(&mut change)),
            numbers: map_values(self.numbers, &mut change),
            short_texts: map_values(self.short_texts, &mut change),
            texts: map_values(self.texts, &mut change),
        }
    }
}

fn map_values<K: Eq + Hash, T, U>(
    map: HashMap<K, T, RandomState>,
    mut change: impl FnMut(T) -> U,
) -> HashMap<K, U, RandomState> {
    map.into_iter().map(|(key, of)| (key, change(of))).collect()
}
