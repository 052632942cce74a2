//! The slots of a recognised frame: the positions of its values.

use std::ops::Range;
use std::sync::Arc;

use super::position::{Offsets, SlotPosition};
use super::table::{ShapeIndex, Table};

/// A sample frame, and the positions of its slots in all frames of the shape.
#[derive(Debug)]
pub(super) struct SlotMap {
    pub(super) frame: Arc<[u8]>,
    /// In the order of the frame.
    pub(super) slots: Box<[(Range<usize>, SlotPosition)]>,
}

/// The slots of the frame that a shape has just recognised; see
/// [`Hints::slots`](super::Hints::slots).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots<'a> {
    /// The table and the index of the shape, if it is still there.
    pub(super) table: &'a Table,
    pub(super) index: ShapeIndex,
    pub(super) offsets: &'a Offsets,
}

impl<'a> Slots<'a> {
    /// The shape's number, unique in the process: a shape that replaces another
    /// has a number of its own.
    #[inline]
    pub fn shape_number(&self) -> u64 {
        self.offsets.shape
    }

    /// The shape's slots and its index, below
    /// [`SHAPES_MAX`](crate::limits::SHAPES_MAX). `None` if the table no longer has
    /// the shape.
    pub fn shape(&self) -> Option<(usize, ShapeSlots<'a>)> {
        let shape = self.table.shape(self.index)?;
        let is_it = shape.number == self.shape_number();
        is_it.then_some((usize::from(self.index.0), ShapeSlots(&shape.slot_map)))
    }

    /// The starts of the shape's segments in the frame at hand.
    #[inline]
    pub fn offsets(&self) -> &'a Offsets {
        self.offsets
    }
}

/// The slots of all frames of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShapeSlots<'a>(&'a SlotMap);

impl<'a> ShapeSlots<'a> {
    /// A frame of the shape. All others differ from it in the slots only.
    pub fn sample(&self) -> &'a [u8] {
        &self.0.frame
    }

    /// The position of the slot at `range` of the sample.
    pub fn position_of(&self, range: &Range<usize>) -> Option<SlotPosition> {
        let slots = &self.0.slots;
        let position = slots.binary_search_by_key(&range.start, |(own, _)| own.start);
        let (own, position) = slots.get(position.ok()?)?;
        (own == range).then_some(*position)
    }
}
