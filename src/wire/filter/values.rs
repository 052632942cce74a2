//! What a frame has at the fields of a probe.

use super::probe::Probe;
use super::scalar::Value;
use super::scan::{Found, Room, scan};

/// Room to find the fields of a [`Probe`] in frame after frame. Best used with
/// one probe at a time.
#[derive(Debug, Default)]
pub(crate) struct Values {
    room: Room,
}

/// What one frame has at the fields of a probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    frame: &'a [u8],
    room: &'a Room,
}

impl Values {
    /// Finds the probe's fields in a frame by reading it. The parser accepted
    /// the frame.
    pub fn read<'a>(&'a mut self, probe: &Probe, frame: &'a [u8]) -> View<'a> {
        scan(probe.nodes(), probe.fields().len(), frame, &mut self.room);
        View {
            frame,
            room: &self.room,
        }
    }
}

impl<'a> View<'a> {
    /// What the frame has at the probe's field of this position; `None` if it
    /// doesn't have the field.
    pub fn get(&self, field: usize) -> Option<Value<'a>> {
        let frame = |range: &std::ops::Range<usize>| self.frame.get(range.clone());
        Some(match self.room.found.get(field)? {
            Found::Nothing => return None,
            Found::Null => Value::Null,
            Found::Bool(value) => Value::Bool(*value),
            Found::Number(range) => Value::Number(frame(range)?),
            Found::Text(range) => Value::Text(frame(range)?),
            Found::Unescaped(range) => Value::Text(self.room.scratch.get(range.clone())?),
            Found::Container => Value::Container,
        })
    }
}
