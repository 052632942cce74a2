//! The messages that wait to be handed to a connection, and the batch that is
//! being handed over.
//!
//! It outlives connections: messages that one was not handed in full go to the
//! next.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::outgoing::{Outgoing, Queued};
use crate::limits::READ_BUFFER_BYTES;

/// Messages before they are handed to a connection, oldest first.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: mpsc::UnboundedReceiver<Queued>,
    /// Messages that an earlier connection gave back.
    returned: VecDeque<Queued>,
    pub batch: Batch,
}

/// Frames that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    buffer: BytesMut,
    /// Bytes put in since it was empty.
    bytes: usize,
    /// The positions of messages that no connection was handed before, and where
    /// each ends among the bytes.
    fresh: Vec<(u64, usize)>,
    /// A write failed, and how much the writer took of it isn't known.
    failed: bool,
}

impl Outbox {
    pub(super) fn new(queue: mpsc::UnboundedReceiver<Queued>) -> Self {
        Self {
            queue,
            returned: VecDeque::new(),
            batch: Batch {
                buffer: BytesMut::new(),
                bytes: 0,
                fresh: Vec::new(),
                failed: false,
            },
        }
    }

    /// The next in the queue; `None` if there will be none. A future that is dropped
    /// loses nothing.
    pub(super) async fn next(&mut self) -> Option<Queued> {
        match self.returned.pop_front() {
            Some(next) => Some(next),
            None => self.queue.recv().await,
        }
    }

    /// The next in the queue, if something waits.
    pub(super) fn next_at_hand(&mut self) -> Option<Queued> {
        let returned = self.returned.pop_front();
        returned.or_else(|| self.queue.try_recv().ok())
    }

    /// Puts something back in front of all others.
    pub(super) fn put_back(&mut self, first: Queued) {
        self.returned.push_front(first);
    }

    /// No message comes in any more.
    pub(super) fn close(&mut self) {
        self.queue.close();
    }

    /// Takes out the messages that wait, and drops the fences.
    pub(super) fn give_up(&mut self) -> Vec<Outgoing> {
        self.close();
        let mut messages = Vec::new();
        while let Some(next) = self.next_at_hand() {
            if let Queued::Message(message) = next {
                messages.push(message);
            }
        }
        messages
    }
}

impl Batch {
    /// Puts a frame in: of the message at the position `fresh`, or of one that was
    /// written before or that nobody will ask for.
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

    /// Hands all of it to `writer`, and calls `took` with how many bytes that
    /// took whenever it took some.
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

    /// Ends the batch, as far as it was written: calls `resolve` for each fresh
    /// message, the newest first, with whether all of it was handed over.
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
