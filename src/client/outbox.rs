//! The messages that wait to be handed to a connection, and the frames that are
//! being handed over. Those that one connection didn't get in full go to the next.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::batch::Batch;
use super::outgoing::{Outgoing, Queued};
use super::queue::Queue;
use crate::limits::READ_BUFFER_BYTES;

/// Messages before they are handed to a connection, oldest first.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Arc<Queue>,
    /// Messages that an earlier connection gave back.
    returned: Option<Batch>,
    pub output: Output,
}

/// Frames that are being written.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// A batch whose messages are under way, or frames that never go back.
    pub batch: Batch,
    /// The position of the first message of the batch; the others follow.
    pub first: u64,
    /// The positions of those that are never answered.
    pub never_answered: Vec<u64>,
    /// Bytes of room that are free again once it is written.
    pub queued_bytes: usize,
    written: usize,
    /// A write failed, and it isn't known how much the writer took.
    failed: bool,
}

impl Outbox {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            returned: None,
            output: Output::default(),
        }
    }

    /// The next messages; `None` after the last. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        if let Some(returned) = self.returned.take() {
            return Some(returned);
        }
        let used = &mut self.output.batch;
        poll_fn(|context| self.queue.poll_take(used, context)).await
    }

    /// Puts messages back in front of all others.
    pub(super) fn put_back(&mut self, batch: Batch) {
        if !batch.is_empty() {
            debug_assert!(self.returned.is_none(), "one batch is written at a time");
            self.returned = Some(batch);
        }
    }

    pub(super) fn close(&mut self) {
        self.queue.close();
    }

    /// Takes out the messages that wait, and drops the fences.
    pub(super) fn give_up(&mut self) -> Vec<Outgoing> {
        self.close();
        let queue = &self.queue;
        let queued = std::iter::from_fn(|| queue.take(&mut Batch::default()));
        let batches = self.returned.take().into_iter().chain(queued);
        let messages = batches.flat_map(|batch| batch.items);
        let messages = messages.filter_map(|next| match next {
            Queued::Message(message) => Some(message),
            Queued::Fence(_) => None,
        });
        messages.collect()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        drop(self.give_up());
    }
}

impl Output {
    /// Puts in a frame that never goes back.
    pub(super) fn put(&mut self, frame: &[u8]) {
        self.batch.bytes.extend_from_slice(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.bytes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.bytes.len() >= READ_BUFFER_BYTES
    }

    /// Hands all of it to `writer`, and calls `took` with the bytes of each write.
    pub(super) async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        mut took: impl FnMut(usize),
    ) -> io::Result<()> {
        while let Some(rest @ [_, ..]) = self.batch.bytes.get(self.written..) {
            let written = match writer.write(rest).await {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
            self.failed = written.is_err();
            let written = written?;
            self.written += written;
            took(written);
        }
        writer.flush().await
    }

    /// The messages before this position were handed over in full.
    pub(super) fn handed_before(&self) -> u64 {
        self.first + self.handed_over() as u64
    }

    /// The other messages, each with its frame.
    pub(super) fn not_handed_over(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let messages = (self.first..).zip(self.batch.frames());
        messages.skip(self.handed_over())
    }

    fn handed_over(&self) -> usize {
        let handed = match self.failed {
            true => self.batch.bytes.len(),
            false => self.written,
        };
        self.batch.ends.partition_point(|end| *end <= handed)
    }

    /// Ends with everything, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.never_answered.clear();
        self.queued_bytes = 0;
        self.written = 0;
        self.failed = false;
    }
}
