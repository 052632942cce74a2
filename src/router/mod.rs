//! Floor 2: who is connected, who owns which name, and where each message
//! goes. Synchronous: no socket, no clock, no runtime.
//!
//! A [`Router`] is shared by all connections. Each connection has a
//! [`Session`]: feed it what arrives with [`Session::receive`], write what
//! [`Session::transmit`] offers, call [`Session::attend`] when it was woken;
//! dropping it ends it. Call [`Router::tend`] now and then. Time is an argument
//! ([`Now`]).

mod answers;
mod audience;
mod broadcasting;
mod budget;
mod claim;
mod conflation;
mod delivery;
mod forward;
mod gap;
mod given_up;
mod group;
mod hello;
mod in_flight;
mod lanes;
mod learning;
mod lingering;
mod load;
mod memory;
mod names;
mod now;
mod outbox;
mod output;
mod parts;
mod pause;
mod peer;
mod queue;
mod registry;
mod reports;
mod resume;
mod routes;
mod run;
mod run_bytes;
mod selective;
mod services;
mod session;
mod settle;
mod shares;
mod snapshots;
mod stalls;
mod subscribing;
mod subscriptions;
mod waiters;
mod window;

#[cfg(all(test, loom))]
mod models;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub use crate::config::{NameConfig, Overflow, RouterConfig};
pub use in_flight::Write;
pub use now::Now;
pub use output::Progress;
pub use pause::Pause;
pub use run::Workspace;
pub use services::{HEALTH_MONITOR, LOG_AGGREGATOR, Liveness};
pub use session::{Alarm, Attention, Halt, Session, Step};

use crate::ids::ConnectionId;
use crate::loss;
use crate::stats::{Counters, Stats};
use crate::wire::Shapes;
use crate::wire::filter::Pointer;
use budget::Budget;
use load::Capacity;
use outbox::QueueRules;
use registry::Registry;
use services::Services;
use snapshots::Snapshots;

impl RouterConfig {
    fn capacity(&self) -> Capacity {
        Capacity {
            bytes: self.queue_bytes,
            messages: self.queue_messages,
        }
    }

    fn registry(&self, budget: &Arc<Budget>, counters: &Arc<Counters>) -> Registry {
        let rules = |own: &NameConfig| QueueRules {
            capacity: Capacity {
                bytes: own.queue_bytes.unwrap_or(self.queue_bytes),
                messages: own.queue_messages.unwrap_or(self.queue_messages),
            },
            overflow: own.overflow,
        };
        let by_name = (self.names.iter()).map(|(name, own)| (name.clone(), rules(own)));
        Registry::new(
            rules(&NameConfig::default()),
            by_name.collect(),
            self.linger,
            budget,
            counters,
        )
    }
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct RouterShared {
    config: RouterConfig,
    budget: Arc<Budget>,
    registry: Registry,
    snapshots: Arc<Snapshots>,
    services: Services,
    shapes: Shapes,
    counters: Arc<Counters>,
    connections: AtomicU64,
}

impl RouterShared {
    /// Keeps snapshots by the keys that are configured.
    fn keep_snapshots(&self) {
        for key in &self.config.snapshot_keys {
            if let Ok(pointer) = Pointer::parse(key) {
                let announce = || self.registry.members.keep(pointer.clone());
                let _ = self.snapshots.keep(&pointer, announce);
            }
        }
    }
}

/// Routes messages between the sessions that it opened. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Router(Arc<RouterShared>);

impl Router {
    /// A router that nobody is connected to yet.
    #[must_use]
    pub fn new(config: RouterConfig) -> Self {
        let counters = Arc::default();
        let budget = Arc::new(Budget::new(config.memory_max));
        let router = Self(Arc::new(RouterShared {
            registry: config.registry(&budget, &counters),
            snapshots: Arc::new(Snapshots::within(&budget)),
            budget,
            services: Services::default(),
            shapes: Shapes::new(config.validation),
            counters,
            connections: AtomicU64::new(0),
            config,
        }));
        router.0.keep_snapshots();
        router
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
    pub fn tend(&self, now: Now) {
        self.0.registry.tend(now.mono);
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
        budget.used(budget::Of::Queued) + budget.used(budget::Of::Input)
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
