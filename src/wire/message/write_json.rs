//! Messages written as JSON: the bytes that serde_json writes, with less work for each
//! field.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{FilterValue, Number, RawObject, Timestamp, Token, UnknownFields};
use crate::ids::{MsgId, Name};

/// A value of a message.
pub(crate) trait WriteJson {
    /// Appends the value, compact.
    fn write_json(&self, out: &mut Vec<u8>);
}

/// Writes an object, member by member.
pub(super) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    /// The character in front of the next member.
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        let separator = b'{';
        Self { out, separator }
    }

    /// Writes a member; `key` is a string of JSON with the colon behind it.
    #[inline]
    pub(super) fn member(&mut self, key: &str, value: &(impl WriteJson + ?Sized)) {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.extend_from_slice(key.as_bytes());
        value.write_json(self.out);
    }

    /// Writes the fields that the struct around them has not written itself.
    pub(super) fn unknown(&mut self, fields: &UnknownFields, written: impl Fn(&str) -> bool) {
        for (key, value) in fields.iter().filter(|(key, _)| !written(key)) {
            self.out.push(self.separator);
            self.separator = b',';
            key.write_json(self.out);
            self.out.push(b':');
            value.write_json(self.out);
        }
    }

    pub(super) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

impl WriteJson for str {
    #[inline]
    fn write_json(&self, out: &mut Vec<u8>) {
        // All bytes are looked at, without a branch for each.
        let escapes = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        if self.bytes().fold(false, |any, byte| any | escapes(byte)) {
            return by_serde(self, out);
        }
        write_quoted(self.as_bytes(), out);
    }
}

/// Writes a text that has nothing to escape.
#[inline]
fn write_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

#[cold]
fn by_serde(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes every write");
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl WriteJson for $type {
            fn write_json(&self, out: &mut Vec<u8>) {
                let text: &str = self.as_str();
                text.write_json(out);
            }
        }
    )*};
}
as_text!(String, Name);

macro_rules! quoted {
    ($($type:ty),*) => {$(
        impl WriteJson for $type {
            fn write_json(&self, out: &mut Vec<u8>) {
                write_quoted(self.as_bytes(), out);
            }
        }
    )*};
}
quoted!(MsgId, Timestamp);

macro_rules! as_spelled {
    ($($type:ty: $text:ident),*) => {$(
        impl WriteJson for $type {
            fn write_json(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.$text().as_ref());
            }
        }
    )*};
}
as_spelled!(Number: as_bytes, RawObject: as_str, FilterValue: as_str, RawValue: get);

macro_rules! rarely_written {
    ($($type:ty),*) => {$(
        impl WriteJson for $type {
            fn write_json(&self, out: &mut Vec<u8>) {
                by_serde(self, out);
            }
        }
    )*};
}
rarely_written!(u64, bool, Token);

impl<T: WriteJson> WriteJson for Vec<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut separator = b'[';
        for item in self {
            out.push(separator);
            separator = b',';
            item.write_json(out);
        }
        if self.is_empty() {
            out.push(b'[');
        }
        out.push(b']');
    }
}

impl<T: WriteJson + ?Sized> WriteJson for Box<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        (**self).write_json(out);
    }
}
