//! Learned shapes: frames that look like one that was accepted are recognised
//! without being parsed.
//!
//! A connector sends the same shape over and over: the same keys in the same
//! order, other values. The parser accepts the first frames of a shape; from
//! them the shape is learned, and the next frame is held against it, position
//! by position, at a tenth of the parser's price. What doesn't fit goes to the
//! parser, which alone words errors: a shape only ever says yes.
//!
//! A shape is a run of *stretches* and *holes*. For each position a stretch has
//! a model byte and classes: the byte passes if it equals the model or is of
//! one of the classes. A value whose width has been seen to change is a hole:
//! its end is searched.
//!
//! A yes must never be wrong. The rules for that:
//! - Only string and number values may differ from the learned frame
//!   ([`layout`]); of those the words that a rule enumerates stay literal.
//! - A string position admits printable ASCII without quote and backslash; a
//!   hole where characters beyond ASCII were seen admits those as well, checked
//!   as UTF-8. Frames with backslashes are not learned.
//! - A model byte that is not of its own classes is not learned ([`build`]).
//! - Numbers keep JSON's grammar, timestamps the calendar, names their length.
//! - Every end is held against the frame's end ([`matcher`]).
//! - A new shape must accept the frames it was made of with the parser's
//!   headers, or it is discarded ([`table`]).

#[cfg(target_arch = "x86_64")]
mod avx2;
mod build;
mod class;
#[cfg(any(test, fuzzing))]
mod harness;
mod hints;
mod layout;
mod matcher;
mod slots;
mod table;
#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(super) use harness::Harness;
pub use hints::Hints;
pub(crate) use matcher::Starts;
pub(crate) use slots::{SlotPlace, Slots, SlotsOf};
pub use table::{Learned, ShapeIndex, Shapes, Table};

use super::envelope::{Kind, Names};
use crate::ids::MsgId;

/// What a shape tells of a frame: what routing needs to know. Ranges, no
/// copies: most frames join a run and need no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognized {
    /// The message's type.
    pub kind: Kind,
    /// Where the names stand; never in a parser's scratch.
    pub names: Names,
    msg_id_at: u32,
}

impl Recognized {
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

/// What frames of one shape have in common. Never changes once it is built.
#[derive(Debug)]
struct Shape {
    /// Above 0; no two shapes of a process share it.
    number: u64,
    kind: Kind,
    /// Bytes of all stretches.
    frame_bytes_min: u32,
    locators: Locators,
    segments: Box<[Segment]>,
    blocks: Box<[Block]>,
    /// Where timestamps begin in their stretches.
    times: Box<[u32]>,
    model: slots::Model,
}

/// 32 positions of a stretch.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Block {
    model: [u8; Self::BYTES],
    classes: [class::Classes; Self::BYTES],
}

impl Block {
    const BYTES: usize = 32;
}

impl Default for Block {
    fn default() -> Self {
        Self {
            model: [0; Self::BYTES],
            classes: [0; Self::BYTES],
        }
    }
}

/// A stretch, and what follows it.
#[derive(Debug)]
struct Segment {
    /// Bytes of the stretch; at least one.
    bytes: u32,
    /// Which of the shape's blocks are its own: from this one on, before that.
    blocks: (u16, u16),
    /// Which positions of the last block belong to the stretch.
    last_mask: u32,
    /// Which of the shape's timestamps are.
    times: (u16, u16),
    /// The byte that follows the hole.
    terminator: u8,
    hole: Hole,
}

/// A value whose width varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// None: the frame ends here.
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

/// A place in a frame: so far behind the start of a segment.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u32,
    offset: u32,
}

/// Where the header's texts stand.
#[derive(Debug)]
struct Locators {
    msg_id: Place,
    source: (Place, Place),
    target: Option<(Place, Place)>,
}
