//! The messages that wait to be handed to a connection, and the batch that is
//! being handed over. Those that one connection didn't get in full go to the next.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::outgoing::{Outgoing, Queued};
use super::queue::Queue;
use crate::limits::READ_BUFFER_BYTES;

/// Messages before they are handed to a connection, oldest first.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Arc<Queue>,
    /// Messages that were taken from the queue or that an earlier connection gave back.
    taken: VecDeque<Queued>,
    pub batch: Batch,
}

/// Frames that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    buffer: BytesMut,
    /// Bytes put in since it was empty.
    bytes: usize,
    /// Messages that no connection was handed before: position, and end in bytes.
    fresh: Vec<(u64, usize)>,
    /// A write failed, and it isn't known how much the writer took.
    failed: bool,
}

impl Outbox {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            taken: VecDeque::new(),
            batch: Batch::default(),
        }
    }

    /// The next in the queue; `None` after the last. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Queued> {
        if self.taken.is_empty() {
            let taken = &mut self.taken;
            poll_fn(|context| self.queue.poll_take(taken, context)).await;
        }
        self.taken.pop_front()
    }

    /// The next in the queue, if something waits.
    pub(super) fn next_at_hand(&mut self) -> Option<Queued> {
        if self.taken.is_empty() {
            self.queue.take(&mut self.taken);
        }
        self.taken.pop_front()
    }

    /// Puts something back in front of all others.
    pub(super) fn put_back(&mut self, first: Queued) {
        self.taken.push_front(first);
    }

    pub(super) fn close(&mut self) {
        self.queue.close();
    }

    /// Takes out the messages that wait, and drops the fences.
    pub(super) fn give_up(&mut self) -> Vec<Outgoing> {
        self.close();
        let queued = std::iter::from_fn(|| self.next_at_hand());
        let messages = queued.filter_map(|next| match next {
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

impl Batch {
    /// Puts in a frame: of a message at the position `fresh`, or one that never goes back.
    pub(super) fn put(&mut self, frame: &[u8], fresh: Option<u64>) {
        self.buffer.extend_from_slice(frame);
        self.bytes += frame.len();
        self.fresh
            .extend(fresh.map(|position| (position, self.bytes)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= READ_BUFFER_BYTES
    }

    /// Hands all of it to `writer`, and calls `took` with the bytes of each write.
    pub(super) async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut W,
        mut took: impl FnMut(usize),
    ) -> io::Result<()> {
        while self.buffer.has_remaining() {
            let written = match writer.write_buf(&mut self.buffer).await {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
            self.failed = written.is_err();
            took(written?);
        }
        writer.flush().await
    }

    /// Ends the batch; tells `resolve` of each fresh message, the newest first, whether
    /// all of it was handed over.
    pub(super) fn end(&mut self, mut resolve: impl FnMut(u64, bool)) {
        let handed = match self.failed {
            true => self.bytes,
            false => self.bytes - self.buffer.remaining(),
        };
        for (position, end) in self.fresh.drain(..).rev() {
            resolve(position, end <= handed);
        }
        self.buffer.clear();
        self.bytes = 0;
        self.failed = false;
    }
}
