//! A sample frame of a shape, and the widths that its values have had.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::hints::PaddedCopy;
use super::layout::{Layout, Slot, SlotType};
use super::{Offsets, Shape, class, matcher};
use crate::limits::SHAPE_FRAME_BYTES_MAX;
use crate::wire::envelope::{Header, Validation};
use crate::wire::rules;

/// The width that the values of a slot have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// The sample's, and in a number or a timestamp the same punctuation.
    Fixed,
    /// Any width.
    Varying(Spelling),
}

/// The bytes that the values of a slot have had. Each admits those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spelling {
    /// Printable ASCII without backslashes.
    Ascii,
    /// Characters beyond ASCII as well.
    BeyondAscii,
    /// Escapes as well.
    Escaped,
}

/// A frame from which a shape is built, and the widths that its values have had.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) frame: Arc<[u8]>,
    pub(super) layout: Layout,
    pub(super) widths: Vec<Width>,
    /// The parser's header of the frame.
    pub(super) header: Header,
}

impl Sample {
    /// Reads a frame. `None` if no shape can be learned from it.
    pub(super) fn read(frame: &[u8], header: &Header, validation: Validation) -> Option<Self> {
        let read_elsewhere = header.names.in_scratch;
        if read_elsewhere || header.kind.is_control() || frame.len() > SHAPE_FRAME_BYTES_MAX {
            return None;
        }
        let layout = Layout::read(frame, header.kind, validation)?;
        let widths = layout
            .slots
            .iter()
            .map(|slot| width(slot, &frame[slot.range.clone()]))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            frame: frame.into(),
            layout,
            widths,
            header: *header,
        })
    }

    fn text(&self, slot: &Slot) -> &[u8] {
        &self.frame[slot.range.clone()]
    }

    /// Widens the slots that have another width in `other`, of the same layout. Returns
    /// whether any changed.
    pub(super) fn widen(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for at in 0..self.widths.len() {
            let (slot, other_slot) = (&self.layout.slots[at], &other.layout.slots[at]);
            let (text, other_text) = (self.text(slot), other.text(other_slot));
            let widened = match (self.widths[at], other.widths[at]) {
                (Width::Fixed, Width::Fixed) if same_pattern(slot.slot_type, text, other_text) => {
                    Width::Fixed
                }
                (one, other) => Width::Varying(one.spelling().max(other.spelling())),
            };
            changed |= widened != self.widths[at];
            self.widths[at] = widened;
        }
        changed
    }

    /// See [`Layout::hash`].
    pub(super) fn hash(&self, state: &impl BuildHasher) -> u64 {
        self.layout.hash(&self.frame, state)
    }

    /// Returns whether the other sample has the same layout.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.header.kind == other.header.kind
            && self.layout.agrees(&self.frame, &other.layout, &other.frame)
    }

    /// Returns whether the shape recognises this frame, with the parser's header.
    pub(super) fn is_recognized_by(&self, shape: &Shape) -> bool {
        let (mut offsets, mut padded) = (Offsets::default(), PaddedCopy::default());
        let bytes = padded.copy(&self.frame);
        let fits = bytes
            .is_some_and(|bytes| matcher::matches(shape, bytes, self.frame.len(), &mut offsets));
        fits && {
            let found = matcher::header_of(shape, &offsets);
            found.msg_id(&self.frame) == Some(self.header.msg_id)
                && found.kind == self.header.kind
                && found.names == self.header.names
        }
    }
}

impl Width {
    fn spelling(self) -> Spelling {
        match self {
            // A fixed part holds ASCII only.
            Self::Fixed => Spelling::Ascii,
            Self::Varying(spelling) => spelling,
        }
    }
}

/// The width of one slot at first. `None` if no shape can hold its text.
fn width(slot: &Slot, text: &[u8]) -> Option<Width> {
    let all = |classes| text.iter().all(|&byte| class::is(byte, classes));
    match slot.slot_type {
        _ if all(class::STRING) => Some(Width::Fixed),
        SlotType::Text | SlotType::Name if all(class::STRING | class::BEYOND_ASCII) => {
            Some(Width::Varying(Spelling::BeyondAscii))
        }
        // The matcher decides whether it can hold these.
        SlotType::Text if memchr::memchr(b'\\', text).is_some() => {
            Some(Width::Varying(Spelling::Escaped))
        }
        _ => None,
    }
}

/// Returns whether two values of a slot have their punctuation in the same places.
fn same_pattern(slot_type: SlotType, one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && match slot_type {
            SlotType::Text | SlotType::Name | SlotType::Uuid => true,
            SlotType::Number | SlotType::Timestamp => {
                let mut pairs = one.iter().zip(other);
                let digits = digits_of(slot_type, one);
                pairs.all(|(a, b)| a == b || a.is_ascii_digit() && b.is_ascii_digit())
                    // An offset from UTC is fixed.
                    && one[digits..] == other[digits..]
            }
        }
}

/// The length of the front in which digits may differ: all but a timestamp's offset.
pub(super) fn digits_of(slot_type: SlotType, text: &[u8]) -> usize {
    if slot_type != SlotType::Timestamp {
        return text.len();
    }
    let seconds = rules::SECONDS_END.min(text.len());
    let tail = &text[seconds..];
    let fraction = match tail {
        [b'.', digits @ ..] => 1 + digits.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    seconds + fraction
}
