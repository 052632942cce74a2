//! JSON values as the rules see them, independent of the parser.

/// The content of a JSON value, as far as rules look at it, with a string's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<T> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number of any size.
    Number,
    /// A string, unescaped.
    Text(T),
    /// An array.
    Array,
    /// An object.
    Object,
}

/// The type of a JSON value.
pub(crate) type JsonType = Content<()>;

impl<T> Content<T> {
    /// The type in words, with its article.
    pub(crate) const fn words(&self) -> &'static str {
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
    /// The members of an object in their order, repeated keys included.
    type Members: Iterator<Item = (&'a str, Self)>;

    /// The content of the value.
    fn content(self) -> Content<&'a str>;

    /// The members, if the value is an object.
    fn members(self) -> Option<Self::Members>;
}
