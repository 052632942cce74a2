//! The scan of an accepted frame for fields, from the front. In one that is not valid
//! JSON some fields would be missed; nothing worse.

use std::ops::Range;

use super::probe::{Node, Probe, ROOT};
use crate::wire::json::{is_white_space, string_end, unescape};

/// The value at a field: a range of the frame, or unescaped in the scratch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum FieldHit {
    #[default]
    Nothing,
    Null,
    Bool(bool),
    Number(Range<usize>),
    Text(Range<usize>),
    Unescaped(Range<usize>),
    Container,
}

/// The buffers of a scan, used again.
#[derive(Debug, Default)]
pub(super) struct ScanBuffers {
    /// For each field.
    pub(super) found: Vec<FieldHit>,
    /// Strings that were unescaped.
    pub(super) scratch: Vec<u8>,
    /// Marks the nodes that were met: of repeated keys the first counts.
    met: Vec<bool>,
}

/// Finds the values of the probe's fields.
pub(super) fn scan(probe: &Probe, frame: &[u8], buffers: &mut ScanBuffers) {
    let (nodes, fields) = (&probe.nodes, probe.fields().len());
    buffers.found.clear();
    buffers.found.resize(fields, FieldHit::Nothing);
    buffers.met.clear();
    buffers.met.resize(nodes.len(), false);
    buffers.scratch.clear();
    let mut reader = Reader {
        nodes,
        frame,
        at: 0,
        wanted: fields,
        buffers,
    };
    if fields > 0 {
        reader.value(ROOT);
    }
}

struct Reader<'a> {
    nodes: &'a [Node],
    frame: &'a [u8],
    at: usize,
    /// The fields not met yet. Without any the scan ends.
    wanted: usize,
    buffers: &'a mut ScanBuffers,
}

impl<'a> Reader<'a> {
    /// Reads the next value, at a node. `None` ends the scan.
    fn value(&mut self, node: usize) -> Option<()> {
        self.skip_space();
        let Node { field, .. } = self.nodes[node];
        let first = *self.frame.get(self.at)?;
        if let Some(field) = field {
            self.buffers.found[field] = self.peek(first)?;
            self.wanted -= 1;
            if self.wanted == 0 {
                return None;
            }
        }
        match first {
            _ if self.nodes[node].is_leaf() => self.skip_value(),
            b'{' => self.object(node),
            b'[' => self.array(node),
            _ => self.skip_value(),
        }
    }

    /// Reads the kind of the value that begins here.
    fn peek(&mut self, first: u8) -> Option<FieldHit> {
        Some(match first {
            b'{' | b'[' => FieldHit::Container,
            b'"' => {
                let (text, escaped) = self.string()?;
                let found = if escaped {
                    FieldHit::Unescaped(self.unescape(text.clone()))
                } else {
                    FieldHit::Text(text.clone())
                };
                // The value is yet to be read.
                self.at = text.start - 1;
                found
            }
            b't' => FieldHit::Bool(true),
            b'f' => FieldHit::Bool(false),
            b'n' => FieldHit::Null,
            _ => FieldHit::Number(self.at..self.end_of_word()),
        })
    }

    fn object(&mut self, node: usize) -> Option<()> {
        self.at += 1;
        loop {
            self.skip_space();
            match *self.frame.get(self.at)? {
                b'"' => {}
                b',' => {
                    self.at += 1;
                    continue;
                }
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            let (key, escaped) = self.string()?;
            let next = if escaped {
                let kept = self.buffers.scratch.len();
                let key = self.unescape(key);
                let next = self.nodes[node].under_key(&self.buffers.scratch[key]);
                self.buffers.scratch.truncate(kept);
                next
            } else {
                self.nodes[node].under_key(&self.frame[key])
            };
            self.skip_space();
            if self.frame.get(self.at) != Some(&b':') {
                return None;
            }
            self.at += 1;
            self.member(next)?;
        }
    }

    fn array(&mut self, node: usize) -> Option<()> {
        self.at += 1;
        let mut wanted = self.nodes[node].indices.iter().peekable();
        for index in 0_u32.. {
            self.skip_space();
            if *self.frame.get(self.at)? == b']' {
                self.at += 1;
                return Some(());
            }
            let next = wanted.next_if(|(own, _)| *own == index);
            self.member(next.map(|(_, next)| *next))?;
            self.skip_space();
            if self.frame.get(self.at) == Some(&b',') {
                self.at += 1;
            }
        }
        None
    }

    /// Reads the next value, which may be at a node.
    fn member(&mut self, node: Option<usize>) -> Option<()> {
        match node.filter(|node| !self.buffers.met[*node]) {
            Some(node) => {
                self.buffers.met[node] = true;
                self.value(node)
            }
            None => {
                self.skip_space();
                self.skip_value()
            }
        }
    }

    fn skip_space(&mut self) {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let space = |byte: &&u8| is_white_space(**byte);
        self.at += rest.iter().take_while(space).count();
    }

    /// Goes behind the value that begins here.
    fn skip_value(&mut self) -> Option<()> {
        match *self.frame.get(self.at)? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_container(),
            _ => {
                let end = self.end_of_word();
                // Any other byte begins no value.
                (end > self.at).then(|| self.at = end)
            }
        }
    }

    fn skip_container(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match *self.frame.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// The end of a number or of one of the three words.
    fn end_of_word(&self) -> usize {
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let inside =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        self.at + rest.iter().take_while(inside).count()
    }

    /// Goes behind a string. Returns the range between its quotes, and whether it has
    /// escapes.
    fn string(&mut self) -> Option<(Range<usize>, bool)> {
        let start = self.at + 1;
        let end = string_end(self.frame, start)?;
        self.at = end.quote + 1;
        Some((start..end.quote, end.has_escapes))
    }

    /// Appends the text without its escapes to the scratch.
    fn unescape(&mut self, text: Range<usize>) -> Range<usize> {
        let start = self.buffers.scratch.len();
        unescape(&self.frame[text], &mut self.buffers.scratch);
        start..self.buffers.scratch.len()
    }
}
