//! The same JSON in other spellings. A tree keeps field order and the text of
//! every scalar, which no `Value` does.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// JSON with keys and scalars as they were written, without the quotes of the
/// keys.
pub enum Tree {
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
    Scalar(String),
}

impl Tree {
    pub fn read(json: &[u8]) -> Self {
        let text = str::from_utf8(json).expect("UTF-8").trim();
        match text.as_bytes()[0] {
            b'{' => {
                let fields: Fields = serde_json::from_str(text).expect("an object");
                let read = |(key, value): (String, Box<RawValue>)| {
                    let key = serde_json::to_string(&key).expect("a string");
                    let inside = key[1..key.len() - 1].to_owned();
                    (inside, Self::read(value.get().as_bytes()))
                };
                Self::Object(fields.0.into_iter().map(read).collect())
            }
            b'[' => {
                let items: Vec<Box<RawValue>> = serde_json::from_str(text).expect("an array");
                let read = |item: Box<RawValue>| Self::read(item.get().as_bytes());
                Self::Array(items.into_iter().map(read).collect())
            }
            _ => Self::Scalar(text.to_owned()),
        }
    }

    pub fn compact(&self) -> Vec<u8> {
        self.spaced("")
    }

    /// The text with `space` wherever JSON allows some, but at the ends.
    pub fn spaced(&self, space: &str) -> Vec<u8> {
        let mut text = String::new();
        self.write(space, &mut text);
        text.into_bytes()
    }

    fn write(&self, space: &str, text: &mut String) {
        let mut list = |open, close, items: &mut dyn Iterator<Item = (Option<&str>, &Self)>| {
            text.push(open);
            for (index, (key, value)) in items.enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(space);
                if let Some(key) = key {
                    text.push_str(&format!("\"{key}\"{space}:{space}"));
                }
                value.write(space, text);
                text.push_str(space);
            }
            text.push(close);
        };
        match self {
            Self::Object(fields) => {
                let mut fields = fields
                    .iter()
                    .map(|(key, value)| (Some(key.as_str()), value));
                list('{', '}', &mut fields);
            }
            Self::Array(items) => list('[', ']', &mut items.iter().map(|item| (None, item))),
            Self::Scalar(scalar) => text.push_str(scalar),
        }
    }

    /// The fields of every object in reverse order.
    pub fn reversed(self) -> Self {
        match self {
            Self::Object(fields) => {
                let fields = fields.into_iter().rev();
                Self::Object(fields.map(|(key, value)| (key, value.reversed())).collect())
            }
            Self::Array(items) => Self::Array(items.into_iter().map(Self::reversed).collect()),
            scalar @ Self::Scalar(_) => scalar,
        }
    }

    /// One more field in every object, at its beginning in every other.
    pub fn with_field_everywhere(self, key: &str, value: &str) -> Self {
        match self {
            Self::Object(fields) => {
                let extra = (key.to_owned(), Self::Scalar(value.to_owned()));
                let deeper = |(known, field): (String, Self)| {
                    (known, field.with_field_everywhere(key, value))
                };
                let mut fields: Vec<_> = fields.into_iter().map(deeper).collect();
                let place = if fields.len() % 2 == 0 {
                    0
                } else {
                    fields.len()
                };
                fields.insert(place, extra);
                Self::Object(fields)
            }
            Self::Array(items) => {
                let deeper = |item: Self| item.with_field_everywhere(key, value);
                Self::Array(items.into_iter().map(deeper).collect())
            }
            scalar @ Self::Scalar(_) => scalar,
        }
    }

    /// `\u` escapes in all strings and keys, wherever `wanted` says so of a
    /// character's place.
    pub fn escaped(self, wanted: fn(usize) -> bool) -> Self {
        match self {
            Self::Object(fields) => {
                let escape =
                    |(key, value): (String, Self)| (escape(&key, wanted), value.escaped(wanted));
                Self::Object(fields.into_iter().map(escape).collect())
            }
            Self::Array(items) => {
                let escape = |item: Self| item.escaped(wanted);
                Self::Array(items.into_iter().map(escape).collect())
            }
            Self::Scalar(text) => Self::Scalar(match text.strip_prefix('"') {
                Some(rest) => format!("\"{}\"", escape(&rest[..rest.len() - 1], wanted)),
                None => text,
            }),
        }
    }

    /// The compact text, filled up to `bytes` by a field at the root's end.
    pub fn padded_to(&self, bytes: usize) -> Vec<u8> {
        let mut text = self.compact();
        assert_eq!(text.pop(), Some(b'}'), "an object");
        text.extend_from_slice(br#","padding":""#);
        let missing = bytes.checked_sub(text.len() + 2).expect("room to grow");
        text.extend(std::iter::repeat_n(b'x', missing));
        text.extend_from_slice(b"\"}");
        text
    }
}

/// Escapes the text between the quotes of a string, which may hold escapes
/// already.
fn escape(inside: &str, wanted: fn(usize) -> bool) -> String {
    let plain: String = serde_json::from_str(&format!("\"{inside}\"")).expect("a string");
    let mut text = String::new();
    for (place, character) in plain.chars().enumerate() {
        if wanted(place) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            let quoted = serde_json::to_string(&character).expect("a string");
            text.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    text
}

/// Spells numbers smaller that serde_json's `Value` can't hold.
pub fn without_huge_numbers(json: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(json).expect("UTF-8");
    text.replace("1e400", "1e4")
        .replace("1E+400", "1E+4")
        .replace("1.7976931348623159e308", "1e308")
        .into_bytes()
}

/// The fields of an object, in their order and as they were written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
