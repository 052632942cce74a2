//! Bytes that a connection has received and the session has not taken: at most
//! the rest of one read buffer, or one large frame in the making.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::thread_buffers::Round;
use crate::limits::{FRAME_PREFIX_BYTES, READ_BUFFER_BYTES};
use crate::router::{Now, Session, Step};

/// A large frame's buffer starts with this, and doubles as bytes arrive.
const LARGE_FRAME_GROWTH: usize = 16 * 1024;

/// See the [module](self).
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
        // A read buffer is empty when it is taken, and larger than the rest of
        // another.
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
