//! Making a shape out of frames that were accepted.

#![forbid(unsafe_code)]

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::class::{self, Classes};
use super::layout::{Form, Skeleton, Slot};
use super::matcher::{self, Lookahead, Starts};
use super::slots::{Model, SlotPlace};
use super::{Block, Hole, Locators, Place, Segment, Shape};
use crate::limits::{NAME_BYTES_MAX, SHAPE_BYTES_MAX, SHAPE_FRAME_BYTES_MAX, SHAPE_HOLES_MAX};
use crate::wire::envelope::{Header, Validation};
use crate::wire::rules;

/// Bytes checked at once.
const BLOCK: usize = Block::BYTES;

/// How a slot's value is written, as far as a stretch can hold it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// As in the exemplar: the same number of bytes, and of a number or a
    /// timestamp the same punctuation in the same places.
    Fixed,
    /// Any.
    Varying {
        /// Characters beyond ASCII were seen.
        beyond_ascii: bool,
    },
}

/// A frame of a shape, and what is known of the widths of its values: all that
/// is needed to build the shape, and to build a wider one.
#[derive(Debug, Clone)]
pub(super) struct Exemplar {
    frame: Arc<[u8]>,
    skeleton: Skeleton,
    widths: Vec<Width>,
    /// What the parser says of the frame.
    header: Header,
}

impl Exemplar {
    /// Reads a frame. `None` if it can't be learned from.
    pub(super) fn read(frame: &[u8], header: &Header, validation: Validation) -> Option<Self> {
        let plain = !header.names.in_scratch && memchr::memchr(b'\\', frame).is_none();
        if !plain || header.kind.is_control() || frame.len() > SHAPE_FRAME_BYTES_MAX {
            return None;
        }
        let skeleton = Skeleton::read(frame, header.kind, validation)?;
        let widths = skeleton
            .slots
            .iter()
            .map(|slot| width(slot, &frame[slot.range.clone()]))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            frame: frame.into(),
            skeleton,
            widths,
            header: *header,
        })
    }

    fn text(&self, slot: &Slot) -> &[u8] {
        &self.frame[slot.range.clone()]
    }

    /// Takes what varies between this frame and `other`, which must have the
    /// same skeleton, into the widths. Says whether that changed any.
    pub(super) fn widen(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for at in 0..self.widths.len() {
            let (slot, other_slot) = (&self.skeleton.slots[at], &other.skeleton.slots[at]);
            let (text, other_text) = (self.text(slot), other.text(other_slot));
            let widened = match (self.widths[at], other.widths[at]) {
                (Width::Fixed, Width::Fixed) if same_pattern(slot.form, text, other_text) => {
                    Width::Fixed
                }
                (one, other) => Width::Varying {
                    beyond_ascii: one.is_beyond_ascii() || other.is_beyond_ascii(),
                },
            };
            changed |= widened != self.widths[at];
            self.widths[at] = widened;
        }
        changed
    }

    /// See [`Skeleton::hash`].
    pub(super) fn hash(&self, state: &impl BuildHasher) -> u64 {
        self.skeleton.hash(&self.frame, state)
    }

    /// Whether the other frame has the same skeleton.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.header.kind == other.header.kind
            && self
                .skeleton
                .agrees(&self.frame, &other.skeleton, &other.frame)
    }

    /// Whether the shape recognises this frame, with the parser's header.
    fn is_recognized_by(&self, shape: &Shape) -> bool {
        let (mut starts, mut lookahead) = (Starts::default(), Lookahead::default());
        let bytes = lookahead.copy(&self.frame);
        let fits = bytes
            .is_some_and(|bytes| matcher::recognizes(shape, bytes, self.frame.len(), &mut starts));
        fits && {
            let found = matcher::found(shape, &starts);
            found.msg_id(&self.frame) == Some(self.header.msg_id)
                && found.kind == self.header.kind
                && found.names == self.header.names
        }
    }
}

/// Builds the shape of an exemplar that was widened by the frame `other`.
/// `None` if it would be too large, or doesn't recognise both as the parser
/// does.
pub(super) fn shape_of(exemplar: &Exemplar, other: &Exemplar) -> Option<Shape> {
    let shape = Builder::default().build(exemplar)?;
    let right = exemplar.is_recognized_by(&shape) && other.is_recognized_by(&shape);
    right.then_some(shape)
}

impl Width {
    fn is_beyond_ascii(self) -> bool {
        self == Self::Varying { beyond_ascii: true }
    }
}

/// How the value of one slot can be held; `None` if in no way.
fn width(slot: &Slot, text: &[u8]) -> Option<Width> {
    let printable = |byte: &u8| class::is(*byte, class::STRING);
    match slot.form {
        Form::Text | Form::Name => {
            let beyond_ascii = !text.is_ascii();
            let fits = |byte: &u8| printable(byte) || *byte >= 0x80;
            if !text.iter().all(fits) {
                return None;
            }
            // A stretch holds ASCII only.
            Some(if beyond_ascii {
                Width::Varying { beyond_ascii }
            } else {
                Width::Fixed
            })
        }
        Form::Uuid | Form::Timestamp | Form::Number => {
            text.iter().all(printable).then_some(Width::Fixed)
        }
    }
}

/// Whether two values of one slot are written with the same punctuation in the
/// same places.
fn same_pattern(form: Form, one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && match form {
            Form::Text | Form::Name | Form::Uuid => true,
            Form::Number | Form::Timestamp => {
                let mut pairs = one.iter().zip(other);
                let digits = digits_of(form, one);
                pairs.all(|(a, b)| a == b || a.is_ascii_digit() && b.is_ascii_digit())
                    // What is literal in a stretch must be equal.
                    && one[digits..] == other[digits..]
            }
        }
}

/// How many of a value's bytes, from the first on, may be other digits: all but
/// a timestamp's offset.
fn digits_of(form: Form, text: &[u8]) -> usize {
    if form != Form::Timestamp {
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

/// Puts a shape together, segment by segment.
#[derive(Debug, Default)]
struct Builder {
    /// The stretch that is being put together: model bytes and classes.
    stretch: Vec<(u8, Classes)>,
    /// Where timestamps begin in it.
    stretch_times: Vec<u32>,
    blocks: Vec<Block>,
    times: Vec<u32>,
    segments: Vec<Segment>,
}

impl Builder {
    fn build(mut self, exemplar: &Exemplar) -> Option<Shape> {
        let Exemplar {
            frame,
            skeleton,
            widths,
            header,
        } = exemplar;
        let mut places: Vec<SlotPlace> = Vec::with_capacity(skeleton.slots.len());
        let mut at = 0;
        for (slot, width) in skeleton.slots.iter().zip(widths) {
            let text = frame.get(slot.range.clone())?;
            self.literal(frame.get(at..slot.range.start)?);
            at = slot.range.end;
            let start = self.place();
            match *width {
                Width::Fixed => self.fixed(slot.form, text)?,
                Width::Varying { beyond_ascii } => {
                    self.end_stretch(hole(slot.form, beyond_ascii)?, *frame.get(at)?);
                }
            }
            places.push(SlotPlace {
                start,
                end: self.place(),
            });
        }
        self.literal(frame.get(at..)?);
        self.end_stretch(Hole::End, 0);

        let bytes = self.blocks.len() * size_of::<Block>();
        if bytes > SHAPE_BYTES_MAX || self.segments.len() > SHAPE_HOLES_MAX + 1 {
            return None;
        }
        let span = |slot: usize| {
            let place = places.get(slot)?;
            Some((place.start, place.end))
        };
        let ranges = skeleton.slots.iter().map(|slot| slot.range.clone());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Some(Shape {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            kind: header.kind,
            frame_bytes_min: self.segments.iter().map(|segment| segment.bytes).sum(),
            locators: Locators {
                msg_id: span(skeleton.msg_id)?.0,
                source: span(skeleton.source)?,
                target: match skeleton.target {
                    Some(target) => Some(span(target)?),
                    None => None,
                },
            },
            model: Model {
                frame: frame.clone(),
                slots: ranges.zip(places.iter().copied()).collect(),
            },
            blocks: self.blocks.into(),
            times: self.times.into(),
            segments: self.segments.into(),
        })
    }

    fn place(&self) -> Place {
        Place {
            segment: self.segments.len() as u32,
            offset: self.stretch.len() as u32,
        }
    }

    fn literal(&mut self, text: &[u8]) {
        self.stretch.extend(text.iter().map(|&byte| (byte, 0)));
    }

    /// A value that must be as wide as this one. `None` if a byte of it is not
    /// what it must be: such a byte as a model would admit others like it.
    fn fixed(&mut self, form: Form, text: &[u8]) -> Option<()> {
        match form {
            Form::Text => self.each(text, |_, _| class::STRING),
            Form::Name => {
                let fits = (1..=NAME_BYTES_MAX).contains(&text.len());
                fits.then_some(())?;
                self.each(text, |_, _| class::STRING)
            }
            Form::Uuid => self.each(text, |_, byte| match byte {
                b'-' => 0,
                _ => class::HEX,
            }),
            Form::Timestamp => {
                // What a date and a time may be is checked beside the sweep.
                let digits = digits_of(form, text);
                self.stretch_times.push(self.stretch.len() as u32);
                self.each(text, |at, byte| {
                    let digit = at < digits && byte.is_ascii_digit();
                    if digit { class::DIGIT } else { 0 }
                })
            }
            Form::Number => {
                let first = usize::from(text.first() == Some(&b'-'));
                let single = !text.get(first + 1).is_some_and(u8::is_ascii_digit);
                self.each(text, |at, byte| match byte {
                    b'0'..=b'9' if at == first && !single => class::NONZERO_DIGIT,
                    b'0'..=b'9' => class::DIGIT,
                    _ => 0,
                })
            }
        }
    }

    fn each(&mut self, text: &[u8], classes: impl Fn(usize, u8) -> Classes) -> Option<()> {
        for (at, &byte) in text.iter().enumerate() {
            let classes = classes(at, byte);
            if classes != 0 && !class::is(byte, classes) {
                return None;
            }
            self.stretch.push((byte, classes));
        }
        Some(())
    }

    /// `terminator` is the byte that follows the hole.
    fn end_stretch(&mut self, hole: Hole, terminator: u8) {
        let (block, time) = (self.blocks.len() as u16, self.times.len() as u16);
        let chunks = self.stretch.chunks(BLOCK);
        self.blocks.extend(chunks.map(|chunk| {
            let mut block = Block::default();
            for (at, &(model, classes)) in chunk.iter().enumerate() {
                block.model[at] = model;
                block.classes[at] = classes;
            }
            block
        }));
        self.times.append(&mut self.stretch_times);
        let in_last = match self.stretch.len() % BLOCK {
            0 => BLOCK,
            some => some,
        };
        self.segments.push(Segment {
            bytes: self.stretch.len() as u32,
            blocks: (block, self.blocks.len() as u16),
            last_mask: u32::MAX >> (BLOCK - in_last),
            times: (time, self.times.len() as u16),
            terminator,
            hole,
        });
        self.stretch.clear();
    }
}

fn hole(form: Form, beyond_ascii: bool) -> Option<Hole> {
    Some(match (form, beyond_ascii) {
        (Form::Text, false) => Hole::Ascii,
        (Form::Text, true) => Hole::Text,
        (Form::Name, _) => Hole::Name,
        (Form::Number, _) => Hole::Number,
        (Form::Timestamp, _) => Hole::Timestamp,
        // All are equally wide.
        (Form::Uuid, _) => return None,
    })
}
