//! Which shape a frame is likely to have: what a thread tries first.

#![forbid(unsafe_code)]

use super::matcher::{self, LOOKAHEAD, Lookahead, Starts};
use super::{Learned, Recognized, Shape, ShapeIndex, Slots, Table};
use crate::limits::SHAPE_FRAME_BYTES_MAX;

/// Lengths that are told apart.
const LENGTHS: usize = 1024;
/// Shapes that are remembered for a length.
const A_LENGTH: usize = 4;
/// Shapes that are tried for a length that they were not seen with.
const RECENT: usize = 32;

/// What one thread has seen lately: which shapes frames of a length had, and
/// which were used last.
///
/// A hint may be out of date, or of another server's table: then it misses, or
/// a shape recognises the frame all the same, which is as good.
#[derive(Debug)]
pub struct Hints {
    /// By length; the likeliest first.
    by_length: Box<[[ShapeIndex; A_LENGTH]]>,
    /// The last used first.
    recent: [ShapeIndex; RECENT],
    starts: Starts,
    lookahead: Lookahead,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            by_length: vec![[ShapeIndex::NONE; A_LENGTH]; LENGTHS].into(),
            recent: [ShapeIndex::NONE; RECENT],
            starts: Starts::default(),
            lookahead: Lookahead::default(),
        }
    }
}

impl Hints {
    /// What a shape tells of the frame of `len` bytes at the front of `bytes`, if
    /// one recognises it. What stands behind the frame doesn't matter. `now`
    /// is any count that grows with time; shapes that are used least lately make
    /// room for others.
    #[inline]
    pub fn recognize(
        &mut self,
        table: &Table,
        bytes: &[u8],
        len: usize,
        now: u32,
    ) -> Option<Recognized> {
        if bytes.len() < len + LOOKAHEAD {
            return self.recognize_last(table, bytes.get(..len)?, now);
        }
        let likeliest = self.by_length[len % LENGTHS][0];
        // What is found is written where the caller wants it, once: to be copied
        // it would have to wait until it had reached the cache.
        let shape = match table.recognize(likeliest, bytes, len, now, &mut self.starts) {
            Some(shape) => shape,
            None => self.try_others(table, bytes, len, now)?,
        };
        Some(matcher::found(shape, &self.starts))
    }

    /// A frame with too little behind it.
    #[cold]
    fn recognize_last(&mut self, table: &Table, frame: &[u8], now: u32) -> Option<Recognized> {
        let mut lookahead = std::mem::replace(&mut self.lookahead, Lookahead::nowhere());
        let bytes = lookahead.copy(frame);
        let known = bytes.and_then(|bytes| self.recognize(table, bytes, frame.len(), now));
        self.lookahead = lookahead;
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
            let known = table.recognize(index, bytes, len, now, &mut self.starts);
            if known.is_some() {
                self.expect(index, len);
                return known;
            }
        }
        None
    }

    /// Where the values stand of the frame of `len` bytes that
    /// [`Hints::recognize`] has just recognised, by the same table. `None` if
    /// the last frame was recognised by none.
    #[inline]
    pub(crate) fn slots<'a>(&'a self, table: &'a Table, len: usize) -> Option<Slots<'a>> {
        (self.starts.shape != 0).then_some(Slots {
            table,
            // Whichever shape recognises a frame is the likeliest afterwards.
            index: self.by_length[len % LENGTHS][0],
            starts: &self.starts,
        })
    }

    /// Takes note of what learning from a frame of `len` bytes came to.
    pub fn note(&mut self, learned: Learned, len: usize) {
        if let Learned::Known(index) | Learned::Shape(index) = learned {
            self.expect(index, len);
        }
    }

    /// The shape at `index` is the likeliest for frames of `len` bytes.
    fn expect(&mut self, index: ShapeIndex, len: usize) {
        move_to_front(&mut self.by_length[len % LENGTHS], index);
        move_to_front(&mut self.recent, index);
    }
}

/// Puts `index` first; the last makes room if it was not there.
fn move_to_front(indices: &mut [ShapeIndex], index: ShapeIndex) {
    let known = indices.iter().position(|known| *known == index);
    let place = known.unwrap_or(indices.len() - 1);
    indices.copy_within(..place, 1);
    indices[0] = index;
}
