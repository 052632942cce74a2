//! The kept frames by pointer and value, the least recently updated first.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budget;
use crate::ids::ConnectionId;
use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_MESSAGES_MAX};
use crate::router::mailbox::{Frame, KeptFrame};
use crate::wire::filter::Pointer;

/// Memory that a kept frame takes beside its bytes and twice its key.
const OVERHEAD_BYTES: usize = 192;
/// The index that stands for no neighbour.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Store {
    pub(super) pointers: Vec<ByValue>,
    /// A list linked by index, from the least to the most recently updated.
    kept: Vec<Kept>,
    first: u32,
    last: u32,
    free: Vec<u32>,
    bytes: usize,
    limits: (usize, usize),
    budget: Arc<Budget>,
}

#[derive(Debug)]
pub(super) struct ByValue {
    pointer: Pointer,
    indices: HashMap<Box<[u8]>, u32>,
}

#[derive(Debug)]
struct Kept {
    pointer: u32,
    key: Box<[u8]>,
    frame: KeptFrame,
    sender: ConnectionId,
    before: u32,
    after: u32,
}

impl Store {
    /// Makes an empty store with the usual limits, counted in `budget`.
    pub(super) fn within(budget: &Arc<Budget>) -> Self {
        let bytes = budget.part(16, SNAPSHOT_BYTES_MAX);
        Self::new(SNAPSHOT_MESSAGES_MAX, bytes, budget)
    }

    /// Makes an empty store for `messages` messages in `bytes` bytes.
    fn new(messages: usize, bytes: usize, budget: &Arc<Budget>) -> Self {
        Self {
            pointers: Vec::new(),
            kept: Vec::new(),
            first: NONE,
            last: NONE,
            free: Vec::new(),
            bytes: 0,
            limits: (messages, bytes),
            budget: Arc::clone(budget),
        }
    }

    pub(super) fn add_pointer(&mut self, pointer: Pointer) {
        self.pointers.push(ByValue {
            pointer,
            indices: HashMap::new(),
        });
    }

    pub(super) fn position(&self, pointer: &Pointer) -> Option<usize> {
        let mut pointers = self.pointers.iter();
        pointers.position(|known| known.pointer == *pointer)
    }

    /// Keeps `frame` as the last broadcast that has `key` at the pointer.
    pub(super) fn keep(&mut self, pointer: u32, key: &[u8], frame: &[u8], sender: ConnectionId) {
        let Some(by_value) = self.pointers.get(pointer as usize) else {
            return;
        };
        match by_value.indices.get(key) {
            Some(&index) => {
                self.unlink(index);
                self.link(index);
                let kept = &mut self.kept[index as usize];
                kept.sender = sender;
                self.bytes -= kept.charge();
                kept.replace(frame, &self.budget);
                self.bytes += kept.charge();
            }
            None => self.add(Kept {
                pointer,
                key: key.into(),
                frame: Arc::new(Frame::new(frame, OVERHEAD_BYTES, &self.budget)),
                sender,
                before: NONE,
                after: NONE,
            }),
        }
        self.make_room();
    }

    fn add(&mut self, kept: Kept) {
        self.bytes += kept.charge();
        let (pointer, key) = (kept.pointer as usize, kept.key.clone());
        let index = match self.free.pop() {
            Some(index) => {
                self.kept[index as usize] = kept;
                index
            }
            None => {
                self.kept.push(kept);
                self.kept.len() as u32 - 1
            }
        };
        self.pointers[pointer].indices.insert(key, index);
        self.link(index);
    }

    /// Drops the least recently updated frames while a limit is exceeded.
    fn make_room(&mut self) {
        let (messages, bytes) = self.limits;
        while self.kept.len() - self.free.len() > messages || self.bytes > bytes {
            let index = self.first;
            self.unlink(index);
            let kept = &mut self.kept[index as usize];
            self.bytes -= kept.charge();
            kept.frame = KeptFrame::default();
            let key = std::mem::take(&mut kept.key);
            self.pointers[kept.pointer as usize].indices.remove(&key);
            self.free.push(index);
        }
    }

    /// The frames of one pointer in order of arrival, but for those that
    /// `receiver` sent.
    pub(super) fn frames(&self, pointer: &Pointer, receiver: ConnectionId) -> Vec<KeptFrame> {
        let Some(pointer) = self.position(pointer) else {
            return Vec::new();
        };
        let mut frames = Vec::with_capacity(self.pointers[pointer].indices.len());
        let mut at = self.first;
        while let Some(kept) = self.kept.get(at as usize) {
            if kept.pointer as usize == pointer && kept.sender != receiver {
                frames.push(Arc::clone(&kept.frame));
            }
            at = kept.after;
        }
        frames
    }

    /// Links an unlinked frame behind all others.
    fn link(&mut self, index: u32) {
        let before = std::mem::replace(&mut self.last, index);
        let kept = &mut self.kept[index as usize];
        kept.before = before;
        kept.after = NONE;
        match self.kept.get_mut(before as usize) {
            Some(before) => before.after = index,
            None => self.first = index,
        }
    }

    fn unlink(&mut self, index: u32) {
        let Kept { before, after, .. } = self.kept[index as usize];
        match self.kept.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.first = after,
        }
        match self.kept.get_mut(after as usize) {
            Some(after) => after.before = before,
            None => self.last = before,
        }
    }
}

impl Kept {
    /// The counted bytes that it takes.
    fn charge(&self) -> usize {
        self.frame.capacity() + 2 * self.key.len() + OVERHEAD_BYTES
    }

    /// Keeps `frame` instead: in the same buffer, if nobody is reading that and
    /// its size is about right.
    fn replace(&mut self, frame: &[u8], budget: &Arc<Budget>) {
        let frames = Arc::get_mut(&mut self.frame);
        if !frames.is_some_and(|kept| kept.replace(frame, OVERHEAD_BYTES)) {
            self.frame = Arc::new(Frame::new(frame, OVERHEAD_BYTES, budget));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(messages: usize, bytes: usize) -> Store {
        let mut store = Store::new(messages, bytes, &Arc::default());
        for pointer in ["/a", "/b"] {
            store.add_pointer(Pointer::parse(pointer).unwrap());
        }
        store
    }

    fn kept(store: &Store, pointer: &str) -> Vec<String> {
        let frames = store.frames(&Pointer::parse(pointer).unwrap(), ConnectionId(9));
        let text = |frame: &KeptFrame| String::from_utf8(frame.to_vec()).unwrap();
        frames.iter().map(text).collect()
    }

    #[test]
    fn keeps_the_last_of_each_value_in_the_order_of_the_updates() {
        let mut store = store(10, 10_000);
        for (pointer, key, frame, sender) in [
            (0, "x", "x1", 1),
            (0, "y", "y1", 1),
            (1, "x", "b1", 1),
            (0, "z", "z1", 9),
            (0, "x", "x2, which is longer", 1),
        ] {
            store.keep(
                pointer,
                key.as_bytes(),
                frame.as_bytes(),
                ConnectionId(sender),
            );
        }
        assert_eq!(kept(&store, "/a"), ["y1", "x2, which is longer"]);
        assert_eq!(kept(&store, "/b"), ["b1"]);
        assert!(kept(&store, "/c").is_empty());
    }

    #[test]
    fn what_was_updated_least_lately_makes_room() {
        let mut by_number = store(2, 10_000);
        for (key, frame) in [("x", "x1"), ("y", "y1"), ("x", "x2"), ("z", "z1")] {
            by_number.keep(0, key.as_bytes(), frame.as_bytes(), ConnectionId(1));
        }
        assert_eq!(kept(&by_number, "/a"), ["x2", "z1"]);
        by_number.keep(0, b"y", b"y2", ConnectionId(1));
        assert_eq!(kept(&by_number, "/a"), ["z1", "y2"]);
        let mut by_bytes = store(10, 1_000);
        for key in ["x", "y", "z"] {
            by_bytes.keep(0, key.as_bytes(), &[b'1'; 250], ConnectionId(1));
        }
        assert_eq!(kept(&by_bytes, "/a").len(), 2);
        by_bytes.keep(0, b"z", &[b'1'; 2_000], ConnectionId(1));
        assert!(kept(&by_bytes, "/a").is_empty(), "it has no room at all");
        assert_eq!(by_bytes.bytes, 0);
    }

    #[test]
    fn what_somebody_is_reading_does_not_change() {
        let mut store = store(10, 10_000);
        store.keep(0, b"x", b"x1", ConnectionId(1));
        let read = store.frames(&Pointer::parse("/a").unwrap(), ConnectionId(9));
        store.keep(0, b"x", b"x2", ConnectionId(1));
        assert_eq!(read[0][..], *b"x1");
        assert_eq!(kept(&store, "/a"), ["x2"]);
    }
}
