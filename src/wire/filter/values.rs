//! What a frame has at the fields of a probe.

use std::ops::Range;

use super::probe::Probe;
use super::scalar::Value;
use super::scan::{Found, Room, scan};
use crate::limits::SHAPES_MAX;
use crate::wire::shape::{SlotPlace, Slots, SlotsOf, Starts};

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
    /// Which of them is the last frame's, and of which shape and probe that is.
    last: usize,
    last_of: Option<(u64, u64)>,
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
    Shape(&'a [Source], &'a Starts),
}

impl Values {
    /// What a frame has at the probe's fields. The frame was accepted: by a
    /// shape, of which `slots` are ([`Hints::slots`], asked before the next
    /// frame is recognised), or by the parser.
    ///
    /// With slots a value is found when it is asked for, and what isn't asked
    /// for costs nothing. Without, the frame is read here once.
    ///
    /// [`Hints::slots`]: crate::wire::shape::Hints::slots
    #[inline]
    pub fn read<'a>(
        &'a mut self,
        probe: &Probe,
        frame: &'a [u8],
        slots: Option<Slots<'a>>,
    ) -> View<'a> {
        let by = match slots {
            Some(slots) if self.knows(probe, &slots) => {
                By::Shape(self.last_sources().unwrap_or_default(), slots.starts())
            }
            _ => By::Scan(self.scan(probe, frame)),
        };
        View { frame, by }
    }

    #[inline(never)]
    fn scan(&mut self, probe: &Probe, frame: &[u8]) -> &Room {
        scan(probe.nodes(), probe.fields().len(), frame, &mut self.room);
        &self.room
    }

    /// Sees to it that the sources of the frame's shape are the last ones. False
    /// if they can't be.
    #[inline]
    fn knows(&mut self, probe: &Probe, slots: &Slots<'_>) -> bool {
        let wanted = Some((slots.shape_number(), probe.number()));
        if self.last_of != wanted {
            self.prepare(probe, slots);
        }
        self.last_of == wanted
    }

    #[inline]
    fn last_sources(&self) -> Option<&[Source]> {
        self.by_shape.get(self.last)?.as_ref()?.sources.as_deref()
    }

    /// What is known of the shape of this number, if that is at `place`.
    fn known(&self, probe: &Probe, place: usize, shape: u64) -> Option<&Compiled> {
        let known = self.by_shape.get(place)?.as_ref();
        known.filter(|known| known.shape == shape && self.probe == Some(probe.number()))
    }

    /// Finds what is known of the frame's shape, or finds it out.
    #[cold]
    fn prepare(&mut self, probe: &Probe, slots: &Slots<'_>) {
        let Some((place, slots_of)) = slots.shape() else {
            return;
        };
        let number = slots.shape_number();
        if self.known(probe, place, number).is_none() {
            self.compile(probe, place, number, &slots_of);
        }
        let known = self.known(probe, place, number);
        self.last_of = known
            .is_some_and(|known| known.sources.is_some())
            .then_some((number, probe.number()));
        self.last = place;
    }

    #[cold]
    fn compile(&mut self, probe: &Probe, place: usize, number: u64, slots: &SlotsOf<'_>) {
        if self.probe != Some(probe.number()) {
            self.by_shape.clear();
            self.probe = Some(probe.number());
        }
        if place >= SHAPES_MAX {
            return;
        }
        if self.by_shape.len() <= place {
            self.by_shape.resize_with(place + 1, || None);
        }
        // What is literal in the model is so in every frame of the shape: also
        // which keys there are, and which of them is the first.
        let model = slots.model();
        scan(probe.nodes(), probe.fields().len(), model, &mut self.room);
        let found = self.room.found.iter();
        self.by_shape[place] = Some(Compiled {
            shape: number,
            sources: found.map(|found| Source::of(found, model, slots)).collect(),
        });
    }
}

impl Source {
    /// Where the value comes from that was found in the model. `None` if it is
    /// not known how it varies.
    fn of(found: &Found, model: &[u8], slots: &SlotsOf<'_>) -> Option<Self> {
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
        let (sources, starts) = match self.by {
            By::Shape(sources, starts) => (sources, starts),
            By::Scan(room) => return self.scanned(room, field),
        };
        let frame = |place: SlotPlace| self.frame.get(place.range(starts));
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
