//! The end of a task that a server can't live without.
//!
//! Such a task ends before its server only by a panic. The program that runs the
//! server is told, as it would look alive and be of no use.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::ServerShared;

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

#[derive(Debug, Default)]
pub(super) struct Failed {
    first: watch::Sender<Option<ServerFailure>>,
    /// The task that is to panic at its next step.
    #[cfg(test)]
    injected: std::sync::Mutex<Option<ServerFailure>>,
}

impl Failed {
    pub(super) async fn wait(&self) -> ServerFailure {
        let mut first = self.first.subscribe();
        let failure = first.wait_for(Option::is_some).await;
        let failure = failure.ok().and_then(|first| *first);
        failure.expect("the sender is borrowed, and a failure is waited for")
    }

    fn report(&self, failure: ServerFailure) {
        self.first.send_modify(|first| {
            first.get_or_insert(failure);
        });
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
}

/// Runs `task`, and reports `failure` if it panics.
pub(super) async fn watch(
    shared: Arc<ServerShared>,
    failure: ServerFailure,
    task: impl Future<Output = ()>,
) {
    let _reporter = Reporter { shared, failure };
    task.await;
}

/// Reports a failure when it is dropped by a panic.
struct Reporter {
    shared: Arc<ServerShared>,
    failure: ServerFailure,
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.failed.report(self.failure);
        }
    }
}
