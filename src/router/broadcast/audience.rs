//! The connections that hear broadcasts: those with a name or a subscription,
//! but for those that want none.
//!
//! An [`Audience`] never changes once it is made, so a sender reads it without a
//! lock and walks no map. The first broadcast after a change makes a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::subscriptions::{Subscription, SubscriptionIndex};
use crate::ids::ConnectionId;
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::wire::filter::Pointer;

/// The connections that hear broadcasts, as of one generation of [`Hearers`].
#[derive(Debug, Default)]
pub(crate) struct Audience {
    generation: u64,
    /// The connections that get every broadcast.
    pub(crate) receivers: Box<[Arc<BroadcastReceiver>]>,
    /// The connections that get matching broadcasts, and the keys of snapshots.
    /// Without either it is `None`, and no value of a message is read.
    pub(crate) index: Option<Box<SubscriptionIndex>>,
}

/// The connections that might hear broadcasts.
#[derive(Debug, Default)]
pub(crate) struct Hearers {
    table: Mutex<Table>,
    /// Counts the changes of the table.
    generation: AtomicU64,
    audience: ArcSwap<Audience>,
}

#[derive(Debug, Default)]
struct Table {
    /// Hearers in a fixed order, so that tests can be repeated.
    members: BTreeMap<ConnectionId, Member>,
    snapshot_keys: Vec<Pointer>,
}

#[derive(Debug)]
struct Member {
    receiver: Arc<BroadcastReceiver>,
    /// The number of names that it owns.
    names: usize,
    subscriptions: Arc<[Arc<Subscription>]>,
    /// Whether it wants no broadcasts, whatever it owns and subscribes to.
    wants_none: bool,
}

impl Member {
    /// Its subscriptions, if it hears anything. None at all mean all broadcasts.
    fn heard(&self) -> Option<Arc<[Arc<Subscription>]>> {
        let hears = !self.wants_none && (self.names > 0 || !self.subscriptions.is_empty());
        hears.then(|| Arc::clone(&self.subscriptions))
    }

    /// Whether it differs in nothing from a connection that is not a member.
    fn is_idle(&self) -> bool {
        self.names == 0 && self.subscriptions.is_empty() && !self.wants_none
    }
}

impl Hearers {
    pub(crate) fn audience(&self) -> Guard<Arc<Audience>> {
        let known = self.audience.load();
        if known.generation == self.generation.load(Ordering::Acquire) {
            return known;
        }
        let table = lock(&self.table);
        let generation = self.generation.load(Ordering::Acquire);
        self.audience.store(Arc::new(table.audience(generation)));
        // Still under the lock: the next change puts an empty audience here, and
        // a broadcast to that one would reach nobody.
        let renewed = self.audience.load();
        drop(table);
        renewed
    }

    pub(crate) fn gained_name(&self, receiver: &Arc<BroadcastReceiver>) {
        self.change(receiver, |member| member.names += 1);
    }

    pub(crate) fn lost_name(&self, id: ConnectionId) {
        let mut table = lock(&self.table);
        self.change_known(&mut table, id, |member| {
            member.names = member.names.saturating_sub(1);
        });
    }

    pub(crate) fn subscribe(
        &self,
        receiver: &Arc<BroadcastReceiver>,
        subscriptions: Arc<[Arc<Subscription>]>,
    ) {
        self.change(receiver, |member| member.subscriptions = subscriptions);
    }

    pub(crate) fn want_none(&self, receiver: &Arc<BroadcastReceiver>, none: bool) {
        self.change(receiver, |member| member.wants_none = none);
    }

    /// Takes everything but its names from `receiver`: each of those is still to
    /// be counted by [`Self::lost_name`].
    pub(crate) fn leave(&self, receiver: &BroadcastReceiver) {
        let mut table = lock(&self.table);
        self.change_known(&mut table, receiver.id(), |member| {
            member.subscriptions = Arc::default();
            member.wants_none = false;
        });
    }

    pub(crate) fn keep(&self, key: Pointer) {
        let mut table = lock(&self.table);
        table.snapshot_keys.push(key);
        self.renew();
    }

    fn change(&self, receiver: &Arc<BroadcastReceiver>, change: impl FnOnce(&mut Member)) {
        receiver.join();
        let mut table = lock(&self.table);
        let new = || Member {
            receiver: Arc::clone(receiver),
            names: 0,
            subscriptions: Arc::default(),
            wants_none: false,
        };
        table.members.entry(receiver.id()).or_insert_with(new);
        self.change_known(&mut table, receiver.id(), change);
    }

    fn change_known(&self, table: &mut Table, id: ConnectionId, change: impl FnOnce(&mut Member)) {
        let Some(member) = table.members.get_mut(&id) else {
            return;
        };
        let before = member.heard();
        change(member);
        let after = member.heard();
        let differs = match (&before, &after) {
            (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
            (None, None) => false,
            _ => true,
        };
        if member.is_idle() {
            table.members.remove(&id);
        }
        if differs {
            self.renew();
        }
    }

    /// Makes the audience outdated. Call it under the table's lock.
    fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        // An outdated audience would hold connections that left in memory until
        // the next broadcast.
        self.audience.store(Arc::default());
    }
}

impl Table {
    fn audience(&self, generation: u64) -> Audience {
        let mut everything = Vec::new();
        let mut subscribers = Vec::new();
        for member in self.members.values() {
            let receiver = &member.receiver;
            match member.heard() {
                // With broadcasts in two queues, the newer might overtake the
                // older. So a connection with a conflated queue keeps to it.
                Some(subscriptions) if !subscriptions.is_empty() || receiver.conflates() => {
                    subscribers.push((Arc::clone(receiver), subscriptions));
                }
                Some(_) => everything.push(Arc::clone(receiver)),
                None => {}
            }
        }
        let index = (!subscribers.is_empty() || !self.snapshot_keys.is_empty())
            .then(|| Box::new(SubscriptionIndex::new(subscribers, &self.snapshot_keys)));
        Audience {
            generation,
            receivers: everything.into(),
            index,
        }
    }
}
