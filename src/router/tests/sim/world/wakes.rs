//! Why a task is to run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Wake, Waker};

/// The session has something new to write.
pub(super) const SESSION: u8 = 1;
/// The client has sent something.
pub(super) const READABLE: u8 = 2;
/// The kernel takes more.
pub(super) const WRITABLE: u8 = 4;
/// There may be room for an event that waits.
pub(super) const ROOM: u8 = 8;
/// The task gave way, and has more to do.
pub(super) const ITSELF: u8 = 16;
/// Its time has come.
pub(super) const TIME: u8 = 32;

/// All that a task was woken for since it last ran.
#[derive(Debug, Default)]
pub(super) struct Wakes(AtomicU8);

struct Bell {
    wakes: Arc<Wakes>,
    reason: u8,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wakes.add(self.reason);
    }
}

impl Wakes {
    pub(super) fn add(&self, reason: u8) {
        self.0.fetch_or(reason, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> u8 {
        self.0.swap(0, Ordering::Relaxed)
    }

    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    pub(super) fn waker(self: &Arc<Self>, reason: u8) -> Waker {
        let wakes = Arc::clone(self);
        Waker::from(Arc::new(Bell { wakes, reason }))
    }
}
