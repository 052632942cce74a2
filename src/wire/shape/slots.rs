//! Where the values of a recognised frame stand.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use super::sweep::Starts;
use super::{Place, Shape, ShapeIndex};

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
    pub(super) shape: &'a Shape,
    pub(super) index: ShapeIndex,
    pub(super) starts: &'a Starts,
}

impl<'a> Slots<'a> {
    /// Which shape it is. No two shapes of a process share the number, not even
    /// one and what it is replaced by.
    #[inline]
    pub fn shape_number(&self) -> u64 {
        self.shape.number
    }

    /// The place that the shape has in its table, below
    /// [`SHAPES_MAX`](crate::limits::SHAPES_MAX).
    #[inline]
    pub fn shape_index(&self) -> usize {
        usize::from(self.index.0)
    }

    /// A frame of the shape. Every other one has the same literals: it differs
    /// in the slots only.
    pub fn model(&self) -> &'a [u8] {
        &self.shape.model.frame
    }

    /// The slot that is this range of the model.
    pub fn place_of(&self, range: &Range<usize>) -> Option<SlotPlace> {
        let slots = &self.shape.model.slots;
        let place = slots.binary_search_by_key(&range.start, |(own, _)| own.start);
        let (own, place) = slots.get(place.ok()?)?;
        (own == range).then_some(*place)
    }

    /// The range that a slot is of the frame at hand.
    #[inline]
    pub fn range_of(&self, place: SlotPlace) -> Range<usize> {
        self.starts.at(place.start) as usize..self.starts.at(place.end) as usize
    }
}
