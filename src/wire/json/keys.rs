//! The search for a repeated key, in less than quadratic time.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The most keys that are compared each with each. More are sorted.
const PAIRWISE_MAX: usize = 16;

/// The keys of one object that no rule names, as hashes with a random key: a peer
/// can't steer them, and no borrow outlives a frame.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    state: RandomState,
    hashes: Vec<u64>,
}

impl KeySet {
    /// Forgets the keys of the last object.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
    }

    /// Notes one key.
    #[inline]
    pub(crate) fn insert(&mut self, key: &str) {
        self.hashes.push(self.state.hash_one(key));
    }

    /// Returns whether two keys seem equal. Only a collision of 64 bits makes keys
    /// seem so that differ: [`first_repeated`] has the last word.
    #[inline]
    pub(crate) fn may_repeat(&mut self) -> bool {
        match self.hashes.as_mut_slice() {
            [] | [_] => false,
            few if few.len() <= PAIRWISE_MAX => few
                .iter()
                .enumerate()
                .any(|(at, hash)| few.iter().skip(at + 1).any(|other| other == hash)),
            many => {
                many.sort_unstable();
                many.windows(2).any(|pair| pair[0] == pair[1])
            }
        }
    }

    /// Gives the memory back.
    pub(crate) fn shrink(&mut self) {
        self.hashes = Vec::new();
    }
}

/// The first key that repeats an earlier one.
#[cold]
pub(crate) fn first_repeated<'a>(keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    keys.into_iter().find(|key| !seen.insert(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_repeated_key_among_few_and_among_many() {
        for count in [0, 1, 2, 15, 16, 17, 1000] {
            let keys: Vec<String> = (0..count).map(|n| format!("key{n}")).collect();
            let mut set = KeySet::default();
            for key in &keys {
                set.insert(key);
            }
            assert!(!set.may_repeat());
            if count > 0 {
                set.insert("key0");
                assert!(set.may_repeat());
            }
            set.clear();
            assert!(!set.may_repeat());
        }
        assert_eq!(first_repeated(["a", "b", "b", "a"].into_iter()), Some("b"));
        assert_eq!(first_repeated(["a", "b"].into_iter()), None);
    }
}
