//! Enumerations of words that have one spelling on the wire.

macro_rules! words {
    (
        $(#[$doc:meta])*
        pub enum $name:ident {
            $($(#[$word_doc:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$word_doc])* #[doc = ""] #[doc = concat!("`", $text, "`")] $variant,)+
        }

        impl $name {
            /// Every word, in the order of the protocol's tables.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// The spelling of every word, in the same order.
            pub const WORDS: &[&str] = &[$($text,)+];

            /// The word as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The word that `text` spells, if it is one of these.
            #[must_use]
            #[inline]
            pub fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
pub(super) use words;
