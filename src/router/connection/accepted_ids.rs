//! The ids of messages accepted from a resumable connection. A message that is
//! sent again after a reconnect is acknowledged and not delivered again.
//!
//! The ids stand in a ring that grows as it is filled; beyond its bound the
//! oldest are forgotten. The index is made when a connection resumes: until then
//! no id is looked up.
//!
//! The ids belong to the mailbox of the connection's first name and go with it to
//! a connection that resumes. The earlier connection goes on using them, so that
//! both know the messages that still arrive there. Both admit and queue messages
//! under [`AcceptedIds::lock_order`]. Without it, one of them could find a message new
//! that the other is about to accept, or know a message that the other has not queued
//! yet and overtake it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};

use uuid::Uuid;

use crate::budget::{Budget, Held};
use crate::ids::MsgId;
use crate::limits::RESUME_IDS_MAX;
use crate::router::connection::{ConnectionHandle, Report};
use crate::sync::{Mutex, MutexGuard, lock};

#[derive(Debug)]
pub(crate) struct AcceptedIds {
    order: Mutex<()>,
    ids: Mutex<Ids>,
}

#[derive(Debug)]
struct Ids {
    /// The connection that resumed last, or for which the ids were kept first.
    user: Weak<ConnectionHandle>,
    /// The ids in the order of acceptance. With an index each stands here once.
    ring: VecDeque<u128>,
    ring_max: usize,
    /// Whether this was made for a connection that wanted to resume another.
    is_substitute: bool,
    /// The ids of the ring, once a connection has resumed.
    index: Option<HashSet<u128>>,
    /// The bytes as the budget counts them.
    held: Held,
}

impl AcceptedIds {
    pub(crate) fn new(user: &Arc<ConnectionHandle>) -> Self {
        Self::with_capacity(user, RESUME_IDS_MAX)
    }

    /// Makes an empty set for a connection that wanted to resume an unknown one.
    pub(crate) fn substitute(user: &Arc<ConnectionHandle>) -> Self {
        let ids = Self::new(user);
        lock(&ids.ids).is_substitute = true;
        ids
    }

    fn with_capacity(user: &Arc<ConnectionHandle>, ring_max: usize) -> Self {
        Self {
            order: Mutex::default(),
            ids: Mutex::new(Ids {
                user: Arc::downgrade(user),
                ring: VecDeque::new(),
                ring_max,
                is_substitute: false,
                index: None,
                held: Held::new(&user.budget, 0),
            }),
        }
    }

    /// Locks the order of admission. To be held from the question whether messages
    /// are known until the accepted ones are remembered and queued.
    pub(crate) fn lock_order(&self) -> MutexGuard<'_, ()> {
        lock(&self.order)
    }

    // ---- their user ----

    pub(crate) fn is_used_by(&self, handle: &Arc<ConnectionHandle>) -> bool {
        lock(&self.ids).is_used_by(handle)
    }

    /// Returns whether a connection can resume with these ids. A client that never
    /// saw that it could not resume asks once more: an empty substitute must not
    /// make it send messages again that may have been accepted.
    pub(crate) fn can_be_resumed(&self) -> bool {
        let ids = lock(&self.ids);
        !ids.is_substitute || !ids.ring.is_empty()
    }

    /// Lets `user` resume: remembered messages are recognised from now on.
    pub(crate) fn resume(&self, user: &Arc<ConnectionHandle>) {
        let mut ids = lock(&self.ids);
        ids.user = Arc::downgrade(user);
        ids.make_index();
        ids.count();
    }

    /// Recognises no message from now on.
    pub(crate) fn stop_recognizing(&self) {
        let mut ids = lock(&self.ids);
        ids.index = None;
        ids.count();
    }

    pub(crate) fn recognizes(&self) -> bool {
        lock(&self.ids).index.is_some()
    }

    pub(crate) fn bytes(&self) -> usize {
        lock(&self.ids).bytes()
    }

    /// Returns whether `count` ids more can be remembered: without more memory, or
    /// because `budget` has some.
    #[inline]
    pub(crate) fn has_room_for(&self, count: usize, budget: &Budget) -> bool {
        if !budget.refuses_more() {
            return true;
        }
        let ids = lock(&self.ids);
        let fits = |held: usize, room: usize| held + count <= room || held >= ids.ring_max;
        let index = ids.index.as_ref();
        fits(ids.ring.len(), ids.ring.capacity())
            && index.is_none_or(|index| fits(index.len(), index.capacity()))
    }

    // ---- the ids ----

    pub(crate) fn remember(&self, messages: &[MsgId]) {
        let mut ids = lock(&self.ids);
        for &message in messages {
            ids.remember(number(message));
        }
        ids.count();
    }

    pub(crate) fn knows(&self, message: MsgId) -> bool {
        self.knows_number(number(message))
    }

    /// The same of an id as a number.
    pub(crate) fn knows_number(&self, msg_id: u128) -> bool {
        let ids = lock(&self.ids);
        let index = ids.index.as_ref();
        index.is_some_and(|index| index.contains(&msg_id))
    }

    /// Forgets messages that were accepted and could not be stored.
    #[cfg_attr(
        not(feature = "server"),
        allow(dead_code, reason = "only a server has a store")
    )]
    #[cold]
    pub(crate) fn forget(&self, msg_ids: Vec<u128>) {
        let forgotten: HashSet<u128> = msg_ids.into_iter().collect();
        lock(&self.ids).forget(&forgotten);
    }

    /// Returns whether all messages are unknown and differ from each other, so that
    /// they can be accepted at once.
    pub(crate) fn are_new(&self, messages: &[MsgId]) -> bool {
        let mut numbers: Vec<u128> = messages.iter().copied().map(number).collect();
        let ids = lock(&self.ids);
        let Some(index) = &ids.index else { return true };
        if numbers.iter().any(|number| index.contains(number)) {
            return false;
        }
        drop(ids);
        numbers.sort_unstable();
        numbers.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Forgets messages that were accepted from `origin` and then given up: sent
    /// again, they are new. Tells `origin`, and the connection that has resumed it.
    pub(crate) fn give_up(
        &self,
        messages: &[MsgId],
        origin: &Arc<ConnectionHandle>,
        report: Report,
    ) {
        let given_up: HashSet<u128> = messages.iter().copied().map(number).collect();
        // Both under one lock: a connection that was told must not be told again
        // that the message is accepted, and one that finds the message new must be
        // able to report the loss before.
        let mut ids = lock(&self.ids);
        if !ids.is_used_by(origin)
            && let Some(user) = ids.user.upgrade()
        {
            user.report(report.clone());
        }
        origin.report(report);
        ids.forget(&given_up);
    }

    /// Forgets all ids and frees their memory.
    pub(crate) fn clear(&self) {
        let mut ids = lock(&self.ids);
        ids.ring = VecDeque::new();
        ids.index = None;
        ids.count();
    }
}

impl Ids {
    fn is_used_by(&self, handle: &Arc<ConnectionHandle>) -> bool {
        std::ptr::eq(self.user.as_ptr(), Arc::as_ptr(handle))
    }

    fn bytes(&self) -> usize {
        let index = self.index.as_ref().map_or(0, HashSet::capacity);
        // A table has a byte more for each place, and an eighth of its places free.
        size_of::<AcceptedIds>() + self.ring.capacity() * size_of::<u128>() + index * 20
    }

    fn count(&mut self) {
        let bytes = self.bytes();
        self.held.set(bytes);
    }

    fn remember(&mut self, id: u128) {
        if let Some(index) = &mut self.index
            && !index.insert(id)
        {
            return;
        }
        if self.ring.len() >= self.ring_max
            && let Some(oldest) = self.ring.pop_front()
            && let Some(index) = &mut self.index
        {
            index.remove(&oldest);
        }
        self.ring.push_back(id);
    }

    fn make_index(&mut self) {
        if self.index.is_some() {
            return;
        }
        let mut index = HashSet::with_capacity(self.ring.len());
        // An id that was accepted more than once stays at its latest place.
        let mut latest: VecDeque<u128> = VecDeque::with_capacity(self.ring.len());
        for &id in self.ring.iter().rev() {
            if index.insert(id) {
                latest.push_front(id);
            }
        }
        self.ring = latest;
        self.index = Some(index);
    }

    fn forget(&mut self, given_up: &HashSet<u128>) {
        self.ring.retain(|id| !given_up.contains(id));
        if let Some(index) = &mut self.index {
            index.retain(|id| !given_up.contains(id));
        }
    }
}

/// The id as a UUID's number: ids compare whatever the case of their digits.
fn number(message: MsgId) -> u128 {
    Uuid::from(message).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnectionId;

    fn handle(id: u64) -> Arc<ConnectionHandle> {
        Arc::new(ConnectionHandle::new(ConnectionId(id), &Arc::default()))
    }

    fn id(number: u128) -> MsgId {
        MsgId::from(Uuid::from_u128(number))
    }

    fn ids(numbers: impl IntoIterator<Item = u128>) -> Vec<MsgId> {
        numbers.into_iter().map(id).collect()
    }

    fn known(accepted: &AcceptedIds, numbers: impl IntoIterator<Item = u128>) -> Vec<u128> {
        let known = |&number: &u128| accepted.knows(id(number));
        numbers.into_iter().filter(known).collect()
    }

    #[test]
    fn the_oldest_are_forgotten_before_and_after_an_index_is_made() {
        let (first, second) = (handle(1), handle(2));
        let accepted = AcceptedIds::with_capacity(&first, 4);
        accepted.remember(&ids(1..=5));
        assert!(!accepted.recognizes() && known(&accepted, 1..=9).is_empty());
        accepted.resume(&second);
        assert_eq!(known(&accepted, 1..=9), [2, 3, 4, 5]);
        accepted.remember(&ids(6..=7));
        assert_eq!(known(&accepted, 1..=9), [4, 5, 6, 7]);
    }

    #[test]
    fn an_id_that_was_accepted_twice_is_known_for_as_long_as_its_latest_place() {
        let accepted = AcceptedIds::with_capacity(&handle(1), 4);
        accepted.remember(&ids([1, 2, 1, 3]));
        accepted.resume(&handle(2));
        accepted.remember(&ids([4, 5]));
        assert_eq!(known(&accepted, 1..=9), [1, 3, 4, 5]);
        accepted.remember(&ids([5, 5, 6]));
        assert_eq!(known(&accepted, 1..=9), [3, 4, 5, 6]);
    }

    #[test]
    fn messages_are_new_if_they_are_unknown_and_differ() {
        let accepted = AcceptedIds::new(&handle(1));
        accepted.remember(&ids([1, 2]));
        assert!(accepted.are_new(&ids([1, 1])), "no id is looked up");
        accepted.resume(&handle(2));
        assert!(accepted.are_new(&ids([3, 4])));
        assert!(!accepted.are_new(&ids([3, 2])));
        assert!(!accepted.are_new(&ids([4, 3, 4])));
    }

    #[test]
    fn what_was_given_up_is_new_again_and_who_resumed_is_told() {
        let (first, second) = (handle(1), handle(2));
        let accepted = AcceptedIds::new(&first);
        accepted.remember(&ids(1..=4));
        let report = || Report::NameTakenOver(crate::ids::Name::new("a").unwrap());
        accepted.give_up(&ids([1]), &first, report());
        assert_eq!(first.take_reports(), [report()]);
        accepted.resume(&second);
        accepted.give_up(&ids([3]), &first, report());
        assert_eq!(known(&accepted, 1..=9), [2, 4]);
        assert_eq!(first.take_reports(), [report()]);
        assert_eq!(second.take_reports(), [report()]);
    }

    #[test]
    fn holds_no_more_than_what_it_was_filled_with() {
        let accepted = AcceptedIds::new(&handle(1));
        assert!(accepted.bytes() < 300);
        accepted.remember(&ids(0..RESUME_IDS_MAX as u128 + 10));
        let full = accepted.bytes();
        assert!((1_048_576..1_049_000).contains(&full), "{full}");
        accepted.resume(&handle(2));
        assert!(accepted.bytes() > full + RESUME_IDS_MAX * 17);
        accepted.clear();
        assert!(accepted.bytes() < 300);
    }
}
