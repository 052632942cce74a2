//! Finding what belongs to a value of a message, without a copy of it.

use std::collections::HashMap;

use super::scalar::{Finite, Scalar, Value};

/// A map whose keys are values by their meaning. It is asked with a message's
/// value as it stands there.
///
/// Keys come from peers, so they are hashed under a key of this process's own.
#[derive(Debug, Clone)]
pub(crate) struct ValueMap<T> {
    null: Option<T>,
    bools: [Option<T>; 2],
    numbers: HashMap<Finite, T>,
    texts: HashMap<Box<[u8]>, T>,
}

impl<T> Default for ValueMap<T> {
    fn default() -> Self {
        Self {
            null: None,
            bools: [None, None],
            numbers: HashMap::new(),
            texts: HashMap::new(),
        }
    }
}

impl<T> ValueMap<T> {
    /// What belongs to `value`.
    #[inline]
    pub fn get(&self, value: &Value<'_>) -> Option<&T> {
        match value {
            Value::Text(text) => self.texts.get(*text),
            // A number that nobody asks for is not read.
            Value::Number(_) if self.numbers.is_empty() => None,
            Value::Number(spelling) => self.numbers.get(&Finite::read(spelling)?),
            Value::Bool(value) => self.bools[usize::from(*value)].as_ref(),
            Value::Null => self.null.as_ref(),
            Value::Container => None,
        }
    }

    /// What belongs to `value`, to be changed.
    #[inline]
    pub fn get_mut(&mut self, value: &Value<'_>) -> Option<&mut T> {
        match value {
            Value::Text(text) => self.texts.get_mut(*text),
            Value::Number(_) if self.numbers.is_empty() => None,
            Value::Number(spelling) => self.numbers.get_mut(&Finite::read(spelling)?),
            Value::Bool(value) => self.bools[usize::from(*value)].as_mut(),
            Value::Null => self.null.as_mut(),
            Value::Container => None,
        }
    }

    /// Lets `of` belong to `key`; gives back what did before.
    pub fn insert(&mut self, key: Scalar, of: T) -> Option<T> {
        match key {
            Scalar::Null => self.null.replace(of),
            Scalar::Bool(value) => self.bools[usize::from(value)].replace(of),
            Scalar::Number(number) => self.numbers.insert(number, of),
            Scalar::Text(text) => self.texts.insert(text.into_boxed_bytes(), of),
        }
    }

    /// What belongs to `key`, which is made if nothing does yet.
    pub fn get_or_default(&mut self, key: &Scalar) -> &mut T
    where
        T: Default,
    {
        match key {
            Scalar::Null => self.null.get_or_insert_default(),
            Scalar::Bool(value) => self.bools[usize::from(*value)].get_or_insert_default(),
            Scalar::Number(number) => self.numbers.entry(*number).or_default(),
            Scalar::Text(text) => self.texts.entry(text.as_bytes().into()).or_default(),
        }
    }

    /// Forgets what belongs to `value`, and gives it back.
    pub fn remove(&mut self, value: &Value<'_>) -> Option<T> {
        match value {
            Value::Text(text) => self.texts.remove(*text),
            Value::Number(spelling) => self.numbers.remove(&Finite::read(spelling)?),
            Value::Bool(value) => self.bools[usize::from(*value)].take(),
            Value::Null => self.null.take(),
            Value::Container => None,
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        let bools = self.bools.iter().flatten().count();
        usize::from(self.null.is_some()) + bools + self.numbers.len() + self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that belongs to any key, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let few = self.null.iter().chain(self.bools.iter().flatten());
        few.chain(self.numbers.values()).chain(self.texts.values())
    }
}
