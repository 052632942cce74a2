//! The keys of the messages in one conflated queue, as small numbers: ids.

use std::collections::HashMap;

/// Idle keys that are kept, so that the next message with such a key costs no
/// allocation.
const IDLE_KEYS_MAX: usize = 1024;

/// The first slot. Half of the numbers are for messages that are given back.
const FIRST_SLOT: u64 = 1 << 63;

/// A slot in the order of delivery. Its number grows with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotRef(pub(super) u64);

impl Default for SlotRef {
    fn default() -> Self {
        Self(FIRST_SLOT)
    }
}

/// The keys of a message; most often one.
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

/// The known keys, each with the slot of its newest message that waits.
#[derive(Debug, Default)]
pub(super) struct KeyTable {
    ids: HashMap<Box<[u8]>, u32>,
    newest: Vec<Option<SlotRef>>,
    free: Vec<u32>,
    /// The number of idle keys: no message with them waits.
    idle: usize,
}

impl KeyTable {
    /// The id of `key`, which is learned if it is new.
    pub(super) fn id(&mut self, key: &[u8]) -> u32 {
        if let Some(&id) = self.ids.get(key) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.newest.push(None);
            self.newest.len() as u32 - 1
        });
        self.ids.insert(key.into(), id);
        self.idle += 1;
        id
    }

    pub(super) fn newest(&self, id: u32) -> Option<SlotRef> {
        self.newest[id as usize]
    }

    pub(super) fn set_newest(&mut self, id: u32, slot: Option<SlotRef>) {
        let known = &mut self.newest[id as usize];
        match (known.is_some(), slot.is_some()) {
            (false, true) => self.idle -= 1,
            (true, false) => self.idle += 1,
            _ => {}
        }
        *known = slot;
    }

    /// Forgets the idle keys if they are many.
    pub(super) fn tidy(&mut self) {
        if self.idle <= IDLE_KEYS_MAX {
            return;
        }
        let Self {
            ids,
            newest,
            free,
            idle,
        } = self;
        ids.retain(|_, id| {
            let waits = newest[*id as usize].is_some();
            if !waits {
                free.push(*id);
            }
            waits
        });
        *idle = 0;
        if ids.is_empty() {
            // The lists may have grown by thousands of keys.
            *self = Self::default();
        }
    }
}
