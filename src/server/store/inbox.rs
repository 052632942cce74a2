//! The requests of connections, on their way to the thread of the journal.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::Wake;
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::SegQueue;

use crate::router::store::{Outlet, Submission};

#[derive(Debug)]
pub(super) enum Request {
    Submit(Submission),
    DeliverTo(Outlet),
    /// End once all requests before are done.
    Stop,
}

/// Connections bound it: each waits for its answers when it has submitted enough.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    requests: SegQueue<Request>,
    /// A mailbox that was full has room.
    has_room: AtomicBool,
    is_parked: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Inbox {
    pub(super) fn serve_by(&self, thread: Thread) {
        let _ = self.thread.set(thread);
        self.unpark();
    }

    pub(super) fn push(&self, request: Request) {
        self.requests.push(request);
        self.unpark();
    }

    fn unpark(&self) {
        // The request must be visible before the flag is looked at: see `wait`.
        fence(Ordering::SeqCst);
        if self.is_parked.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(super) fn pop(&self) -> Option<Request> {
        self.requests.pop()
    }

    /// Returns whether a mailbox has got room since the last call.
    pub(super) fn take_has_room(&self) -> bool {
        self.has_room.swap(false, Ordering::AcqRel)
    }

    /// Waits for a request or for room, until `timeout` is over if there is one.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        self.is_parked.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.requests.is_empty() && !self.has_room.load(Ordering::Acquire) {
            match timeout {
                Some(timeout) => std::thread::park_timeout(timeout),
                None => std::thread::park(),
            }
        }
        self.is_parked.store(false, Ordering::Release);
    }
}

impl Wake for Inbox {
    fn wake(self: std::sync::Arc<Self>) {
        self.has_room.store(true, Ordering::Release);
        self.unpark();
    }
}
