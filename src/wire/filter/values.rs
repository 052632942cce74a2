//! What a frame has at the fields of a probe.

use std::ops::Range;

use super::super::shape::{SlotPlace, Slots};
use super::probe::Probe;
use super::scalar::Value;
use super::scan::{Found, Room, scan};
use crate::limits::SHAPES_MAX;

/// Room to find the fields of a [`Probe`] in frame after frame: without an
/// allocation once it is warm.
///
/// It remembers where the fields are in frames of each shape, for one probe at a
/// time: who has several probes in use keeps one of these for each.
#[derive(Debug, Default)]
pub(crate) struct Values {
    room: Room,
    /// The number of the probe that `by_shape` is for.
    probe: Option<u64>,
    /// By the shape's place in its table.
    by_shape: Vec<Option<Compiled>>,
}

/// Where a probe's fields are in the frames of one shape.
#[derive(Debug)]
struct Compiled {
    shape: u64,
    /// For each field; `None` if that can't be told, and frames are read.
    sources: Option<Box<[Source]>>,
}

/// Where the value of one field comes from.
#[derive(Debug)]
enum Source {
    Nothing,
    Null,
    Bool(bool),
    Container,
    Number(SlotPlace),
    Text(SlotPlace),
    /// A string that is the same in all frames of the shape.
    Word(Box<[u8]>),
}

/// What one frame has at the fields of a probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    frame: &'a [u8],
    by: By<'a>,
}

/// How a frame's values are found.
#[derive(Debug, Clone, Copy)]
enum By<'a> {
    /// They were looked for.
    Scan(&'a Room),
    /// They stand where a shape has them.
    Shape(&'a [Source], Slots<'a>),
}

impl Values {
    /// What a frame has at the probe's fields. The frame was accepted: by a
    /// shape, of which `slots` are ([`Hints::slots`], asked before the next
    /// frame is recognised), or by the parser.
    ///
    /// With slots a value is found when it is asked for, and what isn't asked
    /// for costs nothing. Without, the frame is read here once.
    ///
    /// [`Hints::slots`]: super::super::Hints::slots
    #[inline]
    pub fn read<'a>(
        &'a mut self,
        probe: &Probe,
        frame: &'a [u8],
        slots: Option<Slots<'a>>,
    ) -> View<'a> {
        let by = match slots {
            Some(slots) if self.prepare(probe, &slots) => {
                By::Shape(self.sources(&slots).unwrap_or_default(), slots)
            }
            _ => {
                scan(probe.nodes(), probe.fields().len(), frame, &mut self.room);
                By::Scan(&self.room)
            }
        };
        View { frame, by }
    }

    /// Sees to it that the shape's sources are there. False if they can't be.
    #[inline]
    fn prepare(&mut self, probe: &Probe, slots: &Slots<'_>) -> bool {
        let compiled = self.by_shape.get(slots.shape_index());
        match compiled {
            Some(Some(known))
                if self.probe == Some(probe.number()) && known.shape == slots.shape_number() =>
            {
                known.sources.is_some()
            }
            _ => {
                self.compile(probe, slots);
                self.sources(slots).is_some()
            }
        }
    }

    #[inline]
    fn sources(&self, slots: &Slots<'_>) -> Option<&[Source]> {
        let compiled = self.by_shape.get(slots.shape_index())?.as_ref()?;
        compiled.sources.as_deref()
    }

    #[cold]
    fn compile(&mut self, probe: &Probe, slots: &Slots<'_>) {
        if self.probe != Some(probe.number()) {
            self.by_shape.clear();
            self.probe = Some(probe.number());
        }
        let index = slots.shape_index();
        if index >= SHAPES_MAX {
            return;
        }
        if self.by_shape.len() <= index {
            self.by_shape.resize_with(index + 1, || None);
        }
        // What is literal in the model is so in every frame of the shape: also
        // which keys there are, and which of them is the first.
        let model = slots.model();
        scan(probe.nodes(), probe.fields().len(), model, &mut self.room);
        let found = self.room.found.iter();
        self.by_shape[index] = Some(Compiled {
            shape: slots.shape_number(),
            sources: found.map(|found| Source::of(found, model, slots)).collect(),
        });
    }
}

impl Source {
    /// Where the value comes from that was found in the model. `None` if it is
    /// not known how it varies.
    fn of(found: &Found, model: &[u8], slots: &Slots<'_>) -> Option<Self> {
        Some(match found {
            Found::Nothing => Self::Nothing,
            Found::Null => Self::Null,
            Found::Bool(value) => Self::Bool(*value),
            Found::Container => Self::Container,
            Found::Number(range) => Self::Number(slots.place_of(range)?),
            Found::Text(range) => match slots.place_of(range) {
                Some(place) => Self::Text(place),
                None => Self::Word(model.get(range.clone())?.into()),
            },
            // Frames with escapes are not learned.
            Found::Unescaped(_) => return None,
        })
    }
}

impl<'a> View<'a> {
    /// What the frame has at the probe's field of this position; `None` if it
    /// doesn't have the field.
    #[inline]
    pub fn get(&self, field: usize) -> Option<Value<'a>> {
        let (sources, slots) = match self.by {
            By::Shape(sources, slots) => (sources, slots),
            By::Scan(room) => return self.scanned(room, field),
        };
        let frame = |place| self.frame.get(slots.range_of(place));
        Some(match sources.get(field)? {
            Source::Nothing => return None,
            Source::Null => Value::Null,
            Source::Bool(value) => Value::Bool(*value),
            Source::Container => Value::Container,
            Source::Number(place) => Value::Number(frame(*place)?),
            Source::Text(place) => Value::Text(frame(*place)?),
            Source::Word(word) => Value::Text(word),
        })
    }

    #[inline(never)]
    fn scanned(&self, room: &'a Room, field: usize) -> Option<Value<'a>> {
        let frame = |range: &Range<usize>| self.frame.get(range.clone());
        Some(match room.found.get(field)? {
            Found::Nothing => return None,
            Found::Null => Value::Null,
            Found::Bool(value) => Value::Bool(*value),
            Found::Container => Value::Container,
            Found::Number(range) => Value::Number(frame(range)?),
            Found::Text(range) => Value::Text(frame(range)?),
            Found::Unescaped(range) => Value::Text(room.scratch.get(range.clone())?),
        })
    }
}
