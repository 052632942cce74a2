//! The buffers that a thread receives with: the router's scratch
//! buffers, and read buffers.
//!
//! They are taken for one poll and given back before it ends, so connections
//! that wait hold none.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

use crate::limits::READ_BUFFER_BYTES;
use crate::router::{Gathering, ReadScratch};

/// Read buffers that a thread keeps for use again, in use by queues or not.
const READ_BUFFERS_KEPT_MAX: usize = 64;
/// Read buffers looked at for one that is free again, before a new one is made.
const READ_BUFFERS_TRIED_MAX: usize = 2;

thread_local! {
    static THREAD_BUFFERS: RefCell<ThreadBuffers> = RefCell::default();
}

/// See the [module](self).
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
