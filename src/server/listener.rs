//! Accepts connections until the server stops. Those beyond the limit are told so,
//! as many as there are slots for; the others wait in the system's queue.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServerShared;
use super::connection::Connection;
use super::descriptors::{self, Spare};
use super::failure::ServerFailure;
use super::pollers::Pollers;
use super::socket;
use crate::limits::{ACCEPT_BACKOFF_FIRST, ACCEPT_BACKOFF_MAX, REFUSAL_HOLD};
use crate::poller::Poller;

/// Accepts the connections of its listeners, and serves or refuses them.
pub(super) struct Acceptor {
    listeners: Vec<TcpListener>,
    /// The listener that is asked first, in turns.
    first: usize,
    shared: Arc<ServerShared>,
    /// Knows the task of each connection.
    tasks: TaskTracker,
    pollers: Arc<Pollers>,
    spare: Spare,
    backoff: Duration,
}

impl Acceptor {
    pub(super) fn new(
        listeners: Vec<TcpListener>,
        shared: Arc<ServerShared>,
        tasks: TaskTracker,
        pollers: Arc<Pollers>,
        spare: Spare,
    ) -> Self {
        Self {
            listeners,
            first: 0,
            shared,
            tasks,
            pollers,
            spare,
            backoff: ACCEPT_BACKOFF_FIRST,
        }
    }

    /// Accepts until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.accept_one()).await.is_some() {
            self.shared.failed.strike(ServerFailure::Accepting);
        }
    }

    /// Accepts one connection, or waits after a failure. May be dropped while it waits.
    async fn accept_one(&mut self) {
        let clock = &self.shared.clock;
        self.shared.slots.room(|| clock.mono()).await;
        match poll_fn(|cx| self.poll_accept(cx)).await {
            Ok(stream) => {
                self.backoff = ACCEPT_BACKOFF_FIRST;
                self.admit(stream);
            }
            // The next one may be accepted at once.
            Err(error) if is_of_the_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                let now = self.shared.clock.mono();
                self.shared.accept_log.failed(now, &error);
                if !(descriptors::are_used_up(&error) && self.refuse_by_spare().await) {
                    self.back_off().await;
                }
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let count = self.listeners.len();
        for offset in 0..count {
            let at = (self.first + offset) % count;
            if let Poll::Ready(accepted) = self.listeners[at].poll_accept(cx) {
                self.first = at + 1;
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    }

    fn admit(&self, stream: TcpStream) {
        let poller = self.pollers.least_connected();
        let set_up = socket::set_up(&stream);
        let stream = match set_up.and_then(|()| Pollers::hand_over(stream, poller)) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection was gone before it was served");
                return;
            }
        };
        let slots = &self.shared.slots;
        let now = self.shared.clock.mono();
        let ending = slots.enter(now);
        let is_refused = ending.is_some();
        let connection = Box::new(Connection::new(stream, Arc::clone(&self.shared), ending));
        if is_refused {
            self.shared.accept_log.refused(now, slots.served_max());
            self.spawn(connection.refuse(), poller);
        } else {
            self.spawn(connection.run(), poller);
        }
    }

    /// Spawns the task of a connection where its socket is.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static, poller: Option<&Poller>) {
        let Some(poller) = poller else {
            self.tasks.spawn(task);
            return;
        };
        let connected = poller.connected();
        let task = async {
            task.await;
            drop(connected);
        };
        self.tasks.spawn_on(task, poller.handle());
    }

    /// Accepts and refuses a connection with the descriptor that is kept for
    /// that, and waits for its end to take that back. Returns whether it could.
    async fn refuse_by_spare(&mut self) -> bool {
        let had_one = self.spare.give_up();
        let accepted = poll_fn(|cx| Poll::Ready(self.poll_accept(cx))).await;
        if let Poll::Ready(Ok(stream)) = accepted {
            let now = self.shared.clock.mono();
            let slots = &self.shared.slots;
            self.shared.accept_log.refused(now, slots.served_max());
            let ending = slots.refuse(now);
            let connection = Connection::new(stream, Arc::clone(&self.shared), Some(ending));
            let _ = timeout(REFUSAL_HOLD, Box::new(connection).refuse()).await;
            self.spare = Spare::take();
            return true;
        }
        self.spare = Spare::take();
        // The system may find no descriptor before it looks whether anybody waits.
        had_one && accepted.is_pending()
    }

    /// Waits until a connection has gone, but not for long: other files may be closed.
    async fn back_off(&mut self) {
        let _ = timeout(self.backoff, self.shared.slots.left.notified()).await;
        self.backoff = (self.backoff * 2).min(ACCEPT_BACKOFF_MAX);
    }
}

/// Returns whether `error` says something of the one connection alone.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
