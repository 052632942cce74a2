//! Positions in the frames of one shape, its slots, and their offsets in one frame.

use std::ops::Range;
use std::sync::Arc;

use crate::limits::SHAPE_VARIABLES_MAX;

/// A position in all frames of a shape: an offset behind the start of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

/// The ends of a slot in all frames of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotPosition {
    pub(super) start: Position,
    pub(super) end: Position,
}

/// The starts of a shape's segments in the frame at hand.
#[derive(Debug, Clone)]
pub(crate) struct Offsets {
    pub(super) of_segment: [u32; SHAPE_VARIABLES_MAX + 2],
    /// The number of the shape that recognised the frame; 0 if none did.
    pub(super) shape: u64,
}

impl Default for Offsets {
    fn default() -> Self {
        Self {
            of_segment: [0; SHAPE_VARIABLES_MAX + 2],
            shape: 0,
        }
    }
}

impl Offsets {
    /// The offset of a position from the frame's start.
    #[inline(always)]
    pub(super) fn at(&self, position: Position) -> u32 {
        let start = self.of_segment.get(position.segment as usize).copied();
        start.unwrap_or_default() + position.offset
    }
}

impl SlotPosition {
    /// The range of the slot in the frame at hand.
    #[inline]
    pub fn range(self, offsets: &Offsets) -> Range<usize> {
        offsets.at(self.start) as usize..offsets.at(self.end) as usize
    }
}

/// A sample frame, and the positions of its slots in all frames of the shape.
#[derive(Debug)]
pub(super) struct SlotMap {
    pub(super) frame: Arc<[u8]>,
    /// In the order of the frame.
    pub(super) slots: Box<[(Range<usize>, SlotPosition)]>,
}

/// The slots of all frames of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShapeSlots<'a>(pub(super) &'a SlotMap);

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
