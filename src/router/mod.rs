//! Layer 3: the connections, the owners of names, and the way of each message.
//! Synchronous: no socket, no clock, no runtime.
//!
//! A [`Router`] is shared by all connections. Each connection has a
//! [`Session`]: feed it what arrives with [`Session::receive`], write what
//! [`Session::transmit`] offers, call [`Session::handle_reports`] when it was woken;
//! dropping it ends it. Call [`Router::expire`] now and then. Time is an argument
//! ([`Now`]).

mod broadcast;
mod connection;
mod mailbox;
mod names;
mod now;
mod services;
mod session;

#[cfg(all(test, loom))]
mod models;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

pub use crate::config::{NameConfig, Overflow, RouterConfig};
pub use mailbox::Pause;
pub use mailbox::Write;
pub use now::Now;
pub use services::{HEALTH_MONITOR, LOG_AGGREGATOR, Liveness};
pub use session::output::Progress;
pub use session::run::{Gathering, ReadScratch};
pub use session::{Attention, Halt, Session, SessionWaker, Step};

use crate::budget;
use crate::ids::ConnectionId;
use crate::loss;
use crate::stats::Stats;
use session::shared::RouterShared;

/// Routes messages between the sessions that it opened. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Router(Arc<RouterShared>);

impl Router {
    /// A router that nobody is connected to yet.
    #[must_use]
    pub fn new(config: RouterConfig) -> Self {
        Self(Arc::new(RouterShared::new(config)))
    }

    /// Opens the session of a new connection.
    #[must_use]
    pub fn connect(&self) -> Session {
        let id = self.0.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let id = ConnectionId(id);
        let opened = Stats {
            connections: 1,
            ..Stats::default()
        };
        self.0.counters.add(id, &opened);
        Session::new(Arc::clone(&self.0), id)
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    /// How many names are owned now.
    #[must_use]
    pub fn name_count(&self) -> usize {
        self.0.registry.name_count()
    }

    /// For how many names without an owner something is kept.
    #[must_use]
    pub fn lingering_count(&self) -> usize {
        self.0.registry.lingering_count()
    }

    /// Gives up what has waited for an owner for `linger`. To be called about
    /// once a second: the time counts from the first call after the owner left.
    pub fn expire(&self, now: Now) {
        self.0.registry.expire(now.mono);
    }

    /// Gives up all that waits for an owner, and from now on whatever is queued
    /// for a name whose owner leaves.
    pub fn stop_lingering(&self) {
        self.0.registry.stop_lingering();
    }

    /// Says in the log, for each name, that what is queued for it is lost, and
    /// counts it as given up. Nobody else is told. Returns how many messages that
    /// is. For a program that ends without writing them.
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

    /// Bytes that are held for all peers together, give or take what each thread
    /// has not told yet (64 KiB at most).
    #[must_use]
    pub fn memory_used(&self) -> usize {
        let budget = &self.0.budget;
        budget.used(budget::Purpose::Queued) + budget.used(budget::Purpose::Input)
    }

    /// What heartbeats tell of each participant, by name.
    #[must_use]
    pub fn liveness(&self) -> Vec<Liveness> {
        self.0.services.liveness()
    }

    /// The latest log records as they were sent, oldest first.
    #[must_use]
    pub fn recent_logs(&self) -> Vec<Bytes> {
        self.0.services.recent_logs()
    }
}
