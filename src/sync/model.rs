//! The types that loom can try: its own atomics and locks, and plain stand-ins for
//! types of other crates.
//!
//! A stand-in promises the crate's documented behaviour and nothing beyond, or a
//! model would pass for a reason that the real type doesn't give. So each has one of
//! loom's atomics where the real one publishes, with the weakest order that is
//! documented, and keeps its values behind a lock that loom doesn't know. Loom
//! switches threads only where its own types are used, so nobody ever waits for
//! such a lock, and anything done under it belongs to the atomic step before it.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, TryLockError};
use std::task::Waker;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// Locks a mutex that loom doesn't know of.
fn plain<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lock-free queue. A pop may miss a push that it is not ordered behind.
#[derive(Debug)]
pub(crate) struct SegQueue<T> {
    pushed: AtomicUsize,
    held: std::sync::Mutex<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    popped: usize,
    entries: VecDeque<T>,
}

impl<T> Default for SegQueue<T> {
    fn default() -> Self {
        Self {
            pushed: AtomicUsize::new(0),
            held: std::sync::Mutex::new(Held {
                popped: 0,
                entries: VecDeque::new(),
            }),
        }
    }
}

impl<T> SegQueue<T> {
    pub(crate) fn push(&self, entry: T) {
        self.pushed.fetch_add(1, Ordering::Release);
        plain(&self.held).entries.push_back(entry);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let pushed = self.pushed.load(Ordering::Acquire);
        let mut held = plain(&self.held);
        if held.popped >= pushed {
            return None;
        }
        held.popped += 1;
        held.entries.pop_front()
    }
}

/// A cell that is filled once; here from the start.
#[derive(Debug, Default)]
pub(crate) struct OnceLock<T>(T);

impl<T> OnceLock<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        Some(&self.0)
    }

    pub(crate) fn get_or_init(&self, _init: impl FnOnce() -> T) -> &T {
        &self.0
    }
}

/// A waker that one thread registers and any takes. A thread that registers while
/// another wakes is woken itself.
#[derive(Debug)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let earlier = match self.0.try_lock() {
            Ok(mut registered) => registered.replace(waker.clone()),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().replace(waker.clone()),
            Err(TryLockError::WouldBlock) => {
                waker.wake_by_ref();
                None
            }
        };
        drop(earlier);
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A pointer that may be read while another thread replaces it.
#[derive(Debug)]
pub(crate) struct ArcSwapOption<T> {
    /// The index of the present value.
    present: AtomicUsize,
    /// All values that ever were.
    values: std::sync::Mutex<Vec<Option<Arc<T>>>>,
}

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self {
            present: AtomicUsize::new(0),
            values: std::sync::Mutex::new(vec![None]),
        }
    }

    pub(crate) fn load(&self) -> Loaded<T> {
        let present = self.present.load(Ordering::Acquire);
        Loaded(self.value(present))
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.load().0
    }

    pub(crate) fn store(&self, new: Option<Arc<T>>) {
        drop(self.swap(new));
    }

    pub(crate) fn swap(&self, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let index = {
            let mut values = plain(&self.values);
            values.push(new);
            values.len() - 1
        };
        let before = self.present.swap(index, Ordering::AcqRel);
        self.value(before)
    }

    fn value(&self, index: usize) -> Option<Arc<T>> {
        plain(&self.values).get(index).cloned().flatten()
    }
}

/// The value that was read.
#[derive(Debug)]
pub(crate) struct Loaded<T>(Option<Arc<T>>);

impl<T> Deref for Loaded<T> {
    type Target = Option<Arc<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
