//! What is remembered of resumable connections, so that what they send again is
//! not delivered again.

use std::collections::BTreeSet;

use super::names::Ownership;
use super::{Expected, Fate, Model, Report};
use crate::router::tests::sim::messages::{Hello, Meaning};
use crate::wire::Kind;

/// The accepted messages of a connection, and of those that resumed it.
#[derive(Debug)]
pub(super) struct Memory {
    /// The connection that it was made for, or that resumed it last.
    user: usize,
    /// Messages, each by its first copy.
    messages: BTreeSet<usize>,
    /// Whether they are recognised: somebody has resumed.
    recognizes: bool,
    /// Whether it was made for a connection that found nothing to resume.
    is_substitute: bool,
    /// How often its user has had it forget, or let what it sends be new.
    lives: u32,
}

/// Where something is remembered: a memory, and in which of its lives.
pub(super) type Place = (usize, u32);

impl Model {
    /// The first copy of a message: one that is sent again is the same.
    pub(super) fn original(&self, number: usize) -> usize {
        self.records[number].original
    }

    /// Whether the memory is kept by a connection or for a name.
    fn is_kept(&self, memory: usize) -> bool {
        let mut connections = self.connections.iter();
        let mut names = self.names.values();
        connections.any(|known| known.memory == Some(memory))
            || names.any(|held| held.memory == Some(memory))
    }

    /// What `connection` was last given, if that is kept.
    fn given_memory(&self, connection: usize) -> Option<usize> {
        let given = self.connections[connection].given_memory;
        given.filter(|&memory| self.is_kept(memory))
    }

    pub(super) fn is_resumable(&self, connection: usize) -> bool {
        let memory = self.connections[connection].memory;
        memory.is_some_and(|memory| self.memories[memory].user == connection)
    }

    pub(super) fn has_resumed(&self, connection: usize) -> bool {
        let memory = self.connections[connection].memory;
        self.is_resumable(connection) && memory.is_some_and(|own| self.memories[own].recognizes)
    }

    /// A `hello` has settled the names of `connection`.
    pub(super) fn choose_memory(&mut self, connection: usize, hello: &Hello) {
        let known = self.connections[connection].memory;
        let resume = hello.resume.unwrap_or(false);
        let resumable = hello.resumable.unwrap_or(resume || known.is_some());
        if hello.resume == Some(false)
            && self.has_resumed(connection)
            && let Some(known) = known
        {
            self.memories[known].recognizes = false;
            self.memories[known].lives += 1;
        }
        self.keep_memory(connection, resumable, resume);
        if resume {
            self.meet(match self.has_resumed(connection) {
                true => "a connection is resumed",
                false => "there is nothing to resume",
            });
        }
    }

    /// The memory stands at the first name, and no other of the connection's
    /// names has one.
    pub(super) fn keep_memory(&mut self, connection: usize, resumable: bool, resume: bool) {
        let asks = &self.connections[connection];
        let has_place = resumable && asks.ownership == Ownership::Sole;
        let names: Vec<String> = asks.claims.iter().map(|(name, _)| name.clone()).collect();
        let (first, others) = names.split_at(usize::from(has_place).min(names.len()));
        let kept = first
            .first()
            .and_then(|name| self.attach_memory(connection, name, resume));
        for name in others {
            self.drop_memory(name);
        }
        if kept.is_none()
            && self.is_resumable(connection)
            && let Some(own) = self.connections[connection].memory.take()
        {
            self.memories[own].messages.clear();
            self.memories[own].recognizes = false;
            self.memories[own].lives += 1;
        }
        let known = &mut self.connections[connection].memory;
        *known = kept.or(*known);
    }

    pub(super) fn drop_memory(&mut self, name: &str) {
        if let Some(held) = self.names.get_mut(name) {
            held.memory = None;
        }
    }

    fn attach_memory(&mut self, connection: usize, name: &str, resume: bool) -> Option<usize> {
        let earlier = self.names.get(name)?.memory;
        let can_be_resumed = |&earlier: &usize| {
            let memory = &self.memories[earlier];
            resume && (!memory.is_substitute || !memory.messages.is_empty())
        };
        let memory = match (self.given_memory(connection), earlier) {
            (Some(own), _) => Some(own).filter(|&own| self.memories[own].user == connection),
            (None, Some(earlier)) if can_be_resumed(&earlier) => {
                self.memories[earlier].user = connection;
                self.memories[earlier].recognizes = true;
                Some(earlier)
            }
            (None, _) => {
                self.memories.push(Memory {
                    user: connection,
                    messages: BTreeSet::new(),
                    recognizes: false,
                    is_substitute: resume,
                    lives: 0,
                });
                Some(self.memories.len() - 1)
            }
        };
        let given = &mut self.connections[connection].given_memory;
        *given = memory.or(*given);
        self.names.get_mut(name)?.memory = memory;
        memory
    }

    // ---- messages ----

    /// Where messages of `kind` are looked for before they are taken.
    fn recognizing(&self, connection: usize, kind: Kind) -> Option<&Memory> {
        let memory = self.connections[connection].memory?;
        let memory = &self.memories[memory];
        (kind != Kind::Ack && memory.recognizes).then_some(memory)
    }

    /// Whether something in `run` is known, so that its messages are taken one
    /// by one.
    pub(super) fn is_taken_one_by_one(&self, connection: usize, run: &[usize]) -> bool {
        let Some(&first) = run.first() else {
            return false;
        };
        let kind = self.records[first].message.kind;
        let memory = self.recognizing(connection, kind);
        memory.is_some_and(|memory| {
            let mut known = memory.messages.clone();
            run.iter()
                .any(|&number| !known.insert(self.original(number)))
        })
    }

    /// Whether the message is known: then it is acknowledged and that is all.
    pub(super) fn recognizes(&mut self, connection: usize, number: usize) -> bool {
        let (kind, original) = (self.records[number].message.kind, self.original(number));
        let Some(memory) = self.recognizing(connection, kind) else {
            return false;
        };
        if memory.messages.contains(&original) {
            self.records[number].fate = Fate::Known;
            self.done.duplicates += 1;
            self.acknowledge(connection, number, 0, 0);
            self.meet("a message that is known is acknowledged again");
            return true;
        }
        self.answer_undelivered(connection);
        false
    }

    /// What was given up is new again: that it was is told first.
    fn answer_undelivered(&mut self, connection: usize) {
        let told = &mut self.connections[connection];
        let reports = std::mem::take(&mut told.reports);
        for report in reports {
            if matches!(report, Report::Undelivered { .. }) {
                told.expected.push_back(Expected::Report(report));
                *self.met.entry("a sender is told UNDELIVERED").or_default() += 1;
            } else {
                told.reports.push(report);
            }
        }
    }

    /// The message was accepted.
    pub(super) fn remember(&mut self, connection: usize, number: usize) {
        let message = &self.records[number].message;
        if message.kind == Kind::Ack || !matches!(message.meaning, Meaning::Route) {
            return;
        }
        let original = self.original(number);
        if let Some(memory) = self.connections[connection].memory {
            let remembers = &mut self.memories[memory];
            remembers.messages.insert(original);
            self.records[number].remembered = Some((memory, remembers.lives));
        }
    }

    /// Messages that `sender` had sent were given up. Says who else is to be
    /// told of it.
    pub(super) fn forget(&mut self, sender: usize, given_up: &[usize]) -> Option<usize> {
        let memory = self.given_memory(sender)?;
        let originals: Vec<usize> = given_up.iter().map(|&n| self.original(n)).collect();
        let memory = &mut self.memories[memory];
        memory.messages.retain(|known| !originals.contains(known));
        let user = memory.user;
        (user != sender).then_some(user)
    }

    /// What is remembered together is delivered together once: of the copies of
    /// a message that one memory has seen, one was accepted and not given up.
    pub(super) fn audit_copies(&self) {
        let mut accepted = BTreeSet::new();
        for (number, record) in self.records.iter().enumerate() {
            let lives = record.fate == Fate::Accepted && record.given_up == 0;
            if let Some(place) = record.remembered.filter(|_| lives) {
                let is_first = accepted.insert((place, self.original(number)));
                let id = &record.message.id;
                assert!(is_first, "audit: {id} was accepted twice");
            }
        }
    }
}
