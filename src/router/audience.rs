//! Who hears broadcasts: all who own a name or have a subscription, but those
//! who want none.
//!
//! Kept as an [`Audience`] that never changes once it is made, so that who
//! broadcasts reads it without a lock and walks no map. It is renewed by the
//! first broadcast after a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::peer::{Peer, lock};
use super::subscriptions::{Subscription, SubscriptionIndex};
use crate::ids::ConnectionId;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::wire::filter::Pointer;

/// Those who hear broadcasts, as of one generation.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    generation: u64,
    /// Who gets every broadcast.
    pub(crate) peers: Box<[Arc<Peer>]>,
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
    peer: Arc<Peer>,
    /// How many names it owns.
    names: usize,
    subscriptions: Arc<[Arc<Subscription>]>,
    /// Whether it wants no broadcasts.
    wants_none: bool,
}

impl Member {
    fn new(peer: &Arc<Peer>) -> Self {
        Self {
            peer: Arc::clone(peer),
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

    /// `peer` owns one name more.
    pub(crate) fn gained_name(&self, peer: &Arc<Peer>) {
        self.change(peer, |member| member.names += 1);
    }

    /// `peer` owns one name less.
    pub(crate) fn lost_name(&self, peer: &Peer) {
        let mut table = lock(&self.table);
        self.change_known(&mut table, peer.id(), |member| {
            member.names = member.names.saturating_sub(1);
        });
    }

    /// `peer` has these subscriptions from now on, and no others.
    pub(crate) fn subscribe(&self, peer: &Arc<Peer>, subscriptions: Arc<[Arc<Subscription>]>) {
        self.change(peer, |member| member.subscriptions = subscriptions);
    }

    /// Whether `peer` wants no broadcasts from now on, whatever it owns and
    /// subscribes to.
    pub(crate) fn want_none(&self, peer: &Arc<Peer>, none: bool) {
        self.change(peer, |member| member.wants_none = none);
    }

    /// `peer` hears nothing more. The names that it has lost are still to be
    /// counted.
    pub(crate) fn leave(&self, peer: &Peer) {
        let mut table = lock(&self.table);
        self.change_known(&mut table, peer.id(), |member| {
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

    fn change(&self, peer: &Arc<Peer>, change: impl FnOnce(&mut Member)) {
        peer.count_broadcasts();
        let mut table = lock(&self.table);
        let new = || Member::new(peer);
        table.members.entry(peer.id()).or_insert_with(new);
        self.change_known(&mut table, peer.id(), change);
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
            let peer = &member.peer;
            match member.hearing() {
                // What was put into a conflating lane must not be overtaken by
                // what is put into the plain one, so who has such a lane keeps
                // to it.
                Some(subscriptions) if !subscriptions.is_empty() || peer.conflates() => {
                    choosers.push((Arc::clone(peer), subscriptions));
                }
                Some(_) => everything.push(Arc::clone(peer)),
                None => {}
            }
        }
        let index = (!choosers.is_empty() || !self.kept.is_empty())
            .then(|| Box::new(SubscriptionIndex::new(choosers, &self.kept)));
        Audience {
            generation,
            peers: everything.into(),
            index,
        }
    }
}
