//! Layer 3: sessions, names, and the way of each message. Synchronous: no socket,
//! no clock, no runtime. The time is an argument ([`Now`]).
//!
//! # The wings
//! Each wing imports only lower ones; from the highest to the lowest:
//!
//! - `session`: one connection's input, answers and output.
//! - `names`: the registry of names, and names without an owner.
//! - `broadcast`: the receivers of broadcasts, their subscriptions and snapshots.
//! - `mailbox`: the queue of one name, its owner or its group, and its delivery.
//! - `connection`: the part of a connection that others reach: waker, reports,
//!   accepted ids.
//!
//! # Driving a session
//! All connections share a [`Router`]; each has a [`Session`]. Dropping the session
//! ends it. About once a second, call [`Router::expire`].
//!
//! ```
//! use bytes::BytesMut;
//! use tickwire::router::{Attention, Now, ReadScratch, Router, RouterConfig};
//! use tickwire::wire::{Message, Order, Side};
//!
//! let router = Router::new(RouterConfig::default());
//! let mut session = router.connect();
//! let mut scratch = ReadScratch::default(); // one a thread is enough
//! let mut input = BytesMut::new();
//! let now = Now::default();
//!
//! // The socket is readable:
//! let order = Order::new("ord-456", "BTCUSDT", Side::Buy, 1);
//! let message = Message::order("quantower-connector", "api-gateway", "run-123", order)?;
//! input.extend_from_slice(&message.to_frame());
//! let step = session.receive(&mut scratch, &mut input, now);
//! assert_eq!(step.consumed, message.to_frame().len());
//! assert!(step.halt.is_none()); // or: wait, write the answers, or close
//!
//! // The waker of `Session::register` was woken, or the socket is writable:
//! assert_eq!(session.handle_reports(now), Attention::Continue);
//! let mut socket = Vec::new();
//! session.transmit(64 * 1024, &mut |slices| {
//!     slices.iter().for_each(|slice| socket.extend_from_slice(slice));
//!     Ok(slices.iter().map(|slice| slice.len()).sum())
//! })?;
//! let answer = String::from_utf8(socket)?;
//! assert!(answer.contains("TARGET_UNAVAILABLE")); // no connection owns `api-gateway`
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod broadcast;
mod connection;
mod mailbox;
mod names;
mod now;
mod services;
mod session;
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only a server has a store")
)]
pub(crate) mod store;

#[cfg(all(test, loom))]
mod models;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

pub use crate::config::{NameConfig, Overflow, RouterConfig};
pub use mailbox::Pause;
pub use mailbox::{Taken, Write};
pub use now::Now;
pub use services::{HEALTH_MONITOR, LOG_AGGREGATOR, Liveness};
pub use session::output::Progress;
pub use session::read::{Gathering, ReadScratch};
pub use session::{Attention, Halt, Session, SessionWaker, Step};

use crate::budget::{self, Budget};
use crate::ids::ConnectionId;
use crate::loss;
use crate::stats::Stats;
use session::shared::RouterShared;
#[cfg(feature = "server")]
use store::MessageStore;

/// Routes messages between the sessions that it opened. A clone is the same router.
#[derive(Debug, Clone)]
pub struct Router(Arc<RouterShared>);

impl Router {
    /// Creates a router without connections.
    #[must_use]
    pub fn new(config: RouterConfig) -> Self {
        let budget = Arc::new(Budget::new(config.memory_max));
        Self(Arc::new(RouterShared::new(config, budget, None)))
    }

    /// Creates a router with a store for its durable names, which counts the memory that
    /// it holds in `budget`.
    #[cfg(feature = "server")]
    pub(crate) fn with_store(
        config: RouterConfig,
        budget: Arc<Budget>,
        store: Option<Arc<dyn MessageStore>>,
    ) -> Self {
        Self(Arc::new(RouterShared::new(config, budget, store)))
    }

    /// Opens the session of a new connection.
    #[must_use]
    pub fn connect(&self) -> Session {
        let id = ConnectionId(self.0.connections.fetch_add(1, Ordering::Relaxed) + 1);
        let opened = Stats {
            connections: 1,
            ..Stats::default()
        };
        self.0.counters.add(id, &opened);
        Session::new(Arc::clone(&self.0), id)
    }

    /// Returns the counts of all sessions so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    /// Returns the number of names that are owned now.
    #[must_use]
    pub fn name_count(&self) -> usize {
        self.0.registry.name_count()
    }

    /// Returns the number of names without an owner for which messages are kept.
    #[must_use]
    pub fn lingering_count(&self) -> usize {
        self.0.registry.lingering_count()
    }

    /// Gives up the messages that have waited for an owner for `linger`. Call it
    /// about once a second: the time counts from the first call after the owner
    /// left.
    pub fn expire(&self, now: Now) {
        self.0.registry.expire(now.mono);
    }

    /// Gives up all messages that wait for an owner, and from now on those of
    /// each owner that leaves.
    pub fn stop_lingering(&self) {
        self.0.registry.stop_lingering();
    }

    /// Counts all queued messages as given up, logs their number for each name,
    /// and returns their sum. Their senders are not told. For a program that ends
    /// without writing them.
    pub fn abandon(&self) -> u64 {
        let mut all = 0;
        for (target, messages) in self.0.registry.queued() {
            let count = messages as u64;
            tracing::warn!(target: loss::TARGET, %target, count, "lost by an end at once");
            all += count;
        }
        let done = Stats {
            given_up: all,
            ..Stats::default()
        };
        self.0.counters.add(ConnectionId(0), &done);
        all
    }

    /// Returns the bytes that are held for all connections together. Each thread
    /// may have up to 64 KiB that are not counted yet.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        let budget = &self.0.budget;
        budget.used(budget::Purpose::Queued) + budget.used(budget::Purpose::Input)
    }

    /// Returns the state of each participant by its heartbeats, sorted by name.
    #[must_use]
    pub fn liveness(&self) -> Vec<Liveness> {
        self.0.services.liveness()
    }

    /// Returns the latest log records as they were sent, oldest first.
    #[must_use]
    pub fn recent_logs(&self) -> Vec<Bytes> {
        self.0.services.recent_logs()
    }
}
