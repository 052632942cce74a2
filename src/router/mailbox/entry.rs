//! An entry of a queue: frames that were queued together.

use std::sync::Arc;

use bytes::Bytes;

use super::drop_notice::DropNotice;
use super::entry_bytes::EntryBytes;
use crate::router::connection::ConnectionHandle;
use crate::wire;

/// Whole frames, length prefixes included.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The frames, side by side.
    pub(crate) bytes: EntryBytes,
    /// The number of messages; the report of a drop is none.
    pub(crate) messages: u32,
    /// The entry's position among those that a group took; otherwise 0.
    pub(crate) order: u64,
    /// Bytes charged for the entry: its own, or more if it pins more.
    pub(crate) charge: usize,
    /// The sender, to be told if the messages are given up. None for broadcasts.
    pub(crate) origin: Option<Arc<ConnectionHandle>>,
}

impl Entry {
    /// The report that messages were dropped.
    pub(super) fn drop_notice(notice: &DropNotice) -> Self {
        let report = notice.report();
        Self {
            messages: 0,
            order: 0,
            charge: report.len(),
            bytes: EntryBytes::Slice(Bytes::from(report)),
            origin: None,
        }
    }

    /// Returns whether the frames are messages, not the report of a drop.
    pub(crate) fn holds_messages(&self) -> bool {
        // A message of a snapshot takes no room, so it isn't counted.
        self.messages > 0 || matches!(self.bytes, EntryBytes::Kept(..))
    }

    /// Splits off the frames behind the first `bytes` bytes, which end with a
    /// frame. The rest bears the whole charge: both share their memory.
    pub(crate) fn split_off(&mut self, bytes: usize) -> Self {
        let frames = wire::frames(&self.bytes).take_while(|frame| frame.end <= bytes);
        let front = frames.count() as u32;
        let mut rest = self.share();
        rest.bytes.advance(bytes);
        rest.messages -= front;
        rest.order += u64::from(front);
        self.bytes = EntryBytes::Slice(self.bytes.part(0..bytes));
        self.messages = front;
        self.charge = 0;
        rest
    }

    /// Makes another entry of the same frames, which share their memory.
    pub(crate) fn share(&mut self) -> Self {
        Self {
            bytes: self.bytes.share(),
            messages: self.messages,
            order: self.order,
            charge: self.charge,
            origin: self.origin.clone(),
        }
    }
}
