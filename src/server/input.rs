//! Received bytes on their way to the session: the buffers that a thread reads into,
//! and the rest that a connection keeps.
//!
//! The buffers are taken for one poll and given back before it ends, so connections
//! that wait hold none. The rest is at most that of one read buffer, or one large
//! frame in the making.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use crate::limits::{FRAME_PREFIX_BYTES, READ_BUFFER_BYTES};
use crate::router::{Gathering, Now, ReadScratch, Session, Step};

/// A large frame's buffer starts with this, and doubles as bytes arrive.
const LARGE_FRAME_GROWTH: usize = 16 * 1024;
/// Read buffers that a thread keeps for use again, in use by queues or not.
const READ_BUFFERS_KEPT_MAX: usize = 64;
/// Read buffers looked at for one that is free again, before a new one is made.
const READ_BUFFERS_TRIED_MAX: usize = 2;

/// The bytes of a connection that were received and not taken.
#[derive(Debug, Default)]
pub(super) struct Input {
    rest: BytesMut,
}

/// The outcome of a read.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Bytes arrived and the session took as many as it could, at that time.
    Step(Step, Now),
    /// Bytes of a frame that is not complete yet arrived.
    PartOfFrame,
    /// There is no memory for more of the frame that has begun.
    NoMemory,
    /// The peer sends no more.
    End,
}

impl Input {
    /// Returns whether bytes of an incomplete frame, or frames that wait, are
    /// held.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns how many bytes of them are held.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Reads once and hands the bytes to the session.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        session: &mut Session,
        round: &mut Round<'_>,
        now: impl FnOnce() -> Now,
    ) -> Poll<io::Result<Arrival>> {
        let room = session.room_to_read(self.rest.len());
        if room == 0 {
            return Poll::Ready(Ok(Arrival::NoMemory));
        }
        if self.frame_bytes() > READ_BUFFER_BYTES {
            return self.poll_read_large(cx, stream, session, round, now);
        }
        let mut buffer = round.take_buffer();
        // The rest came from a read buffer, so it fits into an empty one.
        buffer.extend_from_slice(&self.rest);
        let room = room.min(READ_BUFFER_BYTES.saturating_sub(buffer.len()));
        let read = poll_read_up_to(cx, stream, &mut buffer, room);
        let Poll::Ready(Ok(bytes @ 1..)) = read else {
            round.give_buffer(buffer);
            return read.map_ok(|_| Arrival::End);
        };
        debug_assert!(bytes <= room);
        let now = now();
        let step = round.gathering.read(session, &mut buffer, now);
        self.keep(&buffer);
        session.hold_input(self.rest.capacity());
        round.give_buffer(buffer);
        Poll::Ready(Ok(Arrival::Step(step, now)))
    }

    /// Hands in again the bytes at which the session stopped.
    pub(super) fn resume(
        &mut self,
        session: &mut Session,
        round: &mut Round<'_>,
        now: Now,
    ) -> Step {
        let step = round.gathering.read(session, &mut self.rest, now);
        if self.rest.is_empty() {
            self.rest = BytesMut::new();
        } else if step.consumed > 0 {
            // The bytes taken may keep the block in memory, which then is
            // charged to their queue. The rest must not share it, for its own
            // queue would be charged too little.
            self.rest = BytesMut::from(&self.rest[..]);
        }
        session.hold_input(self.rest.capacity());
        step
    }

    /// Goes on with a frame that is larger than a read buffer. Memory follows
    /// the bytes that arrived, not the number that the prefix declares.
    fn poll_read_large(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        session: &mut Session,
        round: &mut Round<'_>,
        now: impl FnOnce() -> Now,
    ) -> Poll<io::Result<Arrival>> {
        let missing = self.frame_bytes() - self.rest.len();
        if self.rest.capacity() == self.rest.len() {
            let growth = self.rest.len().max(LARGE_FRAME_GROWTH);
            self.rest.reserve(growth.min(missing));
            session.hold_input(self.rest.capacity());
        }
        let room = missing.min(self.rest.capacity() - self.rest.len());
        let bytes = ready!(poll_read_up_to(cx, stream, &mut self.rest, room))?;
        Poll::Ready(Ok(match bytes {
            0 => Arrival::End,
            _ if bytes < missing => Arrival::PartOfFrame,
            _ => {
                let now = now();
                Arrival::Step(self.resume(session, round, now), now)
            }
        }))
    }

    /// Keeps the rest of a read buffer in a buffer of its size.
    fn keep(&mut self, window: &[u8]) {
        if window.is_empty() {
            self.rest = BytesMut::new();
        } else {
            self.rest.clear();
            self.rest.extend_from_slice(window);
        }
    }

    /// Bytes of the frame that has begun, prefix included, as far as known.
    fn frame_bytes(&self) -> usize {
        match self.rest.first_chunk::<FRAME_PREFIX_BYTES>() {
            Some(prefix) => FRAME_PREFIX_BYTES + u32::from_be_bytes(*prefix) as usize,
            None => FRAME_PREFIX_BYTES,
        }
    }
}

fn poll_read_up_to(
    cx: &mut Context<'_>,
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    room: usize,
) -> Poll<io::Result<usize>> {
    poll_read_buf(Pin::new(stream), cx, &mut buffer.limit(room))
}

thread_local! {
    static THREAD_BUFFERS: RefCell<ThreadBuffers> = RefCell::default();
}

/// The buffers that a thread receives with.
#[derive(Debug, Default)]
pub(super) struct ThreadBuffers {
    scratch: ReadScratch,
    buffers: ReadBuffers,
    /// Set while it is lent: still set when it is lent again if a panic cut the
    /// work short.
    lent: bool,
}

impl ThreadBuffers {
    /// Lends this thread's buffers. `work` must not lend it again.
    pub(super) fn lend<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        THREAD_BUFFERS.with_borrow_mut(|buffers| {
            if buffers.lent {
                // The state that the panic left half done belongs to another
                // connection.
                *buffers = Self::default();
            }
            buffers.lent = true;
            let done = work(buffers);
            buffers.lent = false;
            done
        })
    }

    /// Begins a round of reads. Their messages for subscribers are queued when
    /// it is dropped.
    pub(super) fn begin(&mut self) -> Round<'_> {
        Round {
            gathering: self.scratch.begin(),
            buffers: &mut self.buffers,
        }
    }
}

/// The buffers of a round of reads.
pub(super) struct Round<'a> {
    pub(super) gathering: Gathering<'a>,
    buffers: &'a mut ReadBuffers,
}

impl Round<'_> {
    /// An empty read buffer with room for [`READ_BUFFER_BYTES`].
    pub(super) fn take_buffer(&mut self) -> BytesMut {
        self.buffers.take()
    }

    /// Takes a read buffer back, also one that queues still hold slices of.
    pub(super) fn give_buffer(&mut self, buffer: BytesMut) {
        self.buffers.give(buffer);
    }
}

#[derive(Debug, Default)]
struct ReadBuffers {
    /// Nothing holds slices of these.
    free: Vec<BytesMut>,
    /// Queues may still hold slices of these, the oldest first.
    retired: VecDeque<BytesMut>,
}

impl ReadBuffers {
    fn take(&mut self) -> BytesMut {
        if let Some(buffer) = self.free.pop() {
            return buffer;
        }
        for _ in 0..READ_BUFFERS_TRIED_MAX {
            let Some(mut buffer) = self.retired.pop_front() else {
                break;
            };
            if buffer.try_reclaim(READ_BUFFER_BYTES) {
                return buffer;
            }
            self.retired.push_back(buffer);
        }
        BytesMut::with_capacity(READ_BUFFER_BYTES)
    }

    fn give(&mut self, mut buffer: BytesMut) {
        buffer.clear();
        if self.free.len() + self.retired.len() >= READ_BUFFERS_KEPT_MAX {
            return;
        }
        if buffer.capacity() >= READ_BUFFER_BYTES {
            self.free.push(buffer);
        } else {
            self.retired.push_back(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_a_panic_left_half_done_is_not_lent_again() {
        let panicking = || {
            ThreadBuffers::lend(|buffers| {
                let mut round = buffers.begin();
                let buffer = round.take_buffer();
                round.give_buffer(buffer);
                drop(round);
                panic!("this one is part of the test");
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        ThreadBuffers::lend(|buffers| assert!(buffers.buffers.free.is_empty()));
        // After an ordinary use, all is kept.
        ThreadBuffers::lend(|buffers| {
            let mut round = buffers.begin();
            let buffer = round.take_buffer();
            round.give_buffer(buffer);
        });
        ThreadBuffers::lend(|buffers| assert_eq!(buffers.buffers.free.len(), 1));
    }
}
