//! The tree of a JSON text, for the judges.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// JSON as it stands there: repeated keys and spellings of numbers included.
#[derive(Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads a valid JSON text.
    pub(crate) fn read(json: &str) -> Self {
        let json = json.trim_matches([' ', '\n', '\t', '\r']);
        match json.as_bytes().first() {
            Some(b'{') => {
                let Pairs(members) = serde_json::from_str(json).unwrap();
                let read = |(key, raw): (String, &RawValue)| (key, Self::read(raw.get()));
                Self::Object(members.into_iter().map(read).collect())
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap();
                Self::Array(elements.iter().map(|raw| Self::read(raw.get())).collect())
            }
            Some(b'"') => Self::Text(serde_json::from_str(json).unwrap()),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(json.to_owned()),
        }
    }

    pub(crate) fn first(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(own, _)| own == key).map(|(_, of)| of),
            _ => None,
        }
    }

    /// The value at a pointer.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut steps = pointer.split('/').skip(1);
        steps.try_fold(self, |at, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match at {
                Self::Array(elements) => {
                    let mut elements = elements.iter().enumerate();
                    elements.find_map(|(at, of)| (at.to_string() == step).then_some(of))
                }
                other => other.first(&step),
            }
        })
    }

    /// Every pointer that leads somewhere, in the order of the text.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut below = |step: &str, of: &Self| {
            let step = step.replace('~', "~0").replace('/', "~1");
            found.push(format!("/{step}"));
            found.extend(of.pointers().iter().map(|rest| format!("/{step}{rest}")));
        };
        match self {
            Self::Array(elements) => {
                let elements = elements.iter().enumerate();
                elements.for_each(|(at, of)| below(&at.to_string(), of));
            }
            Self::Object(members) => members.iter().for_each(|(key, of)| below(key, of)),
            _ => {}
        }
        found
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The levels of arrays and objects.
    pub(super) fn depth(&self) -> usize {
        let deepest = |depths: &mut dyn Iterator<Item = usize>| 1 + depths.max().unwrap_or(0);
        match self {
            Self::Array(values) => deepest(&mut values.iter().map(Self::depth)),
            Self::Object(members) => deepest(&mut members.iter().map(|(_, of)| of.depth())),
            _ => 0,
        }
    }
}

/// The members of an object, repeated keys included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Pairs(members))
            }
        }
        deserializer.deserialize_map(Walk)
    }
}
