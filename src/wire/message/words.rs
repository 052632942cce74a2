//! Enumerations of words, spelled on the wire as the platform spells them.

/// A text that is none of the words that a field allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of {allowed}")]
#[non_exhaustive]
pub struct UnknownWord {
    /// The text.
    pub text: Box<str>,
    /// The words that are allowed.
    pub allowed: &'static str,
}

/// An enumeration of all words; others are refused.
macro_rules! closed_words {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $($(#[$word_doc:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $crate::wire::words::words! {
            $(#[$doc])*
            pub enum $name {
                $($(#[$word_doc])* $variant = $text,)+
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::wire::message::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_text(text).ok_or_else(|| $crate::wire::message::UnknownWord {
                    text: text.into(),
                    allowed: concat!($($text, " "),+).trim_ascii_end(),
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <std::borrow::Cow<'de, str>>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        $crate::wire::message::words::written_as_word!($name);
    };
}
pub(super) use closed_words;

/// An enumeration that may meet words it doesn't know, and keeps them.
macro_rules! open_words {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $($(#[$word_doc:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$word_doc])* #[doc = ""] #[doc = concat!("`", $text, "`")] $variant,)+
            /// Any other word, as it was spelled.
            Other(Box<str>),
        }

        impl $name {
            /// The words that have a variant.
            pub const WORDS: &[&str] = &[$($text,)+];

            /// The word as it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    _ => Self::Other(text.into()),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(&*text))
            }
        }

        $crate::wire::message::words::written_as_word!($name);
    };
}
pub(super) use open_words;

macro_rules! written_as_word {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::wire::message::WriteJson for $name {
            fn write_json(&self, out: &mut Vec<u8>) {
                self.as_str().write_json(out);
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(super) use written_as_word;
