//! The receivers of broadcasts.

use super::intake::Read;
use super::latest::Offer;
use super::{Expected, Model};
use crate::router::mailbox::queue_state::Capacity;
use crate::router::tests::sim::messages::{Message, Subscribe};

/// The wishes of a connection about broadcasts.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Each with a number that no other has, also not one of the same id.
    list: Vec<(usize, Subscribe)>,
    made: usize,
    /// Whether it wants none, in spite of its subscriptions.
    pub(super) wants_none: bool,
    /// Whether it has ever asked for the latest only.
    pub(super) conflates: bool,
}

/// A subscription and a symbol: of those that wait, the newest is enough.
pub(super) type Key = (usize, &'static str);

/// The part of one receiver in a message.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    No,
    /// It is to arrive.
    ByItself,
    /// It, or a newer one.
    AsLatest,
}

impl Subscriptions {
    fn add(&mut self, subscribe: &Subscribe) {
        self.made += 1;
        self.conflates |= subscribe.is_latest;
        let new = (self.made, subscribe.clone());
        let known = self.list.iter().position(|(_, known)| known.id == new.1.id);
        match known {
            Some(index) => self.list[index] = new,
            None => self.list.push(new),
        }
    }

    fn remove(&mut self, id: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|(_, known)| known.id != id);
        self.list.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    /// Whether `message` is wanted, and by which keys it goes.
    fn want(&self, message: &Message) -> (Wanted, Vec<Key>) {
        let matches = |subscribe: &Subscribe| {
            let about = subscribe.symbol.is_none() || subscribe.symbol == message.symbol;
            about
                && (subscribe
                    .source
                    .is_none_or(|source| source == message.source))
        };
        let mut wanted = match self.list.is_empty() {
            true => Wanted::ByItself,
            false => Wanted::No,
        };
        let mut keys = Vec::new();
        for (serial, subscribe) in self.list.iter().filter(|(_, known)| matches(known)) {
            match message.symbol.filter(|_| subscribe.is_latest) {
                Some(symbol) => keys.push((*serial, symbol)),
                None => wanted = Wanted::ByItself,
            }
        }
        if wanted == Wanted::No && !keys.is_empty() {
            wanted = Wanted::AsLatest;
        }
        (wanted, keys)
    }
}

impl Model {
    // ---- asking ----

    pub(super) fn subscribe(&mut self, connection: usize, number: usize, subscribe: &Subscribe) {
        self.connections[connection].subscriptions.add(subscribe);
        self.grant_control(connection, number);
    }

    /// Says whether there was such a subscription.
    pub(super) fn unsubscribe(&mut self, connection: usize, number: usize, id: &str) -> bool {
        let known = self.connections[connection].subscriptions.remove(id);
        if known {
            self.grant_control(connection, number);
        }
        known
    }

    /// Accepts a control message: those are answered singly, in every mode of
    /// acks.
    fn grant_control(&mut self, connection: usize, number: usize) {
        let asks = &mut self.connections[connection];
        asks.invalid_in_a_row = 0;
        asks.expected.push_back(Expected::Ack {
            message: number,
            missed: 0,
            unsure: 0,
            details: asks.details,
            batch: None,
        });
        self.note_accepted(connection, number);
    }

    // ---- hearing ----

    /// The connections that hear anything, but the sender.
    pub(super) fn hearers(&self, sender: usize) -> Vec<usize> {
        let mut hearers = self.all_hearers();
        hearers.retain(|&hearer| hearer != sender);
        hearers
    }

    fn all_hearers(&self) -> Vec<usize> {
        let owners: Vec<usize> = (self.names.values())
            .flat_map(super::names::Held::owners)
            .collect();
        let hears = |&index: &usize| {
            let subscriptions = &self.connections[index].subscriptions;
            let takes_part = owners.contains(&index) || !subscriptions.list.is_empty();
            takes_part && !subscriptions.wants_none
        };
        (0..self.connections.len()).filter(hears).collect()
    }

    /// Whether anybody gets less than everything, or may have the latest only.
    pub(super) fn somebody_chooses(&self) -> bool {
        self.all_hearers().iter().any(|&hearer| {
            let subscriptions = &self.connections[hearer].subscriptions;
            subscriptions.conflates || !subscriptions.list.is_empty()
        })
    }

    /// Broadcasts a message.
    pub(super) fn broadcast(&mut self, connection: usize, number: usize, read: &mut Read) {
        let audience = read.audience.clone().unwrap_or_default();
        let message = self.records[number].message.clone();
        let capacity = Capacity::from(&self.config);
        let (mut missed, mut unsure) = (0, 0);
        for receiver in audience {
            let hearer = &mut self.connections[receiver];
            let (wanted, keys) = hearer.subscriptions.want(&message);
            if wanted == Wanted::No {
                self.meet("a broadcast is not for a subscriber");
                // Room is reserved for neighbours together. The next message
                // has no neighbour that was dropped.
                read.missed.retain(|&other| other != receiver);
                continue;
            }
            if hearer.subscriptions.conflates {
                // Its room depends on the messages that wait there.
                let stands_alone = wanted == Wanted::ByItself;
                hearer.latest.offer(Offer::new(number, keys, stands_alone));
                unsure += 1;
                continue;
            }
            let parts = read.broadcasts.entry(receiver).or_default();
            if read.missed.contains(&receiver)
                || !hearer.broadcasts.fits(message.frame.len(), capacity)
            {
                read.missed.push(receiver);
                match parts.last_mut() {
                    Some((_, dropped)) => dropped.push(number),
                    None => parts.push((Vec::new(), vec![number])),
                }
                missed += 1;
                continue;
            }
            hearer.broadcasts.reserve(message.frame.len());
            match parts.last_mut() {
                Some((frames, dropped)) if dropped.is_empty() => frames.push(number),
                _ => parts.push((vec![number], Vec::new())),
            }
            self.records[number].due += 1;
        }
        if missed > 0 {
            self.meet("a broadcast is dropped");
        }
        self.accept(connection, number, missed, unsure);
    }
}
