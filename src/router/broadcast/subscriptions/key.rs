//! Keys of conflation and of snapshots: values that tell messages apart.

use std::ops::Range;

use crate::limits::KEY_BYTES_MAX;
use crate::wire::filter::{Finite, Value};

/// The longest spelling of a number that an f64 tells from all others: it keeps
/// 15 digits apart.
const EXACT_BYTES_MAX: usize = 15;

/// The keys of one message, or of a few. The buffers are reused, so that a key
/// costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Keys {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| self.get(index))
    }

    /// The key added as the `index`th.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.range(index)]
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        start as usize..self.ends[index] as usize
    }

    /// Adds `value` as a key within `space`, and returns whether it is one:
    /// objects, arrays and long values are none.
    ///
    /// Equal values give equal keys. A number that an f64 may confuse with
    /// another goes by its spelling: two orders must not be taken for one.
    pub(crate) fn add(&mut self, space: u32, value: Option<&Value<'_>>) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&space.to_le_bytes());
        match value {
            None | Some(Value::Container) => {}
            Some(Value::Null) => self.bytes.push(b'0'),
            Some(Value::Bool(false)) => self.bytes.push(b'f'),
            Some(Value::Bool(true)) => self.bytes.push(b't'),
            Some(Value::Text(text)) => self.tagged(b'"', text),
            Some(Value::Number(spelling)) => match Finite::read(spelling) {
                Some(number) if spelling.len() <= EXACT_BYTES_MAX => {
                    self.tagged(b'n', &number.get().to_le_bytes());
                }
                _ => self.tagged(b's', spelling),
            },
        }
        let bytes = self.bytes.len() - start;
        let is_key = bytes > size_of::<u32>() && bytes <= KEY_BYTES_MAX;
        if is_key {
            self.ends.push(self.bytes.len() as u32);
        } else {
            self.bytes.truncate(start);
        }
        is_key
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(bytes);
    }
}
