//! Those who wait for room in a full queue. A cold list: nobody locks it while
//! nobody waits.

#![forbid(unsafe_code)]

use std::task::Waker;

use super::peer::lock;
use crate::ids::ConnectionId;
use crate::sync::{AtomicBool, Mutex, Ordering, fence};

/// See the [module](self). One place a connection, so that its length is
/// bounded by the number of connections.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    any: AtomicBool,
    list: Mutex<Vec<(ConnectionId, Waker)>>,
}

impl Waiters {
    /// Has `waker` woken when there is room. The caller must try again
    /// afterwards: room that appeared before is not announced.
    pub(crate) fn wait(&self, id: ConnectionId, waker: &Waker) {
        let mut list = lock(&self.list);
        match list.iter_mut().find(|(waiting, _)| *waiting == id) {
            Some((_, known)) => known.clone_from(waker),
            None => list.push((id, waker.clone())),
        }
        self.any.store(true, Ordering::Release);
        drop(list);
        fence(Ordering::SeqCst);
    }

    /// Forgets a connection that no longer waits.
    pub(crate) fn forget(&self, id: ConnectionId) {
        let mut list = lock(&self.list);
        list.retain(|(waiting, _)| *waiting != id);
        self.any.store(!list.is_empty(), Ordering::Release);
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
            std::mem::take(&mut *list)
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }
}
