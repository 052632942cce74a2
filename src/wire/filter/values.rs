//! The values of a frame at the fields of a probe.

use std::ops::Range;

use super::probe::Probe;
use super::scalar::Value;
use super::scan::{FieldHit, ScanBuffers, scan};
use crate::limits::SHAPES_MAX;
use crate::wire::shape::{Offsets, ShapeSlots, SlotPosition, Slots};

/// A reader of the fields of a [`Probe`] in frame after frame, without an allocation
/// once it is warm. It knows the fields' positions by shape: use one for each probe.
#[derive(Debug, Default)]
pub(crate) struct Values {
    buffers: ScanBuffers,
    /// The number of the probe that `by_shape` is for.
    probe: Option<u64>,
    /// By the shape's index in its table.
    by_shape: Vec<Option<ShapeSources>>,
    /// The index of the last frame's sources, and the numbers of their shape and
    /// probe.
    last: usize,
    last_of: Option<(u64, u64)>,
}

/// The sources of a probe's fields in the frames of one shape.
#[derive(Debug)]
struct ShapeSources {
    shape: u64,
    /// One for each field. `None` if they are unknown and frames are scanned.
    sources: Option<Box<[FieldSource]>>,
}

/// The source of one field's value.
#[derive(Debug)]
enum FieldSource {
    Nothing,
    Null,
    Bool(bool),
    Container,
    Number(SlotPosition),
    Text(SlotPosition),
    /// A string that is the same in all frames of the shape.
    Word(Box<[u8]>),
}

/// The values of one frame at the fields of a probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    frame: &'a [u8],
    access: Access<'a>,
}

/// The access to a frame's values.
#[derive(Debug, Clone, Copy)]
enum Access<'a> {
    /// By a scan.
    Scan(&'a ScanBuffers),
    /// By the slots of a shape.
    Shape(&'a [FieldSource], &'a Offsets),
}

impl Values {
    /// The values of an accepted frame at the probe's fields. With the `slots` of its
    /// shape a value is found when it is needed; without, the frame is scanned here.
    #[inline]
    pub fn read<'a>(
        &'a mut self,
        probe: &Probe,
        frame: &'a [u8],
        slots: Option<Slots<'a>>,
    ) -> View<'a> {
        let access = match slots {
            Some(slots) if self.knows(probe, &slots) => {
                Access::Shape(self.last_sources().unwrap_or_default(), slots.offsets())
            }
            _ => Access::Scan(self.scan(probe, frame)),
        };
        View { frame, access }
    }

    #[inline(never)]
    fn scan(&mut self, probe: &Probe, frame: &[u8]) -> &ScanBuffers {
        scan(probe, frame, &mut self.buffers);
        &self.buffers
    }

    /// Makes the sources of the frame's shape the last ones, if there are any.
    #[inline]
    fn knows(&mut self, probe: &Probe, slots: &Slots<'_>) -> bool {
        let wanted = Some((slots.shape_number(), probe.number));
        if self.last_of != wanted {
            self.prepare(probe, slots);
        }
        self.last_of == wanted
    }

    #[inline]
    fn last_sources(&self) -> Option<&[FieldSource]> {
        self.by_shape.get(self.last)?.as_ref()?.sources.as_deref()
    }

    /// The sources of the shape with this number, if it is at `place`.
    fn known(&self, probe: &Probe, place: usize, shape: u64) -> Option<&ShapeSources> {
        let known = self.by_shape.get(place)?.as_ref();
        known.filter(|known| known.shape == shape && self.probe == Some(probe.number))
    }

    /// Looks up the sources of the frame's shape, or works them out.
    #[cold]
    fn prepare(&mut self, probe: &Probe, slots: &Slots<'_>) {
        let Some((place, slots_of)) = slots.shape() else {
            return;
        };
        let number = slots.shape_number();
        if self.known(probe, place, number).is_none() {
            self.compile(probe, place, number, slots_of);
        }
        let known = self.known(probe, place, number);
        self.last_of = known
            .is_some_and(|known| known.sources.is_some())
            .then_some((number, probe.number));
        self.last = place;
    }

    #[cold]
    fn compile(&mut self, probe: &Probe, place: usize, number: u64, slots: &ShapeSlots) {
        if self.probe != Some(probe.number) {
            self.by_shape.clear();
            self.probe = Some(probe.number);
        }
        if place >= SHAPES_MAX {
            return;
        }
        if self.by_shape.len() <= place {
            self.by_shape.resize_with(place + 1, || None);
        }
        // All frames of the shape have the sample's keys in the same order.
        let sample = slots.sample();
        scan(probe, sample, &mut self.buffers);
        let found = self.buffers.found.iter();
        self.by_shape[place] = Some(ShapeSources {
            shape: number,
            sources: found
                .map(|found| FieldSource::of(found, sample, slots))
                .collect(),
        });
    }
}

impl FieldSource {
    /// The source of a value that was found in the sample.
    fn of(found: &FieldHit, sample: &[u8], slots: &ShapeSlots) -> Option<Self> {
        Some(match found {
            FieldHit::Nothing => Self::Nothing,
            FieldHit::Null => Self::Null,
            FieldHit::Bool(value) => Self::Bool(*value),
            FieldHit::Container => Self::Container,
            FieldHit::Number(range) => Self::Number(slots.position_of(range)?),
            FieldHit::Text(range) => match slots.position_of(range) {
                Some(place) => Self::Text(place),
                None => Self::Word(sample.get(range.clone())?.into()),
            },
            // A text with escapes is read by a scan.
            FieldHit::Unescaped(_) => return None,
        })
    }
}

impl<'a> View<'a> {
    /// The value at a field, by its position in the probe; `None` if it is absent.
    #[inline]
    pub fn get(&self, field: usize) -> Option<Value<'a>> {
        let (sources, offsets) = match self.access {
            Access::Shape(sources, offsets) => (sources, offsets),
            Access::Scan(buffers) => return self.scanned(buffers, field),
        };
        let frame = |place: SlotPosition| self.frame.get(place.range(offsets));
        Some(match sources.get(field)? {
            FieldSource::Nothing => return None,
            FieldSource::Null => Value::Null,
            FieldSource::Bool(value) => Value::Bool(*value),
            FieldSource::Container => Value::Container,
            FieldSource::Number(place) => Value::Number(frame(*place)?),
            FieldSource::Text(place) => Value::Text(frame(*place)?),
            FieldSource::Word(word) => Value::Text(word),
        })
    }

    #[inline(never)]
    fn scanned(&self, buffers: &'a ScanBuffers, field: usize) -> Option<Value<'a>> {
        let frame = |range: &Range<usize>| self.frame.get(range.clone());
        Some(match buffers.found.get(field)? {
            FieldHit::Nothing => return None,
            FieldHit::Null => Value::Null,
            FieldHit::Bool(value) => Value::Bool(*value),
            FieldHit::Container => Value::Container,
            FieldHit::Number(range) => Value::Number(frame(range)?),
            FieldHit::Text(range) => Value::Text(frame(range)?),
            FieldHit::Unescaped(range) => Value::Text(buffers.scratch.get(range.clone())?),
        })
    }
}
