//! How the parts of a read become entries of queues.

#![forbid(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::entry_bytes::EntryBytes;
use super::parts::{Parts, pins};
use super::queue::Entry;
use crate::budget::Budget;
use crate::router::connection::ConnectionHandle;

/// How the parts of a window become entries.
pub(crate) struct Cut<'a> {
    window: Window<'a>,
    block_bytes: usize,
    /// Where what is kept of it is counted.
    budget: &'a Arc<Budget>,
}

/// The bytes of a read that are done with.
enum Window<'a> {
    /// Some part keeps them in memory.
    Shared(Bytes),
    /// All parts are copied out of them.
    Copied(&'a [u8]),
}

impl<'a> Cut<'a> {
    /// Of `window`, a part of a block of `block_bytes` bytes that some entry
    /// keeps in memory.
    pub(crate) fn sharing(window: Bytes, block_bytes: usize, budget: &'a Arc<Budget>) -> Self {
        Self {
            window: Window::Shared(budget.pin(window, block_bytes)),
            block_bytes,
            budget,
        }
    }

    /// Of `window`, which nothing keeps in memory.
    pub(crate) fn copying(window: &'a [u8], budget: &'a Arc<Budget>) -> Self {
        Self {
            window: Window::Copied(window),
            block_bytes: 0,
            budget,
        }
    }

    /// Whether entries may keep the window in memory.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.window, Window::Shared(_))
    }

    /// All that was read.
    pub(crate) fn window(&self) -> &[u8] {
        match &self.window {
            Window::Shared(window) => window,
            Window::Copied(window) => window,
        }
    }

    /// A stretch as a slice of the window, if it is large enough to keep that in
    /// memory.
    pub(crate) fn slice(
        &self,
        range: Range<usize>,
        frames: u32,
        origin: Option<&Arc<ConnectionHandle>>,
    ) -> Option<Entry> {
        let Window::Shared(window) = &self.window else {
            return None;
        };
        pins(range.len(), self.block_bytes).then(|| Entry {
            // The slice keeps the whole block in memory, whoever else does.
            charge: self.block_bytes.max(range.len()),
            bytes: EntryBytes::Slice(window.slice(range)),
            frames,
            order: 0,
            origin: origin.cloned(),
        })
    }

    pub(crate) fn entry(&self, parts: &Parts, origin: Option<&Arc<ConnectionHandle>>) -> Entry {
        let slice = match &parts.ranges[..] {
            [range] => self.slice(range.clone(), parts.frames, origin),
            _ => None,
        };
        slice.unwrap_or_else(|| {
            let bytes = parts.copy_from(self.window(), self.budget);
            Entry {
                charge: bytes.copied_bytes().unwrap_or(parts.bytes),
                bytes,
                frames: parts.frames,
                order: 0,
                origin: origin.cloned(),
            }
        })
    }
}
