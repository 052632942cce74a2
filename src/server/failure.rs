//! The end of a task that a server can't live without.
//!
//! Such a task only ends before its server does by a panic. The panic stays as
//! loud as any. This module also tells the program that runs the server, which
//! would otherwise look alive and be of no use.

use std::future::Future;
use std::sync::OnceLock;

use tokio::sync::Notify;

/// A task that a server can't live without has ended by a panic. The server
/// still serves its connections: shut it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFailure {
    /// No connection is accepted any more.
    #[error("the task that accepts connections ended by a panic")]
    Accepting,
    /// Messages that wait for an owner are not given up any more.
    #[error("the task that gives up what has waited for too long ended by a panic")]
    Tending,
}

/// The first failure of a server.
#[derive(Debug, Default)]
pub(super) struct Failed {
    first: OnceLock<ServerFailure>,
    changed: Notify,
    /// The task that is to panic at its next step.
    #[cfg(test)]
    injected: std::sync::Mutex<Option<ServerFailure>>,
}

impl Failed {
    /// Waits until there is one.
    pub(super) async fn wait(&self) -> ServerFailure {
        loop {
            // Wait first, then look: a failure in between notifies us.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(failure) = self.first.get() {
                return *failure;
            }
            changed.await;
        }
    }

    fn report(&self, failure: ServerFailure) {
        // One is enough to shut down for.
        let _ = self.first.set(failure);
        self.changed.notify_waiters();
    }

    /// Panics where a test has asked for it.
    #[inline]
    pub(super) fn strike(&self, _failure: ServerFailure) {
        #[cfg(test)]
        {
            let injected = self.injected.lock().map(|mut failure| failure.take());
            assert_ne!(injected.unwrap_or(None), Some(_failure), "injected");
        }
    }

    /// Has the task of `failure` panic.
    #[cfg(test)]
    pub(super) fn inject(&self, failure: ServerFailure) {
        *self.injected.lock().unwrap() = Some(failure);
    }

    /// Runs `task`, and reports `failure` if it panics.
    pub(super) async fn watch(&self, failure: ServerFailure, task: impl Future<Output = ()>) {
        let _reporter = Reporter {
            failed: self,
            failure,
        };
        task.await;
    }
}

/// Reports a failure when it is dropped by a panic.
struct Reporter<'a> {
    failed: &'a Failed,
    failure: ServerFailure,
}

impl Drop for Reporter<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed.report(self.failure);
        }
    }
}
