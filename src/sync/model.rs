//! The types that loom can try: its own atomics and locks, and plain stand-ins for
//! types of other crates.
//!
//! A stand-in promises the crate's documented behaviour and nothing beyond, or a
//! model would pass for a reason that the real type doesn't give. So each has one of
//! loom's atomics where the real one publishes, with the weakest order that is
//! documented, and keeps its values behind a lock that loom doesn't know. Loom
//! switches threads only where its own types are used, so nobody ever waits for
//! such a lock.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use loom::sync::{Mutex, MutexGuard};

fn plain<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lock-free queue. A pop may miss a push that it is not ordered behind.
#[derive(Debug)]
pub(crate) struct SegQueue<T> {
    pushed: AtomicUsize,
    /// The number of pops, and the entries that are left.
    held: std::sync::Mutex<(usize, VecDeque<T>)>,
}

impl<T> Default for SegQueue<T> {
    fn default() -> Self {
        Self {
            pushed: AtomicUsize::new(0),
            held: Default::default(),
        }
    }
}

impl<T> SegQueue<T> {
    pub(crate) fn push(&self, entry: T) {
        self.pushed.fetch_add(1, Ordering::Release);
        plain(&self.held).1.push_back(entry);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let pushed = self.pushed.load(Ordering::Acquire);
        let (popped, entries) = &mut *plain(&self.held);
        if *popped >= pushed {
            return None;
        }
        *popped += 1;
        entries.pop_front()
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
        match self.0.try_lock() {
            Ok(mut registered) => *registered = Some(waker.clone()),
            Err(_) => waker.wake_by_ref(),
        }
    }

    pub(crate) fn wake(&self) {
        let waker = super::lock(&self.0).take();
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

    pub(crate) fn load(&self) -> impl Deref<Target = Option<Arc<T>>> {
        Box::new(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.value(self.present.load(Ordering::Acquire))
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
        self.value(self.present.swap(index, Ordering::AcqRel))
    }

    fn value(&self, index: usize) -> Option<Arc<T>> {
        plain(&self.values).get(index).cloned().flatten()
    }
}
