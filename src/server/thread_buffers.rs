//! The buffers that a thread receives with: the router's workspace and read
//! buffers.
//!
//! They are taken for one poll and given back before it ends, so connections
//! that wait hold none.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

use crate::limits::WINDOW_BYTES;
use crate::router::Workspace;

/// Read buffers that a thread keeps for use again, in use by queues or not.
const WINDOWS_KEPT_MAX: usize = 64;
/// Read buffers looked at for one that is free again, before a new one is made.
const WINDOWS_TRIED_MAX: usize = 2;

thread_local! {
    static THREAD_BUFFERS: RefCell<ThreadBuffers> = RefCell::default();
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ThreadBuffers {
    pub(super) workspace: Workspace,
    windows: Windows,
    /// Set while it is lent: still set when it is lent again if a panic cut the
    /// work short.
    lent: bool,
}

impl ThreadBuffers {
    /// Lends this thread's buffers. `work` must not lend it again.
    pub(super) fn lend<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        THREAD_BUFFERS.with_borrow_mut(|bench| {
            if bench.lent {
                // The state that the panic left half done belongs to another
                // connection.
                *bench = Self::default();
            }
            bench.lent = true;
            let done = work(bench);
            bench.lent = false;
            done
        })
    }

    /// An empty read buffer with room for [`WINDOW_BYTES`].
    pub(super) fn take_window(&mut self) -> BytesMut {
        self.windows.take()
    }

    /// Takes a read buffer back, also one that queues still hold slices of.
    pub(super) fn give_window(&mut self, window: BytesMut) {
        self.windows.give(window);
    }
}

#[derive(Debug, Default)]
struct Windows {
    /// Nothing holds slices of these.
    free: Vec<BytesMut>,
    /// Queues may still hold slices of these, the oldest first.
    retired: VecDeque<BytesMut>,
}

impl Windows {
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
            ThreadBuffers::lend(|bench| {
                let window = bench.take_window();
                bench.give_window(window);
                panic!("this one is part of the test");
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        ThreadBuffers::lend(|bench| assert!(bench.windows.free.is_empty()));
        // After an ordinary use, all is kept.
        ThreadBuffers::lend(|bench| {
            let window = bench.take_window();
            bench.give_window(window);
        });
        ThreadBuffers::lend(|bench| assert_eq!(bench.windows.free.len(), 1));
    }
}
