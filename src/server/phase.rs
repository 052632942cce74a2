//! The phases of a shutdown, which all connections go through together: each holds
//! a permit for each phase and drops it when it has done its part. When all have,
//! the next phase begins.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::ids::ConnectionId;
use crate::router::SessionWaker;
use crate::sync::lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// Serve.
    Running = 0,
    /// Stop taking input at a frame's edge.
    Stopping = 1,
    /// Write the queued messages.
    Draining = 2,
    /// Give up the messages that could not be written.
    GivingUp = 3,
    /// Say goodbye and close.
    Closing = 4,
}

/// The right to hold the next phase up, for each phase that is waited for.
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) stopping: Option<TaskTrackerToken>,
    pub(super) draining: Option<TaskTrackerToken>,
    pub(super) giving_up: Option<TaskTrackerToken>,
}

#[derive(Debug)]
pub(super) struct Phases {
    now: AtomicU8,
    stopping: TaskTracker,
    draining: TaskTracker,
    giving_up: TaskTracker,
    wakers: Mutex<HashMap<ConnectionId, SessionWaker>>,
}

impl Phases {
    pub(super) fn new() -> Self {
        let tracker = || {
            let tracker = TaskTracker::new();
            tracker.close();
            tracker
        };
        Self {
            now: AtomicU8::new(Phase::Running as u8),
            stopping: tracker(),
            draining: tracker(),
            giving_up: tracker(),
            wakers: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn now(&self) -> Phase {
        match self.now.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Stopping,
            2 => Phase::Draining,
            3 => Phase::GivingUp,
            _ => Phase::Closing,
        }
    }

    pub(super) fn join(&self, id: ConnectionId, waker: SessionWaker) -> Permits {
        lock(&self.wakers).insert(id, waker);
        Permits {
            stopping: Some(self.stopping.token()),
            draining: Some(self.draining.token()),
            giving_up: Some(self.giving_up.token()),
        }
    }

    pub(super) fn leave(&self, id: ConnectionId) {
        lock(&self.wakers).remove(&id);
    }

    /// Begins a phase, unless it or a later one has begun; all connections look at it.
    pub(super) fn begin(&self, phase: Phase) {
        self.now.fetch_max(phase as u8, Ordering::AcqRel);
        let wakers: Vec<SessionWaker> = lock(&self.wakers).values().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Waits until every connection has done its part of `phase`.
    pub(super) async fn done(&self, phase: Phase) {
        match phase {
            Phase::Stopping => self.stopping.wait().await,
            Phase::Draining => self.draining.wait().await,
            Phase::GivingUp => self.giving_up.wait().await,
            Phase::Running | Phase::Closing => {}
        }
    }
}
