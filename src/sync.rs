//! Atomics, locks and the lock-free types of other crates.
//!
//! The router's queues, wake-ups and changes of owner take them from here, so
//! that loom can try their interleavings: built with `--cfg loom` these are
//! loom's own, and stand-ins for types that loom can't see into.

#[cfg(loom)]
mod model;
pub(crate) mod waiters;

#[cfg(loom)]
pub(crate) use model::*;

#[cfg(not(loom))]
pub(crate) use {
    arc_swap::ArcSwapOption,
    atomic_waker::AtomicWaker,
    crossbeam_queue::SegQueue,
    std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    std::sync::{Mutex, MutexGuard, OnceLock},
};

/// Locks, also after a panic elsewhere: the panic ended its own connection, and
/// the guarded values are consistent between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
