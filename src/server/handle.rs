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

use super::descriptors::{self, Spare};
use super::endpoint::{self, AttachError, EndpointReceiver, EndpointSender};
use super::failure::{self, ServerFailure};
use super::listener::Acceptor;
use super::phase::Phase;
use super::pollers::Pollers;
use super::repeated::Repeated;
use super::{ServerConfig, ServerShared, StartError, binding};
use crate::ids::Name;
use crate::limits::TEND_INTERVAL;
use crate::loss;
use crate::router::Liveness;
use crate::stats::Stats;

/// A running server. Cloning shares it; the server runs until
/// [`shutdown`](ServerHandle::shutdown) or the end of its runtime.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    /// At least one.
    local_addrs: Arc<[SocketAddr]>,
    shared: Arc<ServerShared>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled when the shutdown is over.
    stopped: CancellationToken,
    /// Whoever shuts down holds the lock; others wait for it.
    accepting: Arc<Mutex<Option<JoinHandle<()>>>>,
}

pub(super) async fn start(config: ServerConfig) -> Result<ServerHandle, StartError> {
    config.validate()?;
    let listeners = binding::bind(&config.listen).await?;
    let local_addrs: Result<_, _> = listeners.iter().map(TcpListener::local_addr).collect();
    let local_addrs = local_addrs.map_err(|source| StartError::Listen {
        address: config.listen.join(", "),
        source,
    })?;
    let count = config.busy_poll;
    let pollers = Pollers::start(count).map_err(|source| StartError::Poll { count, source })?;
    let pollers = Arc::new(pollers);
    let spare = Spare::take();
    let slots = descriptors::slots(config.connections_max);
    let shared = Arc::new(ServerShared::new(config, slots)?);
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let stopped = CancellationToken::new();
    // They end with the server, or with the runtime that it was started on.
    tokio::spawn({
        let (pollers, stopped) = (Arc::clone(&pollers), stopped.clone());
        async move {
            stopped.cancelled().await;
            drop(pollers);
        }
    });
    let acceptor = Acceptor::new(
        listeners,
        Arc::clone(&shared),
        tasks.clone(),
        pollers,
        spare,
    );
    let accepting = acceptor.run(stop.clone());
    let accepting = failure::watch(shared.clone(), ServerFailure::Accepting, accepting);
    let accepting = tokio::spawn(accepting);
    let tending = tend(shared.clone(), stop.clone());
    tasks.spawn(failure::watch(
        shared.clone(),
        ServerFailure::Tending,
        tending,
    ));
    Ok(ServerHandle {
        local_addrs,
        shared,
        tasks,
        stop,
        stopped,
        accepting: Arc::new(Mutex::new(Some(accepting))),
    })
}

/// Gives up messages that waited for too long, and logs sums, until the server stops.
async fn tend(shared: Arc<ServerShared>, stop: CancellationToken) {
    let mut ticks = interval(TEND_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        shared.failed.strike(ServerFailure::Tending);
        let now = shared.clock.now();
        shared.router.expire(now);
        shared.accept_log.write(now.mono, Repeated::due);
    }
}

impl ServerHandle {
    /// The first address that the server listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addrs[0]
    }

    /// All addresses that the server listens on, in the order of its settings.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Waits until a task that the server can't live without has ended by a panic, and
    /// never returns otherwise, not even when the server is stopped. Then [shut the
    /// server down](ServerHandle::shutdown), which still serves its connections.
    pub async fn failed(&self) -> ServerFailure {
        self.shared.failed.wait().await
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.router.stats()
    }

    /// Returns how many names are owned now.
    #[must_use]
    pub fn name_count(&self) -> usize {
        self.shared.router.name_count()
    }

    /// Bytes of `memory_max` that are held, give or take 64 KiB for each thread.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.shared.router.memory_used()
    }

    /// The state of each participant according to its heartbeats, by name.
    #[must_use]
    pub fn liveness(&self) -> Vec<Liveness> {
        self.shared.router.liveness()
    }

    /// The latest log records as they were sent, oldest first.
    #[must_use]
    pub fn recent_logs(&self) -> Vec<Bytes> {
        self.shared.router.recent_logs()
    }

    /// Joins the server from inside the process, without TCP, as `name`, which is taken
    /// over from its owner. All is checked, routed and answered as over TCP.
    ///
    /// # Errors
    /// `name` is no name, the server's own or a group's, or the server is stopping.
    pub fn attach(
        &self,
        name: impl AsRef<str>,
    ) -> Result<(EndpointSender, EndpointReceiver), AttachError> {
        endpoint::attach(&self.shared, Name::new(name)?)
    }

    /// Logs the loss of the queued messages by name, and returns their number: for a
    /// program that ends without [`shutdown`](Self::shutdown). See [`loss`].
    pub fn abandon(&self) -> u64 {
        self.shared.router.abandon()
    }

    /// Stops accepting, writes the queued messages (for `drain_timeout` at most), tells
    /// every peer `SERVER_SHUTTING_DOWN`, and closes all connections. Another call
    /// waits for the same, or goes on where a dropped one left off.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let mut accepting = self.accepting.lock().await;
        if let Some(task) = accepting.as_mut() {
            if let Err(error) = task.await {
                tracing::error!(%error, "the accepting task failed");
            }
            *accepting = None;
        }
        self.shared.slots.stop_hurrying();
        let now = self.shared.clock.mono();
        self.shared.accept_log.write(now, Repeated::sum);
        let phases = &self.shared.phases;
        // From here on nobody joins, so each phase ends.
        phases.begin(Phase::Stopping);
        self.shared.endpoints.stop();
        phases.done(Phase::Stopping).await;
        if phases.now() < Phase::GivingUp {
            phases.begin(Phase::Draining);
            self.shared.endpoints.begin_draining();
            let drained = timeout(
                self.shared.config.drain_timeout,
                phases.done(Phase::Draining),
            );
            if drained.await.is_err() {
                // Their number and names are logged when they are given up.
                tracing::warn!(
                    target: loss::TARGET,
                    "some messages could not be delivered before the drain timeout"
                );
            }
        }
        self.shared.router.stop_lingering();
        phases.begin(Phase::GivingUp);
        self.shared.endpoints.give_up();
        phases.done(Phase::GivingUp).await;
        phases.begin(Phase::Closing);
        self.tasks.close();
        self.tasks.wait().await;
        #[cfg(unix)]
        self.shared.stop_store().await;
        self.stopped.cancel();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    async fn local_server() -> ServerHandle {
        let config = ServerConfig {
            listen: vec!["127.0.0.1:0".to_owned()],
            ..ServerConfig::default()
        };
        start(config).await.expect("a server on a free port starts")
    }

    #[tokio::test]
    async fn the_end_of_accepting_is_told() {
        let server = local_server().await;
        let failure = tokio::spawn({
            let server = server.clone();
            async move { server.failed().await }
        });
        server.shared.failed.inject(ServerFailure::Accepting);
        assert!(!failure.is_finished());
        let connected = TcpStream::connect(server.local_addr()).await;
        assert_eq!(failure.await.unwrap(), ServerFailure::Accepting);
        // Whoever asks later is told as well, and the server can be stopped.
        assert_eq!(server.failed().await, ServerFailure::Accepting);
        drop(connected);
        server.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_tending_is_told() {
        let server = local_server().await;
        server.shared.failed.inject(ServerFailure::Tending);
        assert_eq!(server.failed().await, ServerFailure::Tending);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_server_that_stops_has_not_failed() {
        let server = local_server().await;
        server.shutdown().await;
        let failed = std::pin::pin!(server.failed());
        let waker = std::task::Waker::noop();
        let polled = failed.poll(&mut std::task::Context::from_waker(waker));
        assert!(polled.is_pending());
    }
}
