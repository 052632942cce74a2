//! The fields of many conditions, as one tree.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pointer::Field;

/// The fields that are read of every message. Made once for many messages.
#[derive(Debug)]
pub(crate) struct Probe {
    /// A number that is unique in the process.
    pub(super) number: u64,
    fields: Box<[Field]>,
    places: HashMap<Field, usize>,
    /// The paths to the fields, joined where they begin alike; [`ROOT`] comes first.
    pub(super) nodes: Box<[Node]>,
}

/// A place in a message on the path to some field.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The field at this place.
    pub(super) field: Option<usize>,
    /// The next nodes in an object, sorted by key.
    keys: Vec<(Box<str>, usize)>,
    /// The next nodes in an array, sorted by index.
    pub(super) indices: Vec<(u32, usize)>,
}

/// The root among the nodes of a probe.
pub(super) const ROOT: usize = 0;

impl Probe {
    /// Creates a probe for these fields. A repeated field is taken once.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut distinct = Vec::new();
        let mut places = HashMap::new();
        for field in fields {
            places.entry(field).or_insert_with_key(|field| {
                distinct.push(field.clone());
                distinct.len() - 1
            });
        }
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            nodes: nodes(&distinct),
            fields: distinct.into(),
            places,
        }
    }

    /// The fields, each once, in the order in which they first came.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The position of a field in [`Probe::fields`].
    pub fn position(&self, field: &Field) -> Option<usize> {
        self.places.get(field).copied()
    }
}

impl Node {
    /// Returns whether no field is deeper.
    pub(super) fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.indices.is_empty()
    }

    /// The node under `key`, if this is an object.
    #[inline]
    pub(super) fn under_key(&self, key: &[u8]) -> Option<usize> {
        let place = (self.keys).binary_search_by(|(own, _)| own.as_bytes().cmp(key));
        place.ok().map(|place| self.keys[place].1)
    }
}

fn nodes(fields: &[Field]) -> Box<[Node]> {
    let mut nodes = vec![Node::default()];
    for (field, way) in fields.iter().enumerate() {
        let mut at = ROOT;
        match way {
            Field::Source => at = step(&mut nodes, at, "source", None),
            Field::MsgType => at = step(&mut nodes, at, "msg_type", None),
            Field::At(pointer) => {
                for next in &pointer.0 {
                    at = step(&mut nodes, at, &next.key, next.index);
                }
            }
        }
        nodes[at].field = Some(field);
    }
    nodes.into()
}

/// The node one step from `at`, created if it is missing.
fn step(nodes: &mut Vec<Node>, at: usize, key: &str, index: Option<u32>) -> usize {
    let next = nodes.len();
    let node = &mut nodes[at];
    match node.keys.binary_search_by(|(own, _)| (**own).cmp(key)) {
        Ok(place) => node.keys[place].1,
        Err(place) => {
            node.keys.insert(place, (key.into(), next));
            if let Some(index) = index {
                let place = node.indices.partition_point(|(own, _)| *own < index);
                node.indices.insert(place, (index, next));
            }
            nodes.push(Node::default());
            next
        }
    }
}
