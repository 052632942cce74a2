//! What a thread needs to receive: the router's scratch buffers and read buffers.
//!
//! They are taken for one poll and given back before it ends, so connections
//! that wait hold none.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

use crate::limits::WINDOW_BYTES;
use crate::router::{Gathering, ReadScratch};

/// Windows that a thread keeps for use again, in use by queues or not.
const WINDOWS_KEPT_MAX: usize = 64;
/// Windows looked at for one that is free again, before a new one is made.
const WINDOWS_TRIED_MAX: usize = 2;

thread_local! {
    static WORKBENCH: RefCell<Workbench> = RefCell::default();
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Workbench {
    scratch: ReadScratch,
    buffers: Buffers,
    /// Set while it is lent: still set when it is lent again if a panic cut the
    /// work short.
    lent: bool,
}

impl Workbench {
    /// Lends this thread's workbench. `work` must not lend it again.
    pub(super) fn lend<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        WORKBENCH.with_borrow_mut(|bench| {
            if bench.lent {
                // What the panic left half done belongs to another connection.
                *bench = Self::default();
            }
            bench.lent = true;
            let done = work(bench);
            bench.lent = false;
            done
        })
    }

    /// Begins a round of reads. What they have for subscribers is queued when
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
    buffers: &'a mut Buffers,
}

impl Round<'_> {
    /// An empty buffer with room for [`WINDOW_BYTES`].
    pub(super) fn take_buffer(&mut self) -> BytesMut {
        self.buffers.take()
    }

    /// Takes a buffer back, also one that queues still hold slices of.
    pub(super) fn give_buffer(&mut self, buffer: BytesMut) {
        self.buffers.give(buffer);
    }
}

#[derive(Debug, Default)]
struct Buffers {
    /// Nothing holds slices of these.
    free: Vec<BytesMut>,
    /// Queues may still hold slices of these, the oldest first.
    retired: VecDeque<BytesMut>,
}

impl Buffers {
    fn take(&mut self) -> BytesMut {
        if let Some(window) = self.free.pop() {
            return window;
        }
        for _ in 0..WINDOWS_TRIED_MAX {
            let Some(mut window) = self.retired.pop_front() else {
                break;
            };
            if window.try_reclaim(WINDOW_BYTES) {
                return window;
            }
            self.retired.push_back(window);
        }
        BytesMut::with_capacity(WINDOW_BYTES)
    }

    fn give(&mut self, mut window: BytesMut) {
        window.clear();
        if self.free.len() + self.retired.len() >= WINDOWS_KEPT_MAX {
            return;
        }
        if window.capacity() >= WINDOW_BYTES {
            self.free.push(window);
        } else {
            self.retired.push_back(window);
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
            Workbench::lend(|bench| {
                let mut round = bench.begin();
                let buffer = round.take_buffer();
                round.give_buffer(buffer);
                drop(round);
                panic!("this one is part of the test");
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        Workbench::lend(|bench| assert!(bench.buffers.free.is_empty()));
        // After an ordinary use, all is kept.
        Workbench::lend(|bench| {
            let mut round = bench.begin();
            let buffer = round.take_buffer();
            round.give_buffer(buffer);
        });
        Workbench::lend(|bench| assert_eq!(bench.buffers.free.len(), 1));
    }
}
