//! Structs that keep the fields they don't know, as raw text. serde's `flatten` would
//! buffer their values: raw ones don't survive that, and a long number loses digits.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire::json::members;

/// The fields of an object that its type doesn't name, in their order, each value as
/// its sender spelled it. An optional field that was `null` is kept here too, until it
/// has a value.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct UnknownFields(#[serde(deserialize_with = "members")] Vec<(Box<str>, Box<RawValue>)>);

impl UnknownFields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Adds a field, or replaces the one of this name.
    ///
    /// # Errors
    /// `value` can't be written as JSON.
    pub fn insert(
        &mut self,
        name: impl Into<Box<str>>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), serde_json::Error> {
        let (name, value) = (name.into(), serde_json::value::to_raw_value(value)?);
        self.remove(&name);
        self.push(name, value);
        Ok(())
    }

    /// Removes all fields of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| &**key != name);
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, name: Box<str>, value: Box<RawValue>) {
        self.0.push((name, value));
    }

    pub(super) fn push_null(&mut self, name: &str) {
        self.push(name.into(), RawValue::NULL.to_owned());
    }

    /// Writes all fields but those that were `written` with a value.
    pub(super) fn write<M: SerializeMap>(
        &self,
        map: &mut M,
        written: impl Fn(&str) -> bool,
    ) -> Result<(), M::Error> {
        self.iter()
            .filter(|(key, _)| !written(key))
            .try_for_each(|(key, value)| map.serialize_entry(key, value))
    }
}

impl PartialEq for UnknownFields {
    fn eq(&self, other: &Self) -> bool {
        let text = |(key, value): (_, &RawValue)| (key, value.get().to_owned());
        self.iter().map(text).eq(other.iter().map(text))
    }
}

impl Eq for UnknownFields {}

impl fmt::Debug for UnknownFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (key, value.get())))
            .finish()
    }
}

impl Serialize for UnknownFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        self.write(&mut map, |_| false)?;
        map.end()
    }
}

/// A key as the visitor of a struct sees it.
pub(super) enum Key {
    /// One of the struct's fields.
    Known(&'static str),
    /// None of them.
    Unknown(Box<str>),
}

/// Reads a key, without a copy if it is one of these.
pub(super) struct KeyOf(pub &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = Key;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
        Ok(match self.0.iter().find(|known| **known == key) {
            Some(known) => Key::Known(known),
            None => Key::Unknown(key.into()),
        })
    }
}

/// Names the field of an error, as a dotted path between backquotes for `MessageError`.
pub(super) fn in_field<E: de::Error>(field: &str, error: &E) -> E {
    let text = error.to_string();
    match text.strip_prefix('`') {
        Some(path) => E::custom(format_args!("`{field}.{path}")),
        None => E::custom(format_args!("`{field}`: {text}")),
    }
}

pub(super) fn absent<E: de::Error>(field: &str) -> E {
    in_field(field, &E::custom("is required but absent"))
}

/// Reads the value of a field, once.
pub(super) fn read<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    field: &str,
    place: &mut Option<T>,
) -> Result<(), A::Error> {
    if place.is_some() {
        let error = de::Error::custom("stands there more than once");
        return Err(in_field(field, &error));
    }
    *place = Some(map.next_value().map_err(|error| in_field(field, &error))?);
    Ok(())
}

/// Defines a struct of required and `optional` fields that keeps all others in
/// `unknown`, with `new` (from the required fields) and serde's traits.
///
/// In the struct an optional field of type `T` is an `Option<T>`. Where its key
/// can't be a Rust name, it is `name as "key": T`.
macro_rules! fields {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident {
            $($(#[$req_doc:meta])* $req:ident: $req_type:ty,)*
        } $(optional {
            $($(#[$opt_doc:meta])* $opt:ident $(as $opt_key:literal)?: $opt_type:ty,)*
        })?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis struct $name {
            $($(#[$req_doc])* pub $req: $req_type,)*
            $($($(#[$opt_doc])* pub $opt: Option<$opt_type>,)*)?
            /// Fields beyond these, kept as they are.
            pub unknown: $crate::wire::message::fields::UnknownFields,
        }

        impl $name {
            /// One with its required fields; the optional ones are absent.
            #[must_use]
            #[allow(
                clippy::new_without_default,
                clippy::too_many_arguments,
                dead_code,
                reason = "one macro makes them all: some require nothing, some much, some are never built here"
            )]
            pub fn new($($req: impl Into<$req_type>,)*) -> Self {
                Self {
                    $($req: $req.into(),)*
                    $($($opt: None,)*)?
                    unknown: $crate::wire::message::fields::UnknownFields::new(),
                }
            }
        }

        impl $name {
            /// Returns whether the field `key` is written from a field of the struct.
            fn writes(&self, key: &str) -> bool {
                $(key == stringify!($req) ||)*
                $($((key == $crate::wire::message::fields::key_of!($opt $($opt_key)?) && self.$opt.is_some()) ||)*)?
                false
            }
        }

        impl $crate::wire::message::WriteJson for $name {
            fn write_json(&self, out: &mut Vec<u8>) {
                let mut object = $crate::wire::message::ObjectWriter::begin(out);
                $(object.member(concat!("\"", stringify!($req), "\":"), &self.$req);)*
                $($(if let Some(value) = &self.$opt {
                    let key = concat!("\"", $crate::wire::message::fields::key_of!($opt $($opt_key)?), "\":");
                    object.member(key, value);
                })*)?
                object.unknown(&self.unknown, |key| self.writes(key));
                object.end();
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $(map.serialize_entry(stringify!($req), &self.$req)?;)*
                $($(if let Some(value) = &self.$opt {
                    map.serialize_entry($crate::wire::message::fields::key_of!($opt $($opt_key)?), value)?;
                })*)?
                self.unknown.write(&mut map, |key| self.writes(key))?;
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[allow(unused_imports)] // `absent`, where nothing is required
                use $crate::wire::message::fields::{Key, KeyOf, UnknownFields, absent, read};

                struct Fields;
                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$name, A::Error> {
                        const KNOWN: &[&str] =
                            &[$(stringify!($req),)* $($($crate::wire::message::fields::key_of!($opt $($opt_key)?),)*)?];
                        $(let mut $req: Option<$req_type> = None;)*
                        // The outer option: whether the field has been seen.
                        $($(let mut $opt: Option<Option<$opt_type>> = None;)*)?
                        let mut unknown = UnknownFields::new();
                        while let Some(key) = map.next_key_seed(KeyOf(KNOWN))? {
                            let known = match key {
                                Key::Known(known) => known,
                                Key::Unknown(key) => {
                                    unknown.push(key, map.next_value()?);
                                    continue;
                                }
                            };
                            $(if known == stringify!($req) {
                                read(&mut map, known, &mut $req)?;
                                continue;
                            })*
                            $($(if known == $crate::wire::message::fields::key_of!($opt $($opt_key)?) {
                                read(&mut map, known, &mut $opt)?;
                                if let Some(None) = &$opt {
                                    unknown.push_null(known);
                                }
                                continue;
                            })*)?
                        }
                        Ok($name {
                            $($req: $req.ok_or_else(|| absent(stringify!($req)))?,)*
                            $($($opt: $opt.flatten(),)*)?
                            unknown,
                        })
                    }
                }
                deserializer.deserialize_map(Fields)
            }
        }
    };
}
pub(super) use fields;

/// The key under which a field stands in JSON.
macro_rules! key_of {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident $key:literal) => {
        $key
    };
}
pub(super) use key_of;
