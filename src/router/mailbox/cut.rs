//! How the parts of a read become entries of queues.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::entry::Entry;
use super::entry_bytes::EntryBytes;
use super::parts::{Parts, pins};
use crate::budget::Budget;
use crate::router::connection::ConnectionHandle;

/// Makes entries of the parts of one read's input.
pub(crate) struct Cut<'a> {
    input: CutInput<'a>,
    block_bytes: usize,
    /// Counts the bytes that are kept.
    budget: &'a Arc<Budget>,
}

/// The bytes of a read that were routed.
enum CutInput<'a> {
    /// Some part keeps them in memory.
    Shared(Bytes),
    /// All parts are copied out of them.
    Copied(&'a [u8]),
}

impl<'a> Cut<'a> {
    /// Cuts `input`, a part of a block of `block_bytes` bytes that some entry
    /// keeps in memory.
    pub(crate) fn sharing(input: Bytes, block_bytes: usize, budget: &'a Arc<Budget>) -> Self {
        Self {
            input: CutInput::Shared(budget.pin(input, block_bytes)),
            block_bytes,
            budget,
        }
    }

    /// Cuts `input`, which no entry keeps in memory.
    pub(crate) fn copying(input: &'a [u8], budget: &'a Arc<Budget>) -> Self {
        Self {
            input: CutInput::Copied(input),
            block_bytes: 0,
            budget,
        }
    }

    /// Returns whether entries may keep the input in memory.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.input, CutInput::Shared(_))
    }

    /// The whole input.
    pub(crate) fn input(&self) -> &[u8] {
        match &self.input {
            CutInput::Shared(input) => input,
            CutInput::Copied(input) => input,
        }
    }

    /// A range as a slice of the input, if it is large enough to keep the input
    /// in memory.
    pub(crate) fn slice(
        &self,
        range: Range<usize>,
        messages: u32,
        origin: Option<&Arc<ConnectionHandle>>,
    ) -> Option<Entry> {
        let CutInput::Shared(input) = &self.input else {
            return None;
        };
        pins(range.len(), self.block_bytes).then(|| Entry {
            // The slice keeps the whole block in memory, whoever else does.
            charge: self.block_bytes.max(range.len()),
            bytes: EntryBytes::Slice(input.slice(range)),
            messages,
            order: 0,
            origin: origin.cloned(),
        })
    }

    /// Makes an entry of `parts`: a slice if that is worth it, else a copy.
    pub(crate) fn entry(&self, parts: &Parts, origin: Option<&Arc<ConnectionHandle>>) -> Entry {
        let slice = match &parts.ranges[..] {
            [range] => self.slice(range.clone(), parts.messages, origin),
            _ => None,
        };
        slice.unwrap_or_else(|| {
            let ranges = parts.ranges.iter().cloned();
            let bytes = EntryBytes::copy(self.input(), ranges, parts.bytes, self.budget);
            Entry {
                charge: bytes.copied_bytes().unwrap_or(parts.bytes),
                bytes,
                messages: parts.messages,
                order: 0,
                origin: origin.cloned(),
            }
        })
    }
}
