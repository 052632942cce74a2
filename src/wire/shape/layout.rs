//! The layout of a frame: its slots, the values that may differ from frame to
//! frame, and the literals around them.
//!
//! A slot is the text of a string value, or a number. Everything else is literal, and
//! the same in all frames of a layout: structure, white space, keys, `true`, `false`,
//! `null`, and the words that a rule enumerates.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use crate::wire::envelope::{Kind, Validation};
use crate::wire::json::string_end;
use crate::wire::rules::{self, Rule};

/// The type of the values in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SlotType {
    /// A string that no rule looks into.
    Text,
    /// A number by JSON's grammar.
    Number,
    /// A hyphenated UUID.
    Uuid,
    /// A timestamp by RFC 3339.
    Timestamp,
    /// A participant's name.
    Name,
}

/// A value that may differ: the text between the quotes of a string, or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) range: Range<usize>,
    pub(super) slot_type: SlotType,
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// In the order of the frame; never side by side.
    pub(super) slots: Vec<Slot>,
    /// The slot that is the envelope's `msg_id`.
    pub(super) msg_id: usize,
    /// The slot that is the envelope's `source`.
    pub(super) source: usize,
    /// The slot that is the envelope's `target`, if that is a string.
    pub(super) target: Option<usize>,
}

impl Layout {
    /// Reads the layout of an accepted frame of `kind`. `None` if an escape stands
    /// anywhere but in a [`SlotType::Text`].
    pub(super) fn read(frame: &[u8], kind: Kind, validation: Validation) -> Option<Self> {
        let mut reader = Reader {
            frame,
            at: 0,
            containers: Vec::new(),
            payload_fields: match validation {
                Validation::Payload => rules::of_payload(kind),
                Validation::Envelope => &[],
            },
            slots: Vec::new(),
            msg_id: None,
            source: None,
            target: None,
        };
        reader.read()?;
        Some(Self {
            msg_id: reader.msg_id?,
            source: reader.source?,
            target: reader.target,
            slots: reader.slots,
        })
    }

    /// The literals: before each slot, and behind the last.
    pub(super) fn literals<'a>(&self, frame: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let ends = self.slots.iter().map(|slot| slot.range.start);
        let starts = self.slots.iter().map(|slot| slot.range.end);
        std::iter::once(0)
            .chain(starts)
            .zip(ends.chain([frame.len()]))
            .map(|(start, end)| frame.get(start..end).unwrap_or_default())
    }

    /// The hash of the layout: of its literals and the types of its slots.
    pub(super) fn hash(&self, frame: &[u8], state: &impl BuildHasher) -> u64 {
        let mut hasher = state.build_hasher();
        for literal in self.literals(frame) {
            hasher.write(literal);
            hasher.write_u8(0xFF);
        }
        for slot in &self.slots {
            hasher.write_u8(slot.slot_type as u8);
        }
        hasher.finish()
    }

    /// Returns whether another frame has the same literals and types of slots.
    pub(super) fn agrees(&self, frame: &[u8], other: &Self, other_frame: &[u8]) -> bool {
        self.msg_id == other.msg_id
            && self.source == other.source
            && self.target == other.target
            && self.slots.len() == other.slots.len()
            && (self.slots.iter().map(|slot| slot.slot_type))
                .eq(other.slots.iter().map(|slot| slot.slot_type))
            && self.literals(frame).eq(other.literals(other_frame))
    }
}

/// An object or array that is open.
struct Container {
    is_object: bool,
    /// Whether a key comes next, in an object.
    expects_key: bool,
    /// The key of the next value.
    key: Range<usize>,
}

struct Reader<'a> {
    frame: &'a [u8],
    at: usize,
    containers: Vec<Container>,
    payload_fields: &'static [rules::Field],
    slots: Vec<Slot>,
    msg_id: Option<usize>,
    source: Option<usize>,
    target: Option<usize>,
}

impl Reader<'_> {
    fn read(&mut self) -> Option<()> {
        while let Some(&byte) = self.frame.get(self.at) {
            match byte {
                b'{' | b'[' => self.containers.push(Container {
                    is_object: byte == b'{',
                    expects_key: byte == b'{',
                    key: 0..0,
                }),
                b'}' | b']' => {
                    self.containers.pop()?;
                }
                b',' => {
                    let container = self.containers.last_mut()?;
                    container.expects_key = container.is_object;
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => {}
            }
            self.at += 1;
        }
        self.containers.is_empty().then_some(())
    }

    /// Reads a key or a string value; the container tells which.
    fn string(&mut self) -> Option<()> {
        let start = self.at + 1;
        let end = string_end(self.frame, start)?;
        // A text that something is compared with must be spelled in one way.
        let plain = (!end.has_escapes).then_some(());
        let end = end.quote;
        self.at = end;
        let container = self.containers.last_mut()?;
        if container.expects_key {
            container.expects_key = false;
            container.key = start..end;
            return plain;
        }
        let next = self.slots.len();
        let slot_type = match self.rule() {
            // The words of a rule stay literal.
            Some(Rule::OneOf(_)) => return plain,
            Some(Rule::MsgId) => SlotType::Uuid,
            Some(Rule::Timestamp) => SlotType::Timestamp,
            Some(Rule::Name) => SlotType::Name,
            _ => SlotType::Text,
        };
        if slot_type != SlotType::Text {
            plain?;
        }
        if self.containers.len() == 1 {
            match self.key_of(0)? {
                b"msg_id" => self.msg_id = Some(next),
                b"source" => self.source = Some(next),
                b"target" => self.target = Some(next),
                _ => {}
            }
        }
        self.slots.push(Slot {
            range: start..end,
            slot_type,
        });
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let rest = self.frame.get(start..)?;
        let is_number = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let end = start + rest.iter().take_while(|byte| is_number(byte)).count();
        self.at = end - 1;
        self.slots.push(Slot {
            range: start..end,
            slot_type: SlotType::Number,
        });
        Some(())
    }

    fn key_of(&self, depth: usize) -> Option<&[u8]> {
        self.frame.get(self.containers.get(depth)?.key.clone())
    }

    /// The rule for the value that begins here, if there is one.
    fn rule(&self) -> Option<Rule> {
        let (table, depth): (&[rules::Field], _) = match self.containers.len() {
            1 => (&rules::ENVELOPE, 0),
            2 if self.key_of(0)? == b"payload" => (self.payload_fields, 1),
            _ => return None,
        };
        let container = self.containers.get(depth)?;
        let key = self.key_of(depth).filter(|_| container.is_object)?;
        let field = table.iter().find(|field| field.key.as_bytes() == key)?;
        Some(field.rule)
    }
}
