//! The positions of messages by their ids, filled only when an answer comes out of
//! order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::ids::MsgId;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// In order. Nearly always one.
    positions: HashMap<MsgId, SmallVec<[u64; 1]>, RandomState>,
    /// The positions from this on are not known here.
    before: u64,
}

impl Ids {
    pub(super) fn before(&self) -> u64 {
        self.before
    }

    /// Notes that all positions before this were added.
    pub(super) fn all_before(&mut self, position: u64) {
        self.before = position;
    }

    pub(super) fn first(&self, id: &MsgId) -> Option<u64> {
        self.positions.get(id)?.first().copied()
    }

    /// Adds the position of a message, if it has an id.
    pub(super) fn add(&mut self, id: Option<MsgId>, position: u64) {
        if let Some(id) = id {
            self.positions.entry(id).or_default().push(position);
        }
    }

    pub(super) fn remove(&mut self, id: Option<MsgId>, position: u64) {
        let Some(Entry::Occupied(mut positions)) = id.map(|id| self.positions.entry(id)) else {
            return;
        };
        positions.get_mut().retain(|own| *own != position);
        if positions.get().is_empty() {
            positions.remove();
        }
    }
}
