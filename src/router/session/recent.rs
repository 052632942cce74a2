//! A short list of the rows that a session has looked up lately.

use std::ops::{Index, IndexMut};

/// The most rows: most connections need one, one that speaks for others a few.
const ROWS_MAX: usize = 8;

/// The place of a row, until another row takes it: then looking it up is a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    index: u32,
    /// The number of the row that was added there; 0 is none.
    number: u32,
}

#[derive(Debug)]
pub(super) struct Recent<T> {
    /// The rows, each with its number.
    rows: Vec<(u32, T)>,
    added: u32,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            added: 0,
        }
    }
}

impl<T> Recent<T> {
    pub(super) fn find(&self, is_wanted: impl Fn(&T) -> bool) -> Option<Place> {
        let index = self.rows.iter().position(|(_, row)| is_wanted(row))?;
        Some(Place {
            index: index as u32,
            number: self.rows[index].0,
        })
    }

    /// Adds a row, instead of the oldest once the list is full.
    pub(super) fn add(&mut self, row: T) -> Place {
        let index = self.added as usize % ROWS_MAX;
        self.added = self.added.wrapping_add(1);
        let number = self.added;
        if index < self.rows.len() {
            self.rows[index] = (number, row);
        } else {
            // Most connections never have another one.
            self.rows.reserve_exact(1);
            self.rows.push((number, row));
        }
        let index = index as u32;
        Place { index, number }
    }

    /// Returns the row, unless another has taken its place.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<&T> {
        let (number, row) = self.rows.get(place.index as usize)?;
        (*number == place.number).then_some(row)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut().map(|(_, row)| row)
    }
}

impl<T> Index<Place> for Recent<T> {
    type Output = T;

    #[inline]
    fn index(&self, place: Place) -> &T {
        self.get(place).expect("the row was replaced")
    }
}

impl<T> IndexMut<Place> for Recent<T> {
    fn index_mut(&mut self, place: Place) -> &mut T {
        let (number, row) = &mut self.rows[place.index as usize];
        assert_eq!(*number, place.number, "the row was replaced");
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_good_until_another_row_takes_it() {
        let mut recent = Recent::default();
        assert_eq!(recent.get(Place::default()), None::<&usize>);
        let places: Vec<Place> = (0..ROWS_MAX).map(|row| recent.add(row)).collect();
        assert_eq!(recent.find(|&row| row == 3), Some(places[3]));
        assert_eq!(recent[places[0]], 0);
        let newest = recent.add(ROWS_MAX);
        assert_eq!((recent.get(places[0]), recent[newest]), (None, ROWS_MAX));
        assert_eq!(recent[places[1]], 1);
        assert_eq!(recent.find(|&row| row == 0), None);
    }
}
