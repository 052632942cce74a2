//! The tape of simd-json as values for the rules.

use simd_json::{Node, StaticNode};

use super::value::{Content, Value};

/// The value at the front of some tape nodes.
#[derive(Clone, Copy)]
pub(crate) struct TapeValue<'t, 'a>(pub(crate) &'t [Node<'a>]);

impl<'t, 'a> Value<'a> for TapeValue<'t, 'a> {
    type Members = TapeMembers<'t, 'a>;

    #[inline]
    fn content(self) -> Content<&'a str> {
        match self.0.first() {
            Some(Node::String(text)) => Content::Text(text),
            Some(Node::Object { .. }) => Content::Object,
            Some(Node::Array { .. }) => Content::Array,
            Some(Node::Static(StaticNode::Bool(_))) => Content::Bool,
            Some(Node::Static(StaticNode::Null)) | None => Content::Null,
            Some(Node::Static(_)) => Content::Number,
        }
    }

    #[inline]
    fn members(self) -> Option<TapeMembers<'t, 'a>> {
        match self.0.split_first() {
            Some((Node::Object { len, .. }, rest)) => Some(TapeMembers { rest, left: *len }),
            _ => None,
        }
    }
}

/// The members of an object: a key, the nodes of its value, and so on.
pub(crate) struct TapeMembers<'t, 'a> {
    rest: &'t [Node<'a>],
    left: usize,
}

impl<'t, 'a> Iterator for TapeMembers<'t, 'a> {
    type Item = (&'a str, TapeValue<'t, 'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (Node::String(key), value) = self.rest.split_first()? else {
            return None;
        };
        let nodes = match value.first()? {
            Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
            _ => 1,
        };
        self.rest = value.get(nodes..)?;
        Some((key, TapeValue(value)))
    }
}
