//! What the rules need to know of a JSON value, whoever parsed it.

#![forbid(unsafe_code)]

/// What a JSON value is, as far as a rule can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number of any size.
    Number,
    /// A string, unescaped.
    Text(&'a str),
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Content<'_> {
    /// The shape in words, with its article.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// A value of a parsed frame.
pub(crate) trait Value<'a>: Copy {
    /// Walks the members of an object in the order of the frame, repeated keys
    /// included.
    type Members: Iterator<Item = (&'a str, Self)>;

    /// What the value is.
    fn content(self) -> Content<'a>;

    /// The members, if the value is an object.
    fn members(self) -> Option<Self::Members>;
}
