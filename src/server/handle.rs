//! A running server, seen from outside.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::endpoint::{self, AttachError, EndpointReceiver, EndpointSender};
use super::phase::Phase;
use super::{ServerConfig, ServerShared, StartError, listener};
use crate::ids::Name;
use crate::limits::TEND_INTERVAL;
use crate::router::Liveness;
use crate::stats::Stats;

/// A running server. Cloning shares it; the server runs until
/// [`shutdown`](ServerHandle::shutdown) or the end of its runtime.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    local_addr: SocketAddr,
    shared: Arc<ServerShared>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Whoever shuts down holds the lock; others wait for it.
    accepting: Arc<Mutex<Option<JoinHandle<()>>>>,
}

pub(super) async fn start(config: ServerConfig) -> Result<ServerHandle, StartError> {
    config.validate()?;
    let unusable = |source| StartError::Listen {
        address: config.listen.clone(),
        source,
    };
    let listener = TcpListener::bind(&config.listen).await.map_err(unusable)?;
    let local_addr = listener.local_addr().map_err(unusable)?;
    let shared = Arc::new(ServerShared::new(config));
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let accepting = tokio::spawn(listener::accept(
        listener,
        Arc::clone(&shared),
        tasks.clone(),
        stop.clone(),
    ));
    tasks.spawn(tend(Arc::clone(&shared), stop.clone()));
    Ok(ServerHandle {
        local_addr,
        shared,
        tasks,
        stop,
        accepting: Arc::new(Mutex::new(Some(accepting))),
    })
}

/// Gives up what has waited for too long, until the server stops.
async fn tend(shared: Arc<ServerShared>, stop: CancellationToken) {
    let mut ticks = interval(TEND_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        shared.router.tend(shared.clock.now());
    }
}

impl ServerHandle {
    /// Where the server listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.router.stats()
    }

    /// How many names are owned now.
    #[must_use]
    pub fn name_count(&self) -> usize {
        self.shared.router.name_count()
    }

    /// Bytes that are held for all peers together, of `memory_max`; give or take
    /// 64 KiB for each thread.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.shared.router.memory_used()
    }

    /// What heartbeats tell of each participant, by name.
    #[must_use]
    pub fn liveness(&self) -> Vec<Liveness> {
        self.shared.router.liveness()
    }

    /// The latest log records as they were sent, oldest first.
    #[must_use]
    pub fn recent_logs(&self) -> Vec<Bytes> {
        self.shared.router.recent_logs()
    }

    /// Joins the server from inside the process as `name`: a sender and a
    /// receiver that skip TCP. Everything sent is checked, routed and answered
    /// as if it had come over a connection; whoever owned the name is told that
    /// it was taken over.
    ///
    /// # Errors
    /// `name` is no name, or the server's own, or the server is stopping.
    pub fn attach(
        &self,
        name: impl AsRef<str>,
    ) -> Result<(EndpointSender, EndpointReceiver), AttachError> {
        endpoint::attach(&self.shared, Name::new(name)?)
    }

    /// Stops accepting, writes what is queued (for `drain_timeout` at most),
    /// tells every peer `SERVER_SHUTTING_DOWN`, and closes. Returns when all
    /// connections are closed; calling it again waits for the same, and goes on
    /// where a call left off whose future was dropped.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let mut accepting = self.accepting.lock().await;
        if let Some(task) = accepting.as_mut() {
            if let Err(error) = task.await {
                tracing::error!(%error, "the accepting task failed");
            }
            *accepting = None;
        }
        let phases = &self.shared.phases;
        // From here on nobody joins, so each phase ends.
        phases.begin(Phase::Stopping);
        self.shared.endpoints.stop();
        phases.done(Phase::Stopping).await;
        if phases.now() < Phase::GivingUp {
            phases.begin(Phase::Draining);
            let drained = timeout(
                self.shared.config.drain_timeout,
                phases.done(Phase::Draining),
            );
            if drained.await.is_err() {
                tracing::warn!("some messages could not be delivered before the drain timeout");
            }
        }
        self.shared.router.stop_lingering();
        phases.begin(Phase::GivingUp);
        self.shared.endpoints.give_up();
        phases.done(Phase::GivingUp).await;
        phases.begin(Phase::Closing);
        self.tasks.close();
        self.tasks.wait().await;
    }
}
