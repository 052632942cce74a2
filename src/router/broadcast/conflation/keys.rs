//! The keys by which messages of one lane are told apart.

use std::collections::HashMap;

use crate::router::broadcast::conflation::SlotRef;

/// Keys that are remembered although nothing with them waits, so that the next
/// message with such a key costs no allocation.
const IDLE_KEYS_MAX: usize = 1024;

/// The keys of a message, most often one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct KeyIds {
    first: Option<u32>,
    more: Vec<u32>,
}

impl KeyIds {
    pub(super) fn push(&mut self, id: u32) {
        match self.first {
            None => self.first = Some(id),
            Some(_) => self.more.push(id),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.iter().any(|own| own == id)
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.more.retain(|own| *own != id);
        if self.first == Some(id) {
            self.first = self.more.pop();
        }
    }
}

/// The keys that are known, and where the newest message with each waits.
#[derive(Debug, Default)]
pub(super) struct KeyTable {
    ids: HashMap<Box<[u8]>, u32>,
    places: Vec<Option<SlotRef>>,
    free: Vec<u32>,
    /// Keys with which nothing waits.
    idle: usize,
}

impl KeyTable {
    pub(super) fn id(&mut self, key: &[u8]) -> u32 {
        if let Some(&id) = self.ids.get(key) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.ids.insert(key.into(), id);
        self.idle += 1;
        id
    }

    pub(super) fn place(&self, id: u32) -> Option<SlotRef> {
        self.places[id as usize]
    }

    pub(super) fn set(&mut self, id: u32, place: Option<SlotRef>) {
        let known = &mut self.places[id as usize];
        match (known.is_some(), place.is_some()) {
            (false, true) => self.idle -= 1,
            (true, false) => self.idle += 1,
            _ => {}
        }
        *known = place;
    }

    /// Forgets the keys with which nothing waits, if there are many.
    pub(super) fn tidy(&mut self) {
        if self.idle <= IDLE_KEYS_MAX {
            return;
        }
        let Self {
            ids,
            places,
            free,
            idle,
        } = self;
        ids.retain(|_, id| {
            let waits = places[*id as usize].is_some();
            if !waits {
                free.push(*id);
            }
            waits
        });
        *idle = 0;
        if ids.is_empty() {
            // Keys may have come and gone by the thousand.
            *self = Self::default();
        }
    }
}
