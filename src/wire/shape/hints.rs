//! Guesses at the shape of a frame: the shapes that a thread tries first.

use super::matcher::{self, LOOKAHEAD};
use super::table::{LearnOutcome, ShapeIndex, Table};
use super::{Offsets, Shape, ShapeMatch, ShapeSlots};
use crate::limits::SHAPE_FRAME_BYTES_MAX;

/// Lengths of frames that are told apart.
const LENGTHS: usize = 1024;
/// Shapes remembered for a length.
const A_LENGTH: usize = 4;
/// Shapes tried for a length with which they were not seen.
const RECENT: usize = 32;

/// The shapes that one thread has met lately, by the length of the frame and by their
/// last use. A hint that is out of date, or of another table, only misses.
#[derive(Debug)]
pub struct Hints {
    /// By length, the likeliest first.
    by_length: Box<[[ShapeIndex; A_LENGTH]]>,
    /// The shape used last comes first.
    recent: [ShapeIndex; RECENT],
    offsets: Offsets,
    padded: PaddedCopy,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            by_length: vec![[ShapeIndex::NONE; A_LENGTH]; LENGTHS].into(),
            recent: [ShapeIndex::NONE; RECENT],
            offsets: Offsets::default(),
            padded: PaddedCopy::default(),
        }
    }
}

impl Hints {
    /// The header of the frame of `len` bytes at the front of `bytes`, if a shape
    /// recognises it. `now` grows with time: the shape unused for longest makes room.
    #[inline]
    pub fn recognize(
        &mut self,
        table: &Table,
        bytes: &[u8],
        len: usize,
        now: u32,
    ) -> Option<ShapeMatch> {
        if bytes.len() < len + LOOKAHEAD {
            return self.recognize_last(table, bytes.get(..len)?, now);
        }
        let likeliest = self.by_length[len % LENGTHS][0];
        // Built where the caller wants it: a copy would wait for the cache.
        let shape = match table.recognize(likeliest, bytes, len, now, &mut self.offsets) {
            Some(shape) => shape,
            None => self.try_others(table, bytes, len, now)?,
        };
        Some(matcher::header_of(shape, &self.offsets))
    }

    /// Recognises a frame with too little behind it, by a copy.
    #[cold]
    fn recognize_last(&mut self, table: &Table, frame: &[u8], now: u32) -> Option<ShapeMatch> {
        let mut padded = std::mem::replace(&mut self.padded, PaddedCopy(Box::default()));
        let bytes = padded.copy(frame);
        let known = bytes.and_then(|bytes| self.recognize(table, bytes, frame.len(), now));
        self.padded = padded;
        known
    }

    #[inline(never)]
    fn try_others<'t>(
        &mut self,
        table: &'t Table,
        bytes: &[u8],
        len: usize,
        now: u32,
    ) -> Option<&'t Shape> {
        if len > SHAPE_FRAME_BYTES_MAX {
            return None;
        }
        let known = self.by_length[len % LENGTHS];
        let others = known.iter().skip(1).chain(&self.recent);
        let untried = |index: &ShapeIndex| *index != known[0] && *index != ShapeIndex::NONE;
        for index in others.copied().filter(untried) {
            let known = table.recognize(index, bytes, len, now, &mut self.offsets);
            if known.is_some() {
                self.expect(index, len);
                return known;
            }
        }
        None
    }

    /// The slots of the last frame, of `len` bytes, if [`Hints::recognize`] recognised
    /// it by the same table and it has no escapes.
    #[inline]
    pub(crate) fn slots<'a>(&'a self, table: &'a Table, len: usize) -> Option<Slots<'a>> {
        let spells_values = self.offsets.shape != 0 && !self.offsets.has_escapes;
        spells_values.then_some(Slots {
            table,
            // The shape that recognises a frame is the likeliest afterwards.
            index: self.by_length[len % LENGTHS][0],
            offsets: &self.offsets,
        })
    }

    /// Notes the outcome of learning from a frame of `len` bytes.
    pub fn note(&mut self, learned: LearnOutcome, len: usize) {
        if let LearnOutcome::Known(index) | LearnOutcome::Shape(index) = learned {
            self.expect(index, len);
        }
    }

    /// Makes the shape at `index` the likeliest for frames of `len` bytes.
    fn expect(&mut self, index: ShapeIndex, len: usize) {
        move_to_front(&mut self.by_length[len % LENGTHS], index);
        move_to_front(&mut self.recent, index);
    }
}

/// Puts `index` first. If it is new, the last makes room.
fn move_to_front(indices: &mut [ShapeIndex], index: ShapeIndex) {
    let known = indices.iter().position(|known| *known == index);
    let place = known.unwrap_or(indices.len() - 1);
    indices.copy_within(..place, 1);
    indices[0] = index;
}

/// A buffer for a frame with less than [`LOOKAHEAD`] behind it, the last of a read.
#[derive(Debug)]
pub(super) struct PaddedCopy(Box<[u8]>);

impl Default for PaddedCopy {
    fn default() -> Self {
        Self(vec![0; SHAPE_FRAME_BYTES_MAX + LOOKAHEAD].into())
    }
}

impl PaddedCopy {
    /// Copies the frame. `None` if it is larger than any that shapes recognise.
    pub(super) fn copy(&mut self, frame: &[u8]) -> Option<&[u8]> {
        let fits = frame.len() <= SHAPE_FRAME_BYTES_MAX;
        let copy = self.0.get_mut(..frame.len()).filter(|_| fits)?;
        copy.copy_from_slice(frame);
        Some(&self.0)
    }
}

/// The slots of the frame that a shape has just recognised; see [`Hints::slots`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots<'a> {
    /// The table and the index of the shape, if it is still there.
    table: &'a Table,
    index: ShapeIndex,
    offsets: &'a Offsets,
}

impl<'a> Slots<'a> {
    /// The shape's number, unique in the process.
    #[inline]
    pub fn shape_number(&self) -> u64 {
        self.offsets.shape
    }

    /// The shape's index, below [`SHAPES_MAX`](crate::limits::SHAPES_MAX), and its
    /// slots. `None` if the table no longer has the shape.
    pub fn shape(&self) -> Option<(usize, &'a ShapeSlots)> {
        let shape = self.table.shape(self.index)?;
        let is_it = shape.number == self.shape_number();
        is_it.then_some((usize::from(self.index.0), &shape.slots))
    }

    /// The starts of the shape's segments in the frame at hand.
    #[inline]
    pub fn offsets(&self) -> &'a Offsets {
        self.offsets
    }
}
