//! Learned shapes: frames like one that was accepted are recognised without
//! being parsed.
//!
//! A connector sends the same shape over and over: the same keys in the same
//! order, other values. The parser accepts the first frames of a shape. From them
//! the shape is learned, and the next frame is compared with it, byte by byte, at a
//! tenth of the parser's price. All others go to the parser, which alone words
//! errors: a shape only ever says yes.
//!
//! A shape is a template of *fixed parts* and *variables*, values of varying width;
//! [`matcher`] has a picture. The way to it: [`layout`] finds
//! the slots of a frame, its values that may differ; [`sample`] keeps a frame with
//! the widths of its slots; [`build`] makes the shape; [`table`] keeps the shapes of
//! a server, and [`hints`] picks the one to try first.
//!
//! A yes must never be wrong. The rules for that:
//! - Only string and number values may differ from the sample ([`layout`]). The
//!   words that a rule enumerates stay fixed.
//! - A string's position admits printable ASCII without quote and backslash. A
//!   variable that has had characters beyond ASCII admits those as well, checked as
//!   UTF-8. Frames with backslashes are not learned.
//! - A sample byte outside its own classes is not learned ([`build`]).
//! - Numbers keep JSON's grammar, timestamps the calendar, names their length.
//! - Every end is compared with the frame's end ([`matcher`]).
//! - A new shape must recognise its samples with the parser's headers, or it is
//!   discarded ([`table`]).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod build;
mod class;
#[cfg(any(test, fuzzing))]
mod harness;
mod hints;
mod layout;
mod matcher;
mod position;
mod recognizer;
mod sample;
mod simd;
mod slots;
mod table;
#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(super) use self::harness::Harness;
pub use self::hints::Hints;
pub(crate) use self::position::{Offsets, ShapeSlots, SlotPosition};
use self::position::{Position, SlotMap};
pub(crate) use self::slots::Slots;
pub use self::table::{LearnOutcome, Shapes, Table};

use super::envelope::{Kind, Names};
use crate::ids::MsgId;

/// The header that a shape gives a frame, as ranges: most frames join a run and
/// need no copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeMatch {
    /// The message's type.
    pub kind: Kind,
    /// The ranges of the names; never in a parser's scratch.
    pub names: Names,
    msg_id_at: u32,
}

impl ShapeMatch {
    /// The message's id, in the frame that was recognised; `None` in a shorter
    /// one.
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
    slot_map: SlotMap,
}

/// 32 positions of a fixed part: a sample byte and classes for each.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Block {
    sample: [u8; Self::BYTES],
    classes: [class::Classes; Self::BYTES],
}

impl Block {
    const BYTES: usize = 32;
}

impl Default for Block {
    fn default() -> Self {
        Self {
            sample: [0; Self::BYTES],
            classes: [0; Self::BYTES],
        }
    }
}

/// A fixed part and the variable behind it.
#[derive(Debug)]
struct Segment {
    /// The bytes of the fixed part; at least one.
    bytes: u32,
    /// The fixed part's blocks: the first, and the one behind the last.
    blocks: (u16, u16),
    /// The mask of the positions that are used in the last block.
    last_mask: u32,
    /// The fixed part's timestamps, likewise.
    times: (u16, u16),
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
    source: (Position, Position),
    target: Option<(Position, Position)>,
}
