//! Connections that wait for room in a queue, or for memory. The list is locked only
//! while one waits.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::task::Waker;

use crate::ids::ConnectionId;
use crate::sync::{AtomicBool, Mutex, Ordering, fence, lock};

/// A connection has one entry, so the number of connections bounds the length.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    any: AtomicBool,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    waiting: BTreeMap<ConnectionId, Waker>,
    /// The connection that was woken last by itself.
    last: u64,
}

impl List {
    fn take_next(&mut self) -> Option<Waker> {
        let mut behind = self
            .waiting
            .range((Excluded(ConnectionId(self.last)), Unbounded));
        let next = behind.next().or_else(|| self.waiting.first_key_value());
        let next = *next?.0;
        self.last = next.0;
        self.waiting.remove(&next)
    }
}

impl Waiters {
    /// Has `waker` woken when there is room from now on: try again after this call.
    pub(crate) fn wait(&self, id: ConnectionId, waker: &Waker) {
        let mut list = lock(&self.list);
        (list.waiting.entry(id))
            .and_modify(|known| known.clone_from(waker))
            .or_insert_with(|| waker.clone());
        self.any.store(true, Ordering::Release);
        drop(list);
        fence(Ordering::SeqCst);
    }

    /// Forgets a connection that no longer waits.
    pub(crate) fn forget(&self, id: ConnectionId) {
        let mut list = lock(&self.list);
        list.waiting.remove(&id);
        self.any.store(!list.waiting.is_empty(), Ordering::Release);
    }

    /// Wakes all. To be called after room was made.
    #[inline]
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        if self.any.load(Ordering::Acquire) {
            self.wake_them();
        }
    }

    #[cold]
    fn wake_them(&self) {
        let woken = {
            let mut list = lock(&self.list);
            self.any.store(false, Ordering::Release);
            std::mem::take(&mut list.waiting)
        };
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    /// Wakes the next connection. To be called after room was made.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        self.wake_another();
    }

    /// Wakes one more. To be called by a connection that was woken and found room.
    #[inline]
    pub(crate) fn wake_another(&self) {
        if self.any.load(Ordering::Acquire) {
            self.wake_next();
        }
    }

    #[cold]
    fn wake_next(&self) {
        let mut list = lock(&self.list);
        let next = list.take_next();
        self.any.store(!list.waiting.is_empty(), Ordering::Release);
        drop(list);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
