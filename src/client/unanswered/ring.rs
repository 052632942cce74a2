//! Values at rising positions, most of them removed in their order.
//!
//! A removed value leaves an empty slot between others, so no value moves for it. The
//! first and the last slot are never empty, and never are more slots empty than full:
//! one value that stays for long doesn't make the ring grow.

use std::collections::VecDeque;
use std::ops::Range;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: VecDeque<Slot<T>>,
    full: usize,
}

#[derive(Debug)]
struct Slot<T> {
    position: u64,
    value: Option<T>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            full: 0,
        }
    }
}

impl<T> Ring<T> {
    /// Adds a value at `position`, behind all others.
    pub(super) fn push(&mut self, position: u64, value: T) {
        debug_assert!(
            self.slots
                .back()
                .is_none_or(|last| last.position < position)
        );
        let value = Some(value);
        self.slots.push_back(Slot { position, value });
        self.full += 1;
    }

    pub(super) fn first(&self) -> Option<(u64, &T)> {
        let slot = self.slots.front()?;
        Some((slot.position, slot.value.as_ref()?))
    }

    pub(super) fn remove(&mut self, position: u64) -> Option<T> {
        let index = self.index_of(position)?;
        let value = self.slots.get_mut(index)?.value.take()?;
        self.full -= 1;
        self.drop_empty();
        Some(value)
    }

    /// The values at `positions`, in order.
    pub(super) fn range(&self, positions: Range<u64>) -> impl Iterator<Item = (u64, &T)> {
        let first = self.place_of(positions.start).unwrap_or_else(|place| place);
        let slots = self.slots.range(first..);
        slots
            .take_while(move |slot| slot.position < positions.end)
            .filter_map(|slot| Some((slot.position, slot.value.as_ref()?)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let slots = self.slots.iter();
        slots.filter_map(|slot| Some((slot.position, slot.value.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        let slots = self.slots.iter_mut();
        slots.filter_map(|slot| Some((slot.position, slot.value.as_mut()?)))
    }

    fn index_of(&self, position: u64) -> Option<usize> {
        self.place_of(position).ok()
    }

    /// The index of the slot at `position`; an error is the place where it would be.
    fn place_of(&self, position: u64) -> Result<usize, usize> {
        let first = self.slots.front().map_or(0, |slot| slot.position);
        // Right as long as no empty slot was taken out.
        let guess = usize::try_from(position.wrapping_sub(first)).unwrap_or(usize::MAX);
        match self.slots.get(guess) {
            Some(slot) if slot.position == position => Ok(guess),
            _ => (self.slots).binary_search_by_key(&position, |slot| slot.position),
        }
    }

    /// Drops the empty slots at both ends, and all once they are too many.
    fn drop_empty(&mut self) {
        let is_empty = |slot: Option<&Slot<T>>| slot.is_some_and(|slot| slot.value.is_none());
        while is_empty(self.slots.front()) {
            self.slots.pop_front();
        }
        while is_empty(self.slots.back()) {
            self.slots.pop_back();
        }
        if self.slots.len() > 2 * self.full {
            self.slots.retain(|slot| slot.value.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn assert_alike(ring: &mut Ring<u64>, model: &mut BTreeMap<u64, u64>, position: u64) {
        let pairs = |model: &BTreeMap<u64, u64>| -> Vec<_> {
            model
                .iter()
                .map(|(position, value)| (*position, *value))
                .collect()
        };
        let values: Vec<_> = ring.iter().map(|(at, value)| (at, *value)).collect();
        assert_eq!(values, pairs(model));
        let values: Vec<_> = ring.iter_mut().map(|(at, value)| (at, *value)).collect();
        assert_eq!(values, pairs(model));
        assert_eq!(ring.first().map(|(at, _)| at), model.keys().next().copied());
        let some = position / 2..position.saturating_add(20);
        let in_ring: Vec<_> = ring.range(some.clone()).map(|(at, _)| at).collect();
        let in_model: Vec<_> = model.range(some).map(|(at, _)| *at).collect();
        assert_eq!(in_ring, in_model);
        assert!(ring.slots.len() <= 2 * model.len());
    }

    proptest! {
        #[test]
        fn is_like_a_sorted_map(steps in proptest::collection::vec((0..4_u8, 0..60_u64), 0..120)) {
            let (mut ring, mut model) = (Ring::default(), BTreeMap::new());
            let mut next = 0;
            for (kind, number) in steps {
                if kind < 2 {
                    // Positions may be left out.
                    next += 1 + number / 50;
                    ring.push(next, number);
                    model.insert(next, number);
                } else {
                    let position = match kind {
                        2 => number,
                        _ => model.keys().next().copied().unwrap_or(number),
                    };
                    assert_eq!(ring.remove(position), model.remove(&position));
                }
                assert_alike(&mut ring, &mut model, number);
            }
        }
    }

    #[test]
    fn one_that_stays_does_not_make_it_grow() {
        const UNDER_WAY: u64 = 1_000;
        let mut ring = Ring::default();
        for position in 0..100_000 {
            ring.push(position, ());
            if position > UNDER_WAY {
                assert!(ring.remove(position - UNDER_WAY).is_some());
            }
            assert!(ring.slots.len() as u64 <= 2 * (UNDER_WAY + 2));
        }
        assert_eq!(ring.first(), Some((0, &())));
        assert!(ring.slots.capacity() as u64 <= 4 * UNDER_WAY);
    }
}
