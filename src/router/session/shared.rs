//! The part of a router that all its sessions share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::budget::Budget;
use crate::config::{NameConfig, RouterConfig};
use crate::router::broadcast::Snapshots;
use crate::router::mailbox::QueueRules;
use crate::router::mailbox::queue_state::Capacity;
use crate::router::names::Registry;
use crate::router::services::Services;
use crate::router::store::MessageStore;
use crate::stats::Counters;
use crate::wire::Shapes;
use crate::wire::filter::Pointer;

#[derive(Debug)]
pub(crate) struct RouterShared {
    pub(in crate::router) config: RouterConfig,
    pub(in crate::router) budget: Arc<Budget>,
    pub(in crate::router) registry: Registry,
    pub(in crate::router) snapshots: Arc<Snapshots>,
    pub(in crate::router) services: Services,
    pub(in crate::router) shapes: Shapes,
    pub(in crate::router) counters: Arc<Counters>,
    pub(in crate::router) connections: AtomicU64,
    /// Keeps the messages to durable names. Without it no name is durable.
    pub(in crate::router) store: Option<Arc<dyn MessageStore>>,
}

impl RouterShared {
    pub(in crate::router) fn new(
        config: RouterConfig,
        budget: Arc<Budget>,
        store: Option<Arc<dyn MessageStore>>,
    ) -> Self {
        let counters = Arc::default();
        let shared = Self {
            registry: registry(&config, &budget, &counters, store.as_ref()),
            snapshots: Arc::new(Snapshots::within(&budget)),
            budget,
            services: Services::default(),
            shapes: Shapes::new(config.validation),
            counters,
            connections: AtomicU64::new(0),
            store,
            config,
        };
        for key in &shared.config.snapshot_keys {
            if let Ok(pointer) = Pointer::parse(key) {
                let announce = || shared.registry.hearers.keep(pointer.clone());
                let _ = shared.snapshots.keep(&pointer, announce);
            }
        }
        shared
    }
}

impl RouterShared {
    /// Returns whether the store keeps the messages to a name.
    #[cold]
    pub(in crate::router) fn is_durable(&self, name: &[u8]) -> bool {
        self.store.is_some() && self.config.rules_of(name).durable
    }
}

fn registry(
    config: &RouterConfig,
    budget: &Arc<Budget>,
    counters: &Arc<Counters>,
    store: Option<&Arc<dyn MessageStore>>,
) -> Registry {
    let rules = |own: &NameConfig| QueueRules {
        capacity: Capacity {
            bytes: own.queue_bytes.unwrap_or(config.queue_bytes),
            messages: own.queue_messages.unwrap_or(config.queue_messages),
        },
        overflow: own.overflow,
        durable: own.durable && store.is_some(),
    };
    let by_name = (config.names.iter()).map(|(name, own)| (name.clone(), rules(own)));
    Registry::new(
        rules(&NameConfig::default()),
        by_name.collect(),
        config.linger,
        budget,
        counters,
        store.cloned(),
    )
}
