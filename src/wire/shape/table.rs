//! The shapes of one server: a table read without a lock, and its learner.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use arc_swap::{ArcSwap, Guard};

use super::sample::Sample;
use super::{Offsets, Shape, build, matcher};
use crate::limits::{LAYOUTS_SEEN_MAX, SHAPES_MAX};
use crate::wire::envelope::{Header, Validation};

/// The shapes of one moment. A read loads them once ([`Shapes::load`]).
#[derive(Debug, Default)]
pub struct Table {
    /// An index stays with its layout until that is replaced.
    entries: Vec<Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    shape: Shape,
    /// The time of the last frame that it recognised.
    used: AtomicU32,
}

/// The learned shapes of a server.
#[derive(Debug)]
pub struct Shapes {
    table: ArcSwap<Table>,
    validation: Validation,
    learner: Mutex<Learner>,
}

/// The outcome of learning from a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnOutcome {
    /// No shape: the frame can't be learned from, or the learner was busy.
    Nothing,
    /// A layout seen for the first time.
    FirstSighting,
    /// A shape that recognises such frames already.
    Known(ShapeIndex),
    /// A shape that is new or was widened. Tables loaded from now on have it.
    Shape(ShapeIndex),
}

/// The index of a shape in the table. One that is out of date only misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeIndex(pub(super) u16);

impl ShapeIndex {
    /// No shape.
    pub(super) const NONE: Self = Self(u16::MAX);
}

const _: () = assert!(SHAPES_MAX < u16::MAX as usize);

#[derive(Debug, Default)]
struct Learner {
    /// Random, so that no peer can make layouts collide.
    state: RandomState,
    /// The samples of the shapes, by the same index.
    known: Vec<(u64, Sample)>,
    /// Samples seen once, the oldest first.
    seen: VecDeque<(u64, Sample)>,
}

impl Shapes {
    /// Creates an empty table, for frames that are checked as `validation` says.
    #[must_use]
    pub fn new(validation: Validation) -> Self {
        Self {
            table: ArcSwap::default(),
            validation,
            learner: Mutex::default(),
        }
    }

    /// The shapes of this moment.
    #[inline]
    pub fn load(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Learns from a frame that the parser accepted and no shape recognised.
    /// `now` is as in [`Hints::recognize`](super::Hints::recognize).
    #[cold]
    pub fn learn(&self, frame: &[u8], header: &Header, now: u32) -> LearnOutcome {
        let mut learner = match self.learner.try_lock() {
            Ok(learner) => learner,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another thread learns: there will be other frames.
            Err(TryLockError::WouldBlock) => return LearnOutcome::Nothing,
        };
        let Some(sample) = Sample::read(frame, header, self.validation) else {
            return LearnOutcome::Nothing;
        };
        let hash = sample.hash(&learner.state);
        if let Some(index) = find(&learner.known, hash, &sample) {
            return self.widen(&mut learner, index, &sample, now);
        }
        let Some(seen) = find(&learner.seen, hash, &sample) else {
            if learner.seen.len() == LAYOUTS_SEEN_MAX {
                learner.seen.pop_front();
            }
            learner.seen.push_back((hash, sample));
            return LearnOutcome::FirstSighting;
        };
        let Some((_, mut first)) = learner.seen.remove(seen) else {
            return LearnOutcome::Nothing;
        };
        first.widen(&sample);
        let Some(shape) = build::shape_of(&first, &sample) else {
            return LearnOutcome::Nothing;
        };
        let index = self.free_index();
        self.publish(index, shape, now);
        if index == learner.known.len() {
            learner.known.push((hash, first));
        } else {
            learner.known[index] = (hash, first);
        }
        LearnOutcome::Shape(ShapeIndex(index as u16))
    }

    fn widen(
        &self,
        learner: &mut Learner,
        index: usize,
        sample: &Sample,
        now: u32,
    ) -> LearnOutcome {
        let known = ShapeIndex(index as u16);
        let mut wider = learner.known[index].1.clone();
        if !wider.widen(sample) {
            return LearnOutcome::Known(known);
        }
        let Some(shape) = build::shape_of(&wider, sample) else {
            return LearnOutcome::Nothing;
        };
        self.publish(index, shape, now);
        learner.known[index].1 = wider;
        LearnOutcome::Shape(known)
    }

    /// The index for a new shape: the next, or that of the shape unused for longest.
    fn free_index(&self) -> usize {
        let table = self.table.load();
        if table.entries.len() < SHAPES_MAX {
            return table.entries.len();
        }
        let by_use = |(_, entry): &(usize, &Arc<Entry>)| entry.used.load(Ordering::Relaxed);
        let oldest = table.entries.iter().enumerate().min_by_key(by_use);
        oldest.map_or(0, |(index, _)| index)
    }

    fn publish(&self, index: usize, shape: Shape, now: u32) {
        let mut entries = self.table.load().entries.clone();
        let entry = Arc::new(Entry {
            shape,
            used: AtomicU32::new(now),
        });
        match entries.get_mut(index) {
            Some(place) => *place = entry,
            None => entries.push(entry),
        }
        self.table.store(Arc::new(Table { entries }));
    }
}

fn find<'a>(
    among: impl IntoIterator<Item = &'a (u64, Sample)>,
    hash: u64,
    sample: &Sample,
) -> Option<usize> {
    among
        .into_iter()
        .position(|(known, candidate)| *known == hash && candidate.agrees(sample))
}

impl Table {
    /// The shape at `index`, if the frame of `len` bytes at the front of `bytes`
    /// has it. `now` is as in [`Hints::recognize`](super::Hints::recognize).
    #[inline]
    pub(super) fn recognize(
        &self,
        index: ShapeIndex,
        bytes: &[u8],
        len: usize,
        now: u32,
        offsets: &mut Offsets,
    ) -> Option<&Shape> {
        let entry = self.entries.get(usize::from(index.0))?;
        if !matcher::matches(&entry.shape, bytes, len, offsets) {
            return None;
        }
        if entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
        Some(&entry.shape)
    }

    /// The shape at `index`.
    #[inline]
    pub(super) fn shape(&self, index: ShapeIndex) -> Option<&Shape> {
        let entry = self.entries.get(usize::from(index.0))?;
        Some(&entry.shape)
    }

    /// All shapes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.entries.iter().map(|entry| &entry.shape)
    }
}
