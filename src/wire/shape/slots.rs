//! Where the values of a recognised frame stand.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use super::matcher::Starts;
use super::{Place, ShapeIndex, Table};

/// A frame that a shape was learned from, and where its slots are in all frames
/// of the shape.
///
/// All that is no slot is literal: it is the same in each of these frames.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) frame: Arc<[u8]>,
    /// In the order of the frame.
    pub(super) slots: Box<[(Range<usize>, SlotPlace)]>,
}

/// Where a slot stands in any frame of its shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotPlace {
    pub(super) start: Place,
    pub(super) end: Place,
}

/// The slots of the frame that a shape has just recognised; see
/// [`Hints::slots`](super::Hints::slots).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots<'a> {
    /// Where the shape is likely to be found, which is looked for only when it
    /// is not known yet.
    pub(super) table: &'a Table,
    pub(super) index: ShapeIndex,
    pub(super) starts: &'a Starts,
}

impl<'a> Slots<'a> {
    /// Which shape it is. No two shapes of a process share the number, not even
    /// one and what it is replaced by.
    #[inline]
    pub fn shape_number(&self) -> u64 {
        self.starts.shape
    }

    /// The shape and its place in its table, below
    /// [`SHAPES_MAX`](crate::limits::SHAPES_MAX). `None` if the table that was
    /// asked doesn't have it.
    pub fn shape(&self) -> Option<(usize, SlotsOf<'a>)> {
        let shape = self.table.shape(self.index)?;
        let is_it = shape.number == self.shape_number();
        is_it.then_some((usize::from(self.index.0), SlotsOf(&shape.model)))
    }

    /// Where the segments of the shape begin in the frame at hand.
    #[inline]
    pub fn starts(&self) -> &'a Starts {
        self.starts
    }
}

/// The slots of any frame of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotsOf<'a>(&'a Model);

impl<'a> SlotsOf<'a> {
    /// A frame of the shape. Every other one has the same literals: it differs
    /// in the slots only.
    pub fn model(&self) -> &'a [u8] {
        &self.0.frame
    }

    /// The slot that is this range of the model.
    pub fn place_of(&self, range: &Range<usize>) -> Option<SlotPlace> {
        let slots = &self.0.slots;
        let place = slots.binary_search_by_key(&range.start, |(own, _)| own.start);
        let (own, place) = slots.get(place.ok()?)?;
        (own == range).then_some(*place)
    }
}

impl SlotPlace {
    /// The range that the slot is of a frame whose segments begin there.
    #[inline]
    pub fn range(self, starts: &Starts) -> Range<usize> {
        starts.at(self.start) as usize..starts.at(self.end) as usize
    }
}
