//! The broadcasts of a connection that has asked for the latest only. A plain
//! model can tell neither which of them have room nor which were replaced. That
//! much holds:
//!
//! - each arrives once at most;
//! - of two with the same key the older never comes after the newer;
//! - those without a key arrive in their order;
//! - those, and the last with each key, arrive, or the receiver is told that
//!   they were dropped.

use super::Model;
use super::subscriptions::Key;
use crate::stats::Stats;

/// Something that was for the connection.
#[derive(Debug)]
pub(super) struct Offer {
    number: usize,
    keys: Vec<Key>,
    /// It is not enough that a newer one arrives.
    stands_alone: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    Arrived,
    /// A newer one was there before it.
    Late,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Latest {
    offers: Vec<Offer>,
    /// How many the receiver was told were dropped.
    told: u64,
}

impl Offer {
    pub(super) fn new(number: usize, keys: Vec<Key>, stands_alone: bool) -> Self {
        Self {
            number,
            keys,
            stands_alone,
            state: State::Waits,
        }
    }

    fn shares_a_key(&self, other: &Self) -> bool {
        self.keys.iter().any(|key| other.keys.contains(key))
    }
}

impl Latest {
    pub(super) fn offer(&mut self, offer: Offer) {
        self.offers.push(offer);
    }

    /// Which of the copies of a message that `is_it` has arrived. Copies can't be
    /// told apart: one may have taken the place of another.
    fn find(&self, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let offers = self.offers.iter().enumerate();
        let copies: Vec<_> = offers.filter(|(_, offer)| is_it(offer.number)).collect();
        let of = |state| copies.iter().find(move |(_, copy)| copy.state == state);
        let came_before = of(State::Arrived).is_some();
        let late = of(State::Late).filter(|_| came_before);
        of(State::Waits).or(late).map(|(index, _)| *index)
    }

    /// A message that `is_it` has arrived. Says whether something was late from
    /// then on.
    fn arrives(&mut self, is_it: impl Fn(usize) -> bool) -> bool {
        let place = self.find(is_it);
        let place = place.expect("latest: it was offered, has not arrived, and is not late");
        let (older, newer) = self.offers.split_at_mut(place);
        let arrived = &mut newer[0];
        arrived.state = State::Arrived;
        let mut passed = false;
        for offer in older.iter_mut().filter(|offer| offer.state == State::Waits) {
            let keeps_order = offer.stands_alone && arrived.stands_alone;
            if keeps_order || offer.shares_a_key(arrived) {
                offer.state = State::Late;
                passed = true;
            }
        }
        passed
    }

    /// Messages of which one copy must have arrived, unless all were dropped.
    fn owed(&self, is_copy: impl Fn(usize, usize) -> bool) -> u64 {
        let is_last = |index: usize, key: &Key| {
            let mut newer = self.offers[index + 1..].iter();
            newer.all(|newer| !newer.keys.contains(key))
        };
        let is_owed = |(index, offer): &(usize, &Offer)| {
            let is_due = offer.stands_alone || offer.keys.iter().any(|key| is_last(*index, key));
            let mut arrived = (self.offers.iter()).filter(|known| known.state == State::Arrived);
            is_due && !arrived.any(|known| is_copy(known.number, offer.number))
        };
        self.offers.iter().enumerate().filter(is_owed).count() as u64
    }
}

impl Model {
    /// Notes that a broadcast was written to `connection`, unless it came by
    /// the plain queue. Messages in that one are older.
    pub(super) fn arrives_as_latest(&mut self, connection: usize, number: usize) -> bool {
        let receiver = &mut self.connections[connection];
        if !receiver.broadcasts.is_empty() || !receiver.subscriptions.conflates {
            return false;
        }
        let original = self.records[number].original;
        let records = &self.records;
        let passed = (receiver.latest).arrives(|offered| records[offered].original == original);
        if passed {
            self.meet("a newer broadcast takes the place of an older one");
        }
        true
    }

    /// The receiver was told that `count` were dropped, from the message `first`
    /// to `last`.
    pub(super) fn told_of_latest(
        &mut self,
        connection: usize,
        (first, last): (usize, usize),
        count: u64,
    ) {
        let receiver = &mut self.connections[connection];
        // Which of the copies of a message they were can't be told.
        let records = &self.records;
        let is_it = |wanted: usize| {
            move |offer: &Offer| {
                records[offer.number].original == wanted && offer.state != State::Arrived
            }
        };
        let offers = &receiver.latest.offers;
        let first = offers.iter().position(is_it(first));
        let last = offers.iter().rposition(is_it(last));
        let places = first.zip(last).expect("gaps: both were for it");
        let between = 1 + places.1 - places.0;
        assert!(
            (1..=between as u64).contains(&count),
            "gaps: {count} of {between}"
        );
        receiver.latest.told += count;
        self.meet("a conflated queue has no room");
    }

    /// Checks connections that take part and have read everything.
    pub(in super::super) fn check_latest(&self, stats: Stats) {
        let mut told = 0;
        for (index, connection) in self.connections.iter().enumerate() {
            let latest = &connection.latest;
            told += latest.told;
            if !connection.ended && self.may_be_handed(index) {
                let owed = latest.owed(|one, other| self.original(one) == self.original(other));
                assert!(
                    owed <= latest.told,
                    "latest: {index} has not got {owed}, and was told of {} of them",
                    latest.told
                );
            }
        }
        let dropped = stats.dropped - self.done.dropped;
        let most = self.offers();
        assert!(dropped <= most, "latest: {dropped} of {most} are dropped");
        assert!(stats.conflated <= most, "latest: more is replaced than was");
        let mut connections = self.connections.iter();
        let all_stayed = connections.all(|known| {
            let reads_all = !known.ended && known.window.is_none();
            reads_all || !known.subscriptions.conflates
        });
        if all_stayed {
            assert_eq!(dropped, told, "latest: dropped, and told");
        }
    }

    /// The number of broadcasts for conflated queues, of which the model knows
    /// little.
    pub(in super::super) fn offers(&self) -> u64 {
        let connections = self.connections.iter().map(|known| &known.latest);
        connections.map(|latest| latest.offers.len() as u64).sum()
    }
}
