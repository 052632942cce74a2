//! The owners of names, and the fate of queued messages.

use std::time::Duration;

use super::queue::{Item, Load, Queue};
use super::{Model, Report};
use crate::router::Overflow;
use crate::router::mailbox::queue_state;
use crate::router::mailbox::queue_state::Capacity;
use crate::router::tests::sim::messages::Hello;

/// A name that is owned or lingers.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) owner: Option<usize>,
    /// The members that share it, and their grants.
    members: Vec<(usize, u64)>,
    /// The key that the members have agreed on.
    key: Option<&'static str>,
    /// The number of its last change of owner, among those of all names.
    pub(super) grant: u64,
    /// The number of its mailbox: another one each time that nothing was kept.
    pub(super) instance: u64,
    pub(super) queue: Queue,
    pub(super) capacity: Capacity,
    pub(super) overflow: Overflow,
    /// The accepted ids of its owner.
    pub(super) accepted: Option<usize>,
}

/// The way in which a connection owns its names.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    #[default]
    Sole,
    /// Shared, with messages bound to members by the value at the pointer.
    Group(Option<&'static str>),
}

impl Held {
    pub(super) fn is_owned(&self) -> bool {
        self.owner.is_some() || !self.members.is_empty()
    }

    /// The pointer that binds messages to members, if any.
    pub(super) fn key(&self) -> Option<&'static str> {
        self.key.filter(|_| self.owner.is_none())
    }

    /// The connections that hear broadcasts because they own it.
    pub(super) fn owners(&self) -> impl Iterator<Item = usize> + '_ {
        let members = self.members.iter().map(|(member, _)| *member);
        self.owner.into_iter().chain(members)
    }

    fn is_granted(&self, grant: u64) -> bool {
        let is_member = self.members.iter().any(|(_, own)| *own == grant);
        self.owner.is_some() && self.grant == grant || is_member
    }

    /// Whether `connection` may own the name in this way.
    fn allows(&self, connection: usize, ownership: Ownership) -> bool {
        if let Some(owner) = self.owner {
            return ownership == Ownership::Sole || owner == connection;
        }
        let alone = self.owners().all(|member| member == connection);
        alone || ownership == Ownership::Group(self.key)
    }

    /// Whether the name is owned in this way.
    fn is(&self, ownership: Ownership) -> bool {
        match ownership {
            Ownership::Sole => self.owner.is_some(),
            Ownership::Group(key) => self.owner.is_none() && self.key == key,
        }
    }
}

/// How a connection comes to own names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Claiming {
    #[default]
    Undecided,
    Wanted(String),
    Done,
    ByHello,
}

impl Model {
    /// The names that `connection` owns, in the order in which it got them.
    pub(in super::super) fn names_of(&self, connection: usize) -> Vec<&str> {
        let claims = self.connections[connection].claims.iter();
        let current = claims.filter(|(name, grant)| self.is_current(name, *grant));
        current.map(|(name, _)| name.as_str()).collect()
    }

    pub(in super::super) fn name_count(&self) -> usize {
        let owners = self.names.values();
        owners.filter(|held| held.is_owned()).count()
    }

    pub(in super::super) fn lingering_count(&self) -> usize {
        self.lingering.len()
    }

    /// Compares with the router each name that is owned or lingers: the load of
    /// its queue, and how often that was relieved.
    pub(in super::super) fn observe_names(
        &mut self,
        count: impl Fn(&str) -> Option<(queue_state::QueueState, u64)>,
    ) {
        for (name, held) in &mut self.names {
            let count = count(name);
            let (load, relieved) = count.unwrap_or_else(|| panic!("names: {name:?} is not kept"));
            held.queue.observe(load.into(), held.capacity);
            held.queue.observe_gap(load.has_dropped());
            held.queue.observe_relief(relieved, held.capacity);
            if !held.members.is_empty() {
                held.queue.share();
            }
        }
    }

    /// Compares with the router the broadcasts of a connection.
    pub(in super::super) fn observe_broadcasts(&mut self, connection: usize, load: Load) {
        let capacity = Capacity::from(&self.config);
        let broadcasts = &mut self.connections[connection].broadcasts;
        broadcasts.observe(load, capacity);
    }

    pub(super) fn is_current(&self, name: &str, grant: u64) -> bool {
        self.names
            .get(name)
            .is_some_and(|held| held.is_granted(grant))
    }

    // ---- gaining ----

    /// Without a `hello`, the source of the first accepted message is claimed
    /// once it is free.
    pub(super) fn retry_claim(&mut self, connection: usize) {
        if let Claiming::Wanted(name) = &self.connections[connection].claiming {
            let name = name.clone();
            let held = self.names.get(&name);
            if held.is_none_or(|held| !held.is_owned()) {
                self.claim(connection, &name, Ownership::Sole);
                self.connections[connection].claiming = Claiming::Done;
                self.keep_accepted(connection, false, false);
            }
        }
    }

    /// Makes exactly those names the connection's that a `hello` asks for, in
    /// the way it asks for.
    ///
    /// # Errors
    /// The code with which it is refused.
    pub(super) fn grant(
        &mut self,
        connection: usize,
        source: &str,
        hello: &Hello,
    ) -> Result<(), &'static str> {
        let known = self.connections[connection].ownership;
        let ownership = match (hello.group, known) {
            (None, Ownership::Sole) | (Some(false), _) => Ownership::Sole,
            (Some(true), Ownership::Sole) => Ownership::Group(hello.key),
            (_, Ownership::Group(key)) => Ownership::Group(hello.key.or(key)),
        };
        let own = self.names_of(connection);
        let first = self.connections[connection].claiming != Claiming::ByHello;
        let again = hello.register == Some(true) && own.is_empty();
        let wanted = match (&hello.names, hello.register) {
            (_, Some(false)) => Some(Vec::new()),
            (Some(names), _) => Some(names.clone()),
            (None, _) if first || again => Some(vec![source.to_owned()]),
            _ if ownership != known => Some(own.into_iter().map(str::to_owned).collect()),
            _ => None,
        };
        if let Some(wanted) = wanted {
            let is_silent = self.connections[connection].claiming == Claiming::Undecided;
            let refusal = wanted.iter().find_map(|name| {
                let held = self.names.get(name)?;
                let is_newer = held.owner.is_some_and(|owner| owner > connection);
                if is_silent && is_newer && ownership == Ownership::Sole {
                    return Some("NAME_TAKEN_OVER");
                }
                (!held.allows(connection, ownership)).then_some("SOURCE_NOT_ALLOWED")
            });
            if let Some(code) = refusal {
                self.meet(match code {
                    "NAME_TAKEN_OVER" => "a hello comes after that of a newer connection",
                    _ => "a group and an owner exclude each other",
                });
                return Err(code);
            }
            self.own_exactly(connection, &wanted, ownership);
        }
        self.connections[connection].ownership = ownership;
        Ok(())
    }

    fn own_exactly(&mut self, connection: usize, wanted: &[String], ownership: Ownership) {
        let claims = std::mem::take(&mut self.connections[connection].claims);
        let keeps = |model: &Self, (name, grant): &(String, u64)| {
            let held = model.names.get(name);
            wanted.contains(name)
                && held.is_some_and(|held| held.is_granted(*grant) && held.is(ownership))
        };
        let (kept, given_up): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| keeps(self, claim));
        // A name that is owned in another way from now on is given up first.
        let (again, others): (Vec<_>, Vec<_>) = given_up
            .into_iter()
            .partition(|(name, _)| wanted.contains(name));
        for (name, grant) in again {
            self.release(connection, &name, grant);
        }
        for name in wanted {
            match kept.iter().find(|(own, _)| own == name) {
                Some(claim) => self.connections[connection].claims.push(claim.clone()),
                None => self.claim(connection, name, ownership),
            }
        }
        for (name, grant) in others {
            // The accepted ids go with the connection.
            if self.is_current(&name, grant) {
                self.drop_accepted(&name);
            }
            self.release(connection, &name, grant);
        }
    }

    /// Gives `name` and its mailbox to the connection, from any other owner.
    fn claim(&mut self, connection: usize, name: &str, ownership: Ownership) {
        self.grants += 1;
        let grant = self.grants;
        let held = self.names.remove(name);
        let mut held = held.unwrap_or_else(|| self.free(name));
        if !held.is_owned() {
            let before = self.lingering.len();
            self.lingering.retain(|(lingers, _)| lingers != name);
            if self.lingering.len() < before {
                self.meet("what lingers has an owner again");
            }
        }
        if let Ownership::Group(key) = ownership {
            if held.members.is_empty() {
                held.key = key;
            } else {
                self.meet("a group has several members");
            }
            held.members.push((connection, grant));
            held.queue.share();
        } else {
            held.grant = grant;
            if let Some(old) = held.owner.replace(connection) {
                let items: Vec<_> = held.queue.first_items().collect();
                held.queue.break_off(held.capacity);
                self.note_begun(old, &items);
                self.report(old, Report::TakenOver(name.to_owned()));
                self.meet("a name is taken over");
            }
        }
        self.names.insert(name.to_owned(), held);
        let claims = &mut self.connections[connection].claims;
        claims.push((name.to_owned(), grant));
    }

    /// A name for which nothing is kept.
    fn free(&self, name: &str) -> Held {
        let mut capacity = Capacity::from(&self.config);
        let own = self
            .config
            .names
            .iter()
            .find(|(own, _)| own.as_str() == name);
        let own = own.map(|(_, own)| *own).unwrap_or_default();
        capacity.bytes = own.queue_bytes.unwrap_or(capacity.bytes);
        capacity.messages = own.queue_messages.unwrap_or(capacity.messages);
        Held {
            owner: None,
            members: Vec::new(),
            key: None,
            grant: 0,
            instance: self.grants,
            queue: Queue::default(),
            capacity,
            overflow: own.overflow,
            accepted: None,
        }
    }

    // ---- losing ----

    /// The input of `connection` has ended.
    pub(in super::super) fn end_input(&mut self, connection: usize) {
        for (name, grant) in std::mem::take(&mut self.connections[connection].claims) {
            self.release(connection, &name, grant);
        }
        let ended = &mut self.connections[connection];
        ended.claiming = Claiming::ByHello;
        ended.accepted = None;
        ended.subscriptions.clear();
        ended.ended = true;
    }

    /// Ends the session of `connection`. If it `wrote_all`, it owed nothing
    /// more.
    pub(in super::super) fn leave(&mut self, connection: usize, wrote_all: bool) {
        self.end_input(connection);
        let left = &mut self.connections[connection];
        left.gone = true;
        if wrote_all {
            assert!(
                left.expected.is_empty(),
                "answers: closed without {:?}",
                left.expected
            );
            assert!(left.partial.is_empty(), "stream: closed within a frame");
        }
        let lost: Vec<_> = left.broadcasts.frames().collect();
        for number in lost {
            self.records[number].died += 1;
        }
    }

    fn release(&mut self, connection: usize, name: &str, grant: u64) {
        if !self.is_current(name, grant) {
            return;
        }
        let Some(mut held) = self.names.remove(name) else {
            return;
        };
        let items: Vec<_> = held.queue.first_items().collect();
        self.note_begun(connection, &items);
        if held.owner.take().is_none() {
            held.members.retain(|(_, own)| *own != grant);
            if !held.members.is_empty() {
                self.meet("a member leaves a group");
                self.names.insert(name.to_owned(), held);
                return;
            }
        }
        held.queue.break_off(held.capacity);
        held.queue.relieve();
        let holds_anything = held.queue.holds_anything() || held.accepted.is_some();
        let frames: Vec<_> = held.queue.frames().collect();
        self.names.insert(name.to_owned(), held);
        if holds_anything && !self.config.linger.is_zero() {
            self.lingering.push((name.to_owned(), None));
        } else {
            self.end(name, &frames);
        }
    }

    /// The time of the next end of a lingering mailbox.
    pub(in super::super) fn lingers_until(&self, now: Duration) -> Option<Duration> {
        let ends = self.lingering.iter().map(|(_, until)| until.unwrap_or(now));
        ends.min()
    }

    /// Ends the mailboxes that have lingered long enough.
    pub(in super::super) fn expire(&mut self, now: Duration) {
        let until = now + self.config.linger;
        let lingering = std::mem::take(&mut self.lingering);
        for (name, known) in lingering {
            let ends = known.unwrap_or(until);
            if ends > now {
                self.lingering.push((name, Some(ends)));
            } else if let Some(held) = self.names.get(&name) {
                let frames: Vec<_> = held.queue.frames().collect();
                self.end(&name, &frames);
                self.meet("what lingers is given up");
            }
        }
    }

    /// Ends the mailbox of `name`. Its accepted ids are known until `frames`
    /// are given up.
    fn end(&mut self, name: &str, frames: &[usize]) {
        self.give_up(name, frames);
        self.names.remove(name);
    }

    /// Notes that `connection` lost a name and may have begun to write one of
    /// `items`: it may finish that frame.
    fn note_begun(&mut self, connection: usize, items: &[Item]) {
        let writer = &mut self.connections[connection];
        if writer.partial.is_empty() {
            return;
        }
        for &item in items {
            let may_be_begun = match item {
                Item::Missed(_) => true,
                Item::Message(number) => {
                    let frame = &self.records[number].message.frame;
                    frame.starts_with(&writer.partial)
                }
            };
            if may_be_begun {
                writer.begun.push((item, writer.frames_written));
            }
        }
    }
}
