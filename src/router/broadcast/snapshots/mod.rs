//! The last broadcast for each value of a key, so that a late subscriber finds
//! the state of the market.
//!
//! Nothing is kept before the first request for a snapshot. From then on a
//! sender holds a [`Pass`], from before it reads the audience until its
//! broadcasts are queued and kept. A subscriber waits until no pass is out, and
//! none is given meanwhile. So each broadcast is either in the snapshot or
//! arrives live, and never both.
//!
//! The kept messages are bounded in number and in bytes. The least recently
//! updated ones make room.

mod store;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use store::Store;

use super::subscriptions::Keys;
use crate::budget::Budget;
use crate::ids::ConnectionId;
use crate::limits::SNAPSHOT_KEYS_MAX;
use crate::router::mailbox::KeptFrame;
use crate::wire::filter::Pointer;
use crate::wire::{ErrorCode, Refusal};

#[derive(Debug)]
pub(crate) struct Snapshots {
    /// Whether anything is kept.
    active: AtomicBool,
    gate: Gate,
    store: Mutex<Store>,
}

/// The right to broadcast while something is kept.
#[derive(Debug)]
pub(crate) struct Pass {
    snapshots: Arc<Snapshots>,
    sender: ConnectionId,
}

/// Lets many senders broadcast, or one subscriber subscribe.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    passes: usize,
    closed: bool,
}

impl Snapshots {
    pub(crate) fn within(budget: &Arc<Budget>) -> Self {
        Self {
            active: AtomicBool::new(false),
            gate: Gate::default(),
            store: Mutex::new(Store::within(budget)),
        }
    }

    /// Gives a pass, if anything is kept. Take it before the audience is read.
    #[inline]
    pub(crate) fn pass(self: &Arc<Self>, sender: ConnectionId) -> Option<Pass> {
        self.active.load(Ordering::Acquire).then(|| {
            self.gate.enter();
            Pass {
                snapshots: Arc::clone(self),
                sender,
            }
        })
    }

    /// Keeps the last broadcast for each value of `key` from now on, and calls
    /// `announce` if the key is new. Call it while nobody broadcasts.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` if there are too many keys already.
    pub(crate) fn keep(&self, key: &Pointer, announce: impl FnOnce()) -> Result<(), Refusal> {
        let mut store = lock(&self.store);
        if store.position(key).is_some() {
            return Ok(());
        }
        if store.pointers.len() == SNAPSHOT_KEYS_MAX {
            return Err(Refusal::new(
                ErrorCode::LimitExceeded,
                format!(
                    "this server keeps snapshots by {SNAPSHOT_KEYS_MAX} different keys already"
                ),
            )
            .of_field("payload.key"));
        }
        store.add_pointer(key.clone());
        // Under the lock, so that keys are announced in the order of the store.
        announce();
        self.active.store(true, Ordering::Release);
        Ok(())
    }

    /// Calls `act` while nobody broadcasts.
    pub(crate) fn exclusively<R>(&self, act: impl FnOnce() -> R) -> R {
        self.gate.close();
        let _reopens = Reopens(&self.gate);
        act()
    }

    /// The last broadcast for each value of `key`, in order of arrival, but for
    /// those of `receiver` itself.
    pub(crate) fn take(&self, key: &Pointer, receiver: ConnectionId) -> Vec<KeptFrame> {
        lock(&self.store).frames(key, receiver)
    }
}

impl Pass {
    /// Keeps frames of `input`: each has the index of its pointer, its range, its key.
    pub(crate) fn keep(&self, frames: &[(u32, Range<usize>)], keys: &Keys, input: &[u8]) {
        let mut store = lock(&self.snapshots.store);
        for ((pointer, range), key) in frames.iter().zip(keys.iter()) {
            store.keep(*pointer, key, &input[range.clone()], self.sender);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.snapshots.gate.leave();
    }
}

/// A guard that reopens a gate, also after a panic.
struct Reopens<'a>(&'a Gate);

impl Drop for Reopens<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).closed = false;
        self.0.changed.notify_all();
    }
}

impl Gate {
    fn enter(&self) {
        let mut state = self.wait_until(|state| !state.closed);
        state.passes += 1;
    }

    fn leave(&self) {
        let mut state = lock(&self.state);
        state.passes -= 1;
        if state.passes == 0 && state.closed {
            drop(state);
            self.changed.notify_all();
        }
    }

    fn close(&self) {
        let mut state = self.wait_until(|state| !state.closed);
        state.closed = true;
        drop(state);
        drop(self.wait_until(|state| state.passes == 0));
    }

    fn wait_until(&self, done: impl Fn(&GateState) -> bool) -> MutexGuard<'_, GateState> {
        let state = lock(&self.state);
        let waited = self.changed.wait_while(state, |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks, also after a panic elsewhere: the guarded data is consistent between
/// any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
