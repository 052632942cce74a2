//! Who hears broadcasts: all who own a name or have a subscription, but those
//! who want none.
//!
//! Kept as an [`Audience`] that never changes once it is made, so that who
//! broadcasts reads it without a lock and walks no map. It is renewed by the
//! first broadcast after a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::subscriptions::{Subscription, SubscriptionIndex};
use crate::ids::ConnectionId;
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::sync::lock;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::wire::filter::Pointer;

/// Those who hear broadcasts, as of one generation.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    generation: u64,
    /// Who gets every broadcast.
    pub(crate) receivers: Box<[Arc<BroadcastReceiver>]>,
    /// Who gets what matches, and what is kept of each message; `None` while
    /// nobody has a subscription and nothing is kept: then no message is looked
    /// into.
    pub(crate) index: Option<Box<SubscriptionIndex>>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Members {
    table: Mutex<Table>,
    /// Counts the changes of the table.
    generation: AtomicU64,
    audience: ArcSwap<Audience>,
}

#[derive(Debug, Default)]
struct Table {
    /// In an order that doesn't vary, so that tests can be repeated.
    members: BTreeMap<ConnectionId, Member>,
    /// The pointers by whose values the last broadcasts are kept.
    kept: Vec<Pointer>,
}

#[derive(Debug)]
struct Member {
    receiver: Arc<BroadcastReceiver>,
    /// How many names it owns.
    names: usize,
    subscriptions: Arc<[Arc<Subscription>]>,
    /// Whether it wants no broadcasts.
    wants_none: bool,
}

impl Member {
    fn new(receiver: &Arc<BroadcastReceiver>) -> Self {
        Self {
            receiver: Arc::clone(receiver),
            names: 0,
            subscriptions: Arc::default(),
            wants_none: false,
        }
    }

    /// What it has subscribed to, if it hears anything; nothing stands for
    /// everything.
    fn hearing(&self) -> Option<Arc<[Arc<Subscription>]>> {
        let hears = !self.wants_none && (self.names > 0 || !self.subscriptions.is_empty());
        hears.then(|| Arc::clone(&self.subscriptions))
    }

    /// Whether nothing is to be remembered of it.
    fn is_idle(&self) -> bool {
        self.names == 0 && self.subscriptions.is_empty() && !self.wants_none
    }
}

impl Members {
    /// Those who hear broadcasts now.
    pub(crate) fn audience(&self) -> Guard<Arc<Audience>> {
        let known = self.audience.load();
        if known.generation == self.generation.load(Ordering::Acquire) {
            return known;
        }
        let table = lock(&self.table);
        let generation = self.generation.load(Ordering::Acquire);
        self.audience.store(Arc::new(table.audience(generation)));
        // Still under the lock: whoever comes or goes next puts an empty
        // audience here, and a broadcast to that one would reach nobody.
        let renewed = self.audience.load();
        drop(table);
        renewed
    }

    /// `receiver` owns one name more.
    pub(crate) fn gained_name(&self, receiver: &Arc<BroadcastReceiver>) {
        self.change(receiver, |member| member.names += 1);
    }

    /// The connection owns one name less.
    pub(crate) fn lost_name(&self, id: ConnectionId) {
        let mut table = lock(&self.table);
        self.change_known(&mut table, id, |member| {
            member.names = member.names.saturating_sub(1);
        });
    }

    /// `receiver` has these subscriptions from now on, and no others.
    pub(crate) fn subscribe(
        &self,
        receiver: &Arc<BroadcastReceiver>,
        subscriptions: Arc<[Arc<Subscription>]>,
    ) {
        self.change(receiver, |member| member.subscriptions = subscriptions);
    }

    /// Whether `receiver` wants no broadcasts from now on, whatever it owns and
    /// subscribes to.
    pub(crate) fn want_none(&self, receiver: &Arc<BroadcastReceiver>, none: bool) {
        self.change(receiver, |member| member.wants_none = none);
    }

    /// `receiver` hears nothing more. The names that it has lost are still to be
    /// counted.
    pub(crate) fn leave(&self, receiver: &BroadcastReceiver) {
        let mut table = lock(&self.table);
        self.change_known(&mut table, receiver.id(), |member| {
            member.subscriptions = Arc::default();
            member.wants_none = false;
        });
    }

    /// From now on the last broadcast for each value of `pointer` is kept.
    pub(crate) fn keep(&self, pointer: Pointer) {
        let mut table = lock(&self.table);
        table.kept.push(pointer);
        self.renew();
    }

    fn change(&self, receiver: &Arc<BroadcastReceiver>, change: impl FnOnce(&mut Member)) {
        receiver.join();
        let mut table = lock(&self.table);
        let new = || Member::new(receiver);
        table.members.entry(receiver.id()).or_insert_with(new);
        self.change_known(&mut table, receiver.id(), change);
    }

    fn change_known(&self, table: &mut Table, id: ConnectionId, change: impl FnOnce(&mut Member)) {
        let Some(member) = table.members.get_mut(&id) else {
            return;
        };
        let before = member.hearing();
        change(member);
        let after = member.hearing();
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

    /// To be called under the table's lock.
    fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        // An outdated audience would keep those who left in memory until the
        // next broadcast.
        self.audience.store(Arc::default());
    }
}

impl Table {
    fn audience(&self, generation: u64) -> Audience {
        let mut everything = Vec::new();
        let mut choosers = Vec::new();
        for member in self.members.values() {
            let receiver = &member.receiver;
            match member.hearing() {
                // What was put into a conflating lane must not be overtaken by
                // what is put into the plain one, so who has such a lane keeps
                // to it.
                Some(subscriptions) if !subscriptions.is_empty() || receiver.conflates() => {
                    choosers.push((Arc::clone(receiver), subscriptions));
                }
                Some(_) => everything.push(Arc::clone(receiver)),
                None => {}
            }
        }
        let index = (!choosers.is_empty() || !self.kept.is_empty())
            .then(|| Box::new(SubscriptionIndex::new(choosers, &self.kept)));
        Audience {
            generation,
            receivers: everything.into(),
            index,
        }
    }
}
