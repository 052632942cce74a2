//! The builder of shapes: from samples to fixed parts and variables.

use std::sync::atomic::{AtomicU64, Ordering};

use super::class::{self, Classes};
use super::layout::SlotType;
use super::sample::{Sample, Spelling, Width, digits_of};
use super::{Block, HeaderPositions, Position, Segment, Shape, ShapeSlots, SlotPosition, Variable};
use crate::limits::{NAME_BYTES_MAX, SHAPE_BYTES_MAX, SHAPE_VARIABLES_MAX};

/// Bytes compared at once.
const BLOCK: usize = Block::BYTES;

/// Builds the shape of a sample that was widened by `other`. `None` if it would be
/// too large, or doesn't recognise both as the parser does.
pub(super) fn shape_of(sample: &Sample, other: &Sample) -> Option<Shape> {
    let shape = Builder::default().build(sample)?;
    let right = sample.is_recognized_by(&shape) && other.is_recognized_by(&shape);
    right.then_some(shape)
}

/// A shape in the making, segment by segment.
#[derive(Debug, Default)]
struct Builder {
    /// The current fixed part: sample bytes and classes.
    fixed_part: Vec<(u8, Classes)>,
    /// The starts of timestamps in it.
    fixed_times: Vec<u32>,
    blocks: Vec<Block>,
    times: Vec<u32>,
    segments: Vec<Segment>,
}

impl Builder {
    fn build(mut self, sample: &Sample) -> Option<Shape> {
        let Sample {
            frame,
            layout,
            widths,
            header,
        } = sample;
        let mut positions: Vec<SlotPosition> = Vec::with_capacity(layout.slots.len());
        let mut at = 0;
        for (slot, width) in layout.slots.iter().zip(widths) {
            let text = frame.get(slot.range.clone())?;
            self.literal(frame.get(at..slot.range.start)?);
            at = slot.range.end;
            let start = self.position();
            match *width {
                Width::Fixed => self.fixed(slot.slot_type, text)?,
                Width::Varying(spelling) => {
                    self.end_segment(variable_of(slot.slot_type, spelling)?, *frame.get(at)?);
                }
            }
            positions.push(SlotPosition {
                start,
                end: self.position(),
            });
        }
        self.literal(frame.get(at..)?);
        self.end_segment(Variable::End, 0);

        let bytes = self.blocks.len() * size_of::<Block>();
        if bytes > SHAPE_BYTES_MAX || self.segments.len() > SHAPE_VARIABLES_MAX + 1 {
            return None;
        }
        let header_positions = HeaderPositions {
            msg_id: positions.get(layout.msg_id)?.start,
            source: *positions.get(layout.source)?,
            target: match layout.target {
                Some(target) => Some(*positions.get(target)?),
                None => None,
            },
        };
        let ranges = layout.slots.iter().map(|slot| slot.range.clone());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Some(Shape {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            kind: header.kind,
            frame_bytes_min: self.segments.iter().map(|segment| segment.bytes).sum(),
            header: header_positions,
            slots: ShapeSlots {
                sample: frame.clone(),
                slots: ranges.zip(positions).collect(),
            },
            blocks: self.blocks.into(),
            times: self.times.into(),
            segments: self.segments.into(),
        })
    }

    fn position(&self) -> Position {
        Position {
            segment: self.segments.len() as u32,
            offset: self.fixed_part.len() as u32,
        }
    }

    fn literal(&mut self, text: &[u8]) {
        self.fixed_part.extend(text.iter().map(|&byte| (byte, 0)));
    }

    /// Adds a value of fixed width. `None` if a byte is outside its classes: a
    /// sample byte always passes, so it would admit others like it.
    fn fixed(&mut self, slot_type: SlotType, text: &[u8]) -> Option<()> {
        match slot_type {
            SlotType::Text => self.each(text, |_, _| class::STRING),
            SlotType::Name => {
                let fits = (1..=NAME_BYTES_MAX).contains(&text.len());
                fits.then_some(())?;
                self.each(text, |_, _| class::STRING)
            }
            SlotType::Uuid => self.each(text, |_, byte| match byte {
                b'-' => 0,
                _ => class::HEX,
            }),
            SlotType::Timestamp => {
                // The matcher checks date and time by the calendar.
                let digits = digits_of(slot_type, text);
                self.fixed_times.push(self.fixed_part.len() as u32);
                self.each(text, |at, byte| {
                    let digit = at < digits && byte.is_ascii_digit();
                    if digit { class::DIGIT } else { 0 }
                })
            }
            SlotType::Number => {
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
            self.fixed_part.push((byte, classes));
        }
        Some(())
    }

    /// Ends the fixed part with a variable. `terminator` is the byte behind that.
    fn end_segment(&mut self, variable: Variable, terminator: u8) {
        let (blocks, times) = (self.blocks.len(), self.fixed_times.len() as u16);
        let chunks = self.fixed_part.chunks(BLOCK);
        self.blocks.extend(chunks.map(|chunk| {
            let mut block = Block::default();
            for (at, &(sample, classes)) in chunk.iter().enumerate() {
                block.sample[at] = sample;
                block.classes[at] = classes;
            }
            block
        }));
        self.times.append(&mut self.fixed_times);
        let in_last = match self.fixed_part.len() % BLOCK {
            0 => BLOCK,
            some => some,
        };
        self.segments.push(Segment {
            bytes: self.fixed_part.len() as u32,
            blocks: (self.blocks.len() - blocks) as u16,
            last_mask: u32::MAX >> (BLOCK - in_last),
            times,
            terminator,
            variable,
        });
        self.fixed_part.clear();
    }
}

fn variable_of(slot_type: SlotType, spelling: Spelling) -> Option<Variable> {
    Some(match (slot_type, spelling) {
        (SlotType::Text, Spelling::Ascii) => Variable::Ascii,
        (SlotType::Text, Spelling::BeyondAscii) => Variable::Text,
        (SlotType::Text, Spelling::Escaped) => Variable::EscapedText,
        (SlotType::Name, _) => Variable::Name,
        (SlotType::Number, _) => Variable::Number,
        (SlotType::Timestamp, _) => Variable::Timestamp,
        // All have the same width.
        (SlotType::Uuid, _) => return None,
    })
}
