//! The names with their mailboxes and owners.
//!
//! A session looks a target up once, and keeps the mailbox. A mailbox without an owner
//! refuses reservations, and the session looks the name up again.
//!
//! A change of owners holds the lock of [`Lingering`], so that these changes come
//! one after the other. Messages never wait for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::lingering::Lingering;
use crate::budget::Budget;
use crate::config::longest_pattern;
use crate::ids::Name;
use crate::router::broadcast::{BroadcastReceiver, Hearers};
use crate::router::mailbox::{Claim, Excluded, Mailbox, Ownership, QueueRules};
use crate::router::services::Services;
use crate::router::store::{MessageStore, Outlet};
use crate::stats::Counters;
use crate::sync::{Mutex, lock};

#[derive(Debug)]
pub(crate) struct Registry {
    /// The mailboxes of names that are owned or linger.
    names: DashMap<Name, Arc<Mailbox>>,
    lingering: Mutex<Lingering>,
    /// The number of owned names.
    owned: AtomicUsize,
    /// The number of names that came and went. A session checks by it that a name
    /// is still absent.
    generation: AtomicU64,
    /// The connections that may hear broadcasts.
    pub(crate) hearers: Hearers,
    rules: QueueRules,
    /// The rules of names, and of patterns of names, that have their own.
    rules_by_name: HashMap<Name, QueueRules>,
    budget: Arc<Budget>,
    counters: Arc<Counters>,
    /// Delivers to the owners of durable names.
    store: Option<Arc<dyn MessageStore>>,
}

impl Registry {
    /// Makes an empty registry. A mailbox waits for `linger` after its owner left.
    pub(crate) fn new(
        rules: QueueRules,
        rules_by_name: HashMap<Name, QueueRules>,
        linger: Duration,
        budget: &Arc<Budget>,
        counters: &Arc<Counters>,
        store: Option<Arc<dyn MessageStore>>,
    ) -> Self {
        Self {
            names: DashMap::new(),
            lingering: Mutex::new(Lingering::new(linger, budget)),
            owned: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            hearers: Hearers::default(),
            rules,
            rules_by_name,
            budget: Arc::clone(budget),
            counters: Arc::clone(counters),
            store,
        }
    }

    /// The mailbox of a name that is owned.
    pub(crate) fn lookup(&self, name: &[u8]) -> Option<Arc<Mailbox>> {
        let mailbox = self.names.get(name)?;
        (!mailbox.is_lingering()).then(|| Arc::clone(&mailbox))
    }

    /// The mailbox of a name that is owned or lingers.
    #[cfg(test)]
    pub(crate) fn kept(&self, name: &[u8]) -> Option<Arc<Mailbox>> {
        self.names.get(name).map(|mailbox| Arc::clone(&mailbox))
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn name_count(&self) -> usize {
        self.owned.load(Ordering::Relaxed)
    }

    pub(crate) fn lingering_count(&self) -> usize {
        lock(&self.lingering).count()
    }

    /// Claims a name unless it is owned.
    pub(crate) fn claim_if_free(
        &self,
        name: &Name,
        receiver: &Arc<BroadcastReceiver>,
    ) -> Option<Claim> {
        if self.lookup(name.as_bytes()).is_some() {
            return None;
        }
        let mut lingering = lock(&self.lingering);
        if self.lookup(name.as_bytes()).is_some() {
            return None;
        }
        Some(self.claim(&mut lingering, name, receiver, &Ownership::Sole))
    }

    /// Makes exactly `names` the names of `receiver`, taken over from other owners
    /// if need be; if it `yields`, not from those that were made later. `claims` are its
    /// claims, before and after. All names are claimed, or nothing changes.
    ///
    /// # Errors
    /// The index of a name that can't be owned in this way, and the reason.
    pub(crate) fn own_exactly(
        &self,
        claims: &mut Vec<Claim>,
        names: &[Name],
        receiver: &Arc<BroadcastReceiver>,
        ownership: &Ownership,
        yields: bool,
    ) -> Result<(), (usize, Excluded)> {
        let mut lingering = lock(&self.lingering);
        let shares = *ownership != Ownership::Sole;
        for (index, name) in names.iter().enumerate() {
            if shares && self.rules_of(name).durable {
                return Err((index, Excluded::Durable));
            }
            if let Some(mailbox) = self.names.get(name.as_bytes()) {
                let checked = mailbox.check(&receiver.handle, ownership, yields);
                checked.map_err(|why| (index, why))?;
            }
        }
        let (mut kept, given_up): (Vec<_>, Vec<_>) =
            std::mem::take(claims).into_iter().partition(|claim| {
                names.contains(claim.name()) && claim.is_current() && claim.is(ownership)
            });
        // A name that changes from sole to shared, or back, is given up first.
        let (again, others): (Vec<_>, Vec<_>) =
            (given_up.into_iter()).partition(|claim| names.contains(claim.name()));
        for claim in &again {
            self.give_up(&mut lingering, claim, receiver);
        }
        for name in names {
            let known = kept.iter().position(|claim| claim.name() == name);
            let claim = match known {
                Some(index) => kept.swap_remove(index),
                None => self.claim(&mut lingering, name, receiver, ownership),
            };
            claims.push(claim);
        }
        for claim in &others {
            // The accepted ids go with the connection.
            claim.mailbox.drop_accepted_ids(claim.epoch);
            self.give_up(&mut lingering, claim, receiver);
        }
        Ok(())
    }

    /// Claims a name that `ownership` was checked for.
    fn claim(
        &self,
        lingering: &mut Lingering,
        name: &Name,
        receiver: &Arc<BroadcastReceiver>,
        ownership: &Ownership,
    ) -> Claim {
        let known = self.names.get(name.as_bytes());
        let known = known.map(|known| Arc::clone(&known));
        let mailbox = known.unwrap_or_else(|| {
            let rules = self.rules_of(name);
            let counters = Arc::clone(&self.counters);
            let mailbox = Mailbox::new(name.clone(), rules, &self.budget, counters);
            let mailbox = Arc::new(mailbox);
            self.names.insert(name.clone(), Arc::clone(&mailbox));
            mailbox
        });
        let was_free = mailbox.is_lingering();
        let (epoch, membership) = match ownership {
            Ownership::Sole => {
                let (epoch, old) = mailbox.take_over(&receiver.handle);
                if let Some(old) = old {
                    old.discharge(&mailbox.charge());
                    self.hearers.lost_name(old.id());
                }
                receiver.handle.charge(mailbox.charge());
                if let Some(store) = self.store.as_ref().filter(|_| mailbox.is_durable()) {
                    store.deliver_to(Outlet::new(&mailbox, epoch));
                }
                (epoch, None)
            }
            Ownership::Group { key } => {
                let (epoch, membership) = mailbox.join(&receiver.handle, key.as_ref());
                (epoch, Some(membership))
            }
        };
        self.hearers.gained_name(receiver);
        if was_free {
            lingering.remove(name);
            self.owned.fetch_add(1, Ordering::Relaxed);
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        Claim {
            mailbox,
            epoch,
            membership,
        }
    }

    fn rules_of(&self, name: &Name) -> QueueRules {
        let own = self.rules_by_name.get(name);
        let own = own.or_else(|| longest_pattern(&self.rules_by_name, name.as_bytes()));
        let rules = *own.unwrap_or(&self.rules);
        let durable = rules.durable && !Services::serves(name.as_bytes());
        QueueRules { durable, ..rules }
    }

    /// Gives a name up, unless it was taken over. Messages that are still queued
    /// go to the other members of its group, or linger.
    pub(crate) fn release(&self, claim: &Claim, receiver: &Arc<BroadcastReceiver>) {
        self.give_up(&mut lock(&self.lingering), claim, receiver);
    }

    fn give_up(&self, lingering: &mut Lingering, claim: &Claim, receiver: &BroadcastReceiver) {
        if !claim.is_current() {
            return;
        }
        let mailbox = &claim.mailbox;
        receiver.handle.discharge(&mailbox.charge());
        self.hearers.lost_name(receiver.id());
        if let Some(membership) = &claim.membership
            && !mailbox.leave(membership)
        {
            return;
        }
        let holds_something = mailbox.release_owner();
        self.owned.fetch_sub(1, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::AcqRel);
        if holds_something && lingering.is_allowed() {
            for mailbox in lingering.add(mailbox) {
                self.end(&mailbox);
            }
        } else {
            self.end(mailbox);
        }
    }

    /// Ends the mailboxes that have lingered long enough at monotonic time `now`.
    pub(crate) fn expire(&self, now: Duration) {
        let mut lingering = lock(&self.lingering);
        for mailbox in lingering.take_overdue(now) {
            self.end(&mailbox);
        }
    }

    /// Ends all lingering mailboxes, and lets none linger from now on.
    pub(crate) fn stop_lingering(&self) {
        let mut lingering = lock(&self.lingering);
        for mailbox in lingering.stop() {
            self.end(&mailbox);
        }
    }

    /// The names with queued messages, and the number of these.
    pub(crate) fn queued(&self) -> Vec<(Name, usize)> {
        // Those of a durable name are on disk.
        let all = self.names.iter().filter(|mailbox| !mailbox.is_durable());
        all.map(|mailbox| (mailbox.name().clone(), mailbox.load().messages()))
            .filter(|(_, messages)| *messages > 0)
            .collect()
    }

    /// Ends a mailbox without an owner: its messages are reported to their
    /// senders. Call it under the lock of `lingering`.
    fn end(&self, mailbox: &Arc<Mailbox>) {
        self.names.remove(mailbox.name().as_bytes());
        mailbox.end();
    }
}

#[cfg(test)]
mod tests {
    use crate::router::connection::ConnectionHandle;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::config::Overflow;
    use crate::ids::ConnectionId;
    use crate::router::mailbox::queue_state::Capacity;

    const RULES: QueueRules = QueueRules {
        capacity: Capacity {
            bytes: 1_000,
            messages: 16,
        },
        overflow: Overflow::Pause,
        durable: false,
    };

    fn receiver(id: u64) -> Arc<BroadcastReceiver> {
        let handle = ConnectionHandle::new(ConnectionId(id), &Arc::default());
        Arc::new(BroadcastReceiver::new(&Arc::new(handle)))
    }

    #[test]
    fn a_name_without_rules_of_its_own_has_those_of_the_longest_pattern() {
        let rules = |messages| QueueRules {
            capacity: Capacity {
                messages,
                ..RULES.capacity
            },
            ..RULES
        };
        let by_name = [("feed-*", 1), ("feed-eu-*", 2), ("feed-eu-1", 3)];
        let by_name = by_name.map(|(name, messages)| (Name::new(name).unwrap(), rules(messages)));
        let (budget, counters) = (Arc::default(), Arc::default());
        let registry = Registry::new(
            RULES,
            by_name.into(),
            Duration::ZERO,
            &budget,
            &counters,
            None,
        );
        for (name, messages) in [
            ("feed-eu-1", 3),
            ("feed-eu-2", 2),
            ("feed-us", 1),
            ("gateway", RULES.capacity.messages),
        ] {
            let claim = registry.claim_if_free(&Name::new(name).unwrap(), &receiver(0));
            let rules = claim.unwrap().mailbox.rules;
            assert_eq!(rules.capacity.messages, messages, "{name}");
        }
    }

    #[test]
    fn nobody_is_missing_from_the_audience_while_others_come_and_go() {
        let (budget, counters) = (Arc::default(), Arc::default());
        let (rules, none) = (HashMap::new(), Duration::ZERO);
        let registry = Registry::new(RULES, rules, none, &budget, &counters, None);
        let stays = Name::new("stays").unwrap();
        registry.claim_if_free(&stays, &receiver(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for id in 1..4 {
                let (registry, done) = (&registry, &done);
                scope.spawn(move || {
                    let comes = Name::new(format!("comes {id}")).unwrap();
                    let receiver = receiver(id);
                    while !done.load(Ordering::Relaxed) {
                        let claim = registry.claim_if_free(&comes, &receiver).unwrap();
                        registry.release(&claim, &receiver);
                    }
                });
            }
            for _ in 0..100_000 {
                let audience = registry.hearers.audience();
                let found = audience
                    .receivers
                    .iter()
                    .any(|receiver| receiver.id().0 == 0);
                if !found {
                    done.store(true, Ordering::Relaxed);
                }
                assert!(found, "a broadcast would have missed it");
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
