//! Who owns which name, and who hears broadcasts.
//!
//! Asked only when a session meets a target that it has not resolved yet; what
//! it then keeps (the outbox) tells by itself when it is no longer valid.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::outbox::Outbox;
use super::peer::{Peer, lock};
use super::queue::Capacity;
use crate::ids::{ConnectionId, Epoch, Name};

/// The right to receive what is addressed to a name, until somebody takes it
/// over.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) epoch: Epoch,
}

impl Claim {
    pub(crate) fn name(&self) -> &Name {
        self.outbox.name()
    }

    /// Whether the name was not taken over since.
    pub(crate) fn is_current(&self) -> bool {
        self.outbox.is_owned_at(self.epoch)
    }
}

/// Those who hear broadcasts, as of one generation.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    generation: u64,
    pub(crate) peers: Box<[Arc<Peer>]>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Registry {
    names: DashMap<Name, Arc<Outbox>>,
    /// Counts the names that came and went, so that a session can tell whether
    /// what it knows of absent names still holds.
    generation: AtomicU64,
    members: Mutex<HashMap<ConnectionId, Arc<Peer>>>,
    members_generation: AtomicU64,
    audience: ArcSwap<Audience>,
    capacity: Capacity,
}

impl Registry {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            names: DashMap::new(),
            generation: AtomicU64::new(0),
            members: Mutex::default(),
            members_generation: AtomicU64::new(0),
            audience: ArcSwap::default(),
            capacity,
        }
    }

    /// The outbox of a name that somebody owns.
    pub(crate) fn lookup(&self, name: &[u8]) -> Option<Arc<Outbox>> {
        self.names.get(name).map(|outbox| Arc::clone(&outbox))
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many names are owned.
    pub(crate) fn name_count(&self) -> usize {
        self.names.len()
    }

    /// Claims a name unless somebody owns it.
    pub(crate) fn claim_if_free(&self, name: &Name, peer: &Arc<Peer>) -> Option<Claim> {
        if self.names.contains_key(name.as_bytes()) {
            return None;
        }
        match self.names.entry(name.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                let (outbox, epoch) = Outbox::new(name.clone(), self.capacity, peer);
                let outbox = Arc::clone(&vacant.insert(Arc::new(outbox)));
                self.generation.fetch_add(1, Ordering::AcqRel);
                self.gained(peer);
                Some(Claim { outbox, epoch })
            }
        }
    }

    /// Claims a name, from whoever owns it.
    pub(crate) fn claim(&self, name: &Name, peer: &Arc<Peer>) -> Claim {
        loop {
            if let Some(claim) = self.claim_if_free(name, peer) {
                return claim;
            }
            // Somebody owns it, or did a moment ago.
            let Some(owned) = self.names.get(name.as_bytes()) else {
                continue;
            };
            // The guard holds off the end of the outbox, which begins with its
            // removal from this map.
            let (epoch, old) = owned.take_over(peer);
            let outbox = Arc::clone(&owned);
            drop(owned);
            self.gained(peer);
            if let Some(old) = old {
                self.lost(&old);
            }
            return Claim { outbox, epoch };
        }
    }

    /// Gives a name up, unless it was taken over. What is still queued for it
    /// is reported to those who sent it.
    pub(crate) fn release(&self, claim: &Claim, peer: &Arc<Peer>) {
        let removed = self.names.remove_if(claim.name().as_bytes(), |_, outbox| {
            Arc::ptr_eq(outbox, &claim.outbox) && claim.is_current()
        });
        if let Some((_, outbox)) = removed {
            self.generation.fetch_add(1, Ordering::AcqRel);
            outbox.close();
            self.lost(peer);
        }
    }

    /// Those who hear broadcasts now.
    pub(crate) fn audience(&self) -> Guard<Arc<Audience>> {
        let known = self.audience.load();
        if known.generation == self.members_generation.load(Ordering::Acquire) {
            return known;
        }
        let members = lock(&self.members);
        let renewed = Audience {
            generation: self.members_generation.load(Ordering::Acquire),
            peers: members.values().cloned().collect(),
        };
        self.audience.store(Arc::new(renewed));
        // Still under the lock: whoever comes or goes next puts an empty
        // audience here, and a broadcast to that one would reach nobody.
        let renewed = self.audience.load();
        drop(members);
        renewed
    }

    fn gained(&self, peer: &Arc<Peer>) {
        let mut members = lock(&self.members);
        if peer.owned.fetch_add(1, Ordering::AcqRel) == 0 {
            members.insert(peer.id(), Arc::clone(peer));
            self.members_changed();
        }
    }

    fn lost(&self, peer: &Peer) {
        let mut members = lock(&self.members);
        if peer.owned.fetch_sub(1, Ordering::AcqRel) == 1 {
            members.remove(&peer.id());
            self.members_changed();
        }
    }

    /// To be called under the members' lock.
    fn members_changed(&self) {
        self.members_generation.fetch_add(1, Ordering::AcqRel);
        // An outdated audience would keep those who left in memory until the
        // next broadcast.
        self.audience.store(Arc::default());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    const CAPACITY: Capacity = Capacity {
        bytes: 1_000,
        messages: 16,
    };

    fn peer(id: u64) -> Arc<Peer> {
        Arc::new(Peer::new(ConnectionId(id)))
    }

    #[test]
    fn nobody_is_missing_from_the_audience_while_others_come_and_go() {
        let registry = Registry::new(CAPACITY);
        let stays = Name::new("stays").unwrap();
        registry.claim(&stays, &peer(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for id in 1..4 {
                let (registry, done) = (&registry, &done);
                scope.spawn(move || {
                    let comes = Name::new(format!("comes {id}")).unwrap();
                    let peer = peer(id);
                    while !done.load(Ordering::Relaxed) {
                        let claim = registry.claim(&comes, &peer);
                        registry.release(&claim, &peer);
                    }
                });
            }
            for _ in 0..100_000 {
                let audience = registry.audience();
                let found = audience.peers.iter().any(|peer| peer.id().0 == 0);
                if !found {
                    done.store(true, Ordering::Relaxed);
                }
                assert!(found, "a broadcast would have missed it");
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
