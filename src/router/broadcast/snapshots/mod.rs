//! The last broadcast for each value of a pointer, so that who subscribes late
//! finds the state of the market.
//!
//! Nothing is kept until somebody asks for it. From then on who broadcasts
//! holds a [`Pass`] from before it looks who is to hear its broadcasts until
//! they are queued and kept. Who subscribes waits until no pass is out, and
//! keeps others from getting one: so a broadcast is either in the snapshot or
//! arrives live, and never both.
//!
//! What is kept is bounded in number and in bytes: what was updated least
//! lately makes room.

#![forbid(unsafe_code)]

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

/// See the [module](self).
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

/// Lets many broadcast, or one subscribe.
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
    /// Ones that are counted in `budget`.
    pub(crate) fn within(budget: &Arc<Budget>) -> Self {
        Self {
            active: AtomicBool::new(false),
            gate: Gate::default(),
            store: Mutex::new(Store::within(budget)),
        }
    }

    /// A pass for a read of `sender`, if anything is kept. To be asked for
    /// before it is looked up who hears broadcasts.
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

    /// Keeps the last broadcast for each value of `pointer` from now on, and
    /// tells `announce` if that is new. To be called while nobody broadcasts.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` if there are too many pointers already.
    pub(crate) fn keep(&self, pointer: &Pointer, announce: impl FnOnce()) -> Result<(), Refusal> {
        let mut store = lock(&self.store);
        if store.position(pointer).is_some() {
            return Ok(());
        }
        if store.pointer_count() == SNAPSHOT_KEYS_MAX {
            return Err(Refusal::new(
                ErrorCode::LimitExceeded,
                format!(
                    "this server keeps snapshots by {SNAPSHOT_KEYS_MAX} different keys already"
                ),
            )
            .of_field("payload.key"));
        }
        store.add_pointer(pointer.clone());
        // While the store is locked, so that they are announced in its order.
        announce();
        self.active.store(true, Ordering::Release);
        Ok(())
    }

    /// Does something while nobody broadcasts.
    pub(crate) fn exclusively<R>(&self, act: impl FnOnce() -> R) -> R {
        self.gate.close();
        let _reopens = Reopens(&self.gate);
        act()
    }

    /// The last broadcast for each value of `pointer`, in the order in which
    /// they came, but for those of `receiver` itself.
    pub(crate) fn take(&self, pointer: &Pointer, receiver: ConnectionId) -> Vec<KeptFrame> {
        lock(&self.store).frames(pointer, receiver)
    }
}

impl Pass {
    /// Keeps frames: for each, by which pointer and where it stands in
    /// `input`.
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

/// Reopens a gate, also after a panic.
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

/// Locks, also after a panic elsewhere: what is guarded is consistent between
/// any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
