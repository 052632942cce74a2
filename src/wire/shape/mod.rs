//! Learned shapes: frames like one that was accepted are recognised, not parsed.
//!
//! A connector sends the same keys in the same order over and over, with other
//! values. The parser accepts the first two such frames, and a shape is learned from
//! them. Later frames are compared with it, at a tenth of the parser's price. All
//! others go to the parser, which alone words errors: a shape only ever says yes.
//!
//! A frame's way: [`hints`] picks a shape of the [`table`], [`matcher`] compares,
//! [`avx2`] does so for 32 bytes at once. To learn, [`layout`] finds the values of a
//! frame that may differ, its slots; [`sample`] keeps the frame with their widths;
//! [`build`] makes the shape.
//!
//! A yes must never be wrong. The rules for that:
//! - Only string and number values may differ from the sample ([`layout`]). The
//!   words that a rule enumerates stay fixed.
//! - A string's position admits printable ASCII without quote and backslash. A
//!   variable that has had characters beyond ASCII admits those as well, checked as
//!   UTF-8; one that has had escapes admits these too, each checked ([`escape`]).
//! - Keys, names, ids, timestamps and enumerated words have no escapes. The slots of a
//!   frame with escapes are not given out ([`Hints::slots`]): their bytes are not the
//!   values.
//! - A sample byte outside its own classes is not learned ([`build`]).
//! - Numbers keep JSON's grammar, timestamps the calendar, names their length.
//! - Every end is compared with the frame's end ([`matcher`]).
//! - A new shape must recognise its samples with the parser's headers, or it is
//!   discarded ([`table`]).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod build;
mod class;
mod escape;
mod hints;
mod layout;
mod matcher;
mod sample;
mod table;
#[cfg(any(test, fuzzing))]
mod tests;

use std::ops::Range;
use std::sync::Arc;

pub use self::hints::Hints;
pub(crate) use self::hints::Slots;
pub use self::table::{LearnOutcome, Shapes, Table};
#[cfg(any(test, fuzzing))]
pub(super) use self::tests::harness::Harness;
use super::envelope::{Kind, Names};
use crate::ids::MsgId;
use crate::limits::SHAPE_VARIABLES_MAX;

/// The header that a shape gives a frame, as ranges: most need no copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeMatch {
    /// The message's type.
    pub kind: Kind,
    /// The ranges of the names; never in a parser's scratch.
    pub names: Names,
    msg_id_at: u32,
}

impl ShapeMatch {
    /// The message's id, in the frame that was recognised; `None` in a shorter one.
    #[must_use]
    #[inline]
    pub fn msg_id(&self, frame: &[u8]) -> Option<MsgId> {
        let text = frame.get(self.msg_id_at as usize..)?.first_chunk()?;
        Some(MsgId::from_checked(text))
    }

    /// The message's source, in the frame that was recognised.
    #[must_use]
    #[inline]
    pub fn source<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        self.names.source.of(frame)
    }

    /// The message's target, in the frame that was recognised.
    #[must_use]
    #[inline]
    pub fn target<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        self.names.target.map(|span| span.of(frame))
    }
}

/// The template of the frames of one shape. Immutable.
#[derive(Debug)]
struct Shape {
    /// A number above 0, unique in the process.
    number: u64,
    kind: Kind,
    /// The bytes of all fixed parts.
    frame_bytes_min: u32,
    header: HeaderPositions,
    segments: Box<[Segment]>,
    blocks: Box<[Block]>,
    /// The starts of timestamps in their fixed parts.
    times: Box<[u32]>,
    slots: ShapeSlots,
}

/// 32 positions of a fixed part: a sample byte and classes for each.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Block {
    sample: [u8; Self::BYTES],
    classes: [class::Classes; Self::BYTES],
}

impl Block {
    const BYTES: usize = 32;
}

/// A fixed part and the variable behind it.
#[derive(Debug)]
struct Segment {
    /// The bytes of the fixed part; at least one.
    bytes: u32,
    /// The number of the fixed part's blocks. They follow those of the segment before.
    blocks: u16,
    /// The mask of the positions that are used in the last block.
    last_mask: u32,
    /// The number of the fixed part's timestamps, likewise.
    times: u16,
    /// The byte behind the variable.
    terminator: u8,
    variable: Variable,
}

/// The type of a value of varying width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    /// No value: the frame ends here.
    End,
    /// The text of a string, all printable ASCII.
    Ascii,
    /// The text of a string, with characters beyond ASCII.
    Text,
    /// The text of a string, with characters beyond ASCII and escapes.
    EscapedText,
    /// A participant's name.
    Name,
    /// A number.
    Number,
    /// A timestamp.
    Timestamp,
}

/// The positions of the header's texts.
#[derive(Debug)]
struct HeaderPositions {
    msg_id: Position,
    source: SlotPosition,
    target: Option<SlotPosition>,
}

/// A position in all frames of a shape: an offset behind the start of a segment.
#[derive(Debug, Clone, Copy)]
struct Position {
    segment: u32,
    offset: u32,
}

/// The ends of a slot in all frames of a shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotPosition {
    start: Position,
    end: Position,
}

impl SlotPosition {
    /// The range of the slot in the frame at hand.
    #[inline]
    pub fn range(self, offsets: &Offsets) -> Range<usize> {
        offsets.at(self.start) as usize..offsets.at(self.end) as usize
    }
}

/// The length of [`Offsets`], a power of two: a position is found without a branch.
const OFFSETS: usize = (SHAPE_VARIABLES_MAX + 2).next_power_of_two();

/// The starts of a shape's segments in the frame at hand.
#[derive(Debug, Clone)]
pub(crate) struct Offsets {
    of_segment: [u32; OFFSETS],
    /// The number of the shape that recognised the frame; 0 if none did.
    shape: u64,
    /// Whether a value of the frame has an escape.
    has_escapes: bool,
}

impl Default for Offsets {
    fn default() -> Self {
        Self {
            of_segment: [0; OFFSETS],
            shape: 0,
            has_escapes: false,
        }
    }
}

impl Offsets {
    /// The offset of a position from the frame's start.
    #[inline(always)]
    fn at(&self, position: Position) -> u32 {
        self.of_segment[position.segment as usize % OFFSETS] + position.offset
    }
}

/// A sample frame, and the slots of all frames of its shape.
#[derive(Debug)]
pub(crate) struct ShapeSlots {
    sample: Arc<[u8]>,
    /// The slots' ranges in the sample and their positions, in the order of the frame.
    slots: Box<[(Range<usize>, SlotPosition)]>,
}

impl ShapeSlots {
    /// A frame of the shape. All others differ from it in the slots only.
    pub fn sample(&self) -> &[u8] {
        &self.sample
    }

    /// The position of the slot at `range` of the sample.
    pub fn position_of(&self, range: &Range<usize>) -> Option<SlotPosition> {
        let place = self
            .slots
            .binary_search_by_key(&range.start, |(own, _)| own.start);
        let (own, position) = self.slots.get(place.ok()?)?;
        (own == range).then_some(*position)
    }
}
