//! The accepted ids of resumable connections, so that no message is delivered
//! again when it is sent again.

use std::collections::BTreeSet;

use super::names::Ownership;
use super::{Expected, Fate, Model, Report};
use crate::router::tests::sim::messages::{Hello, Meaning};
use crate::wire::Kind;

/// The accepted messages of a connection, and of those that resumed it.
#[derive(Debug)]
pub(super) struct AcceptedIds {
    /// The connection that it was made for, or that resumed it last.
    user: usize,
    /// Messages, each by its first copy.
    messages: BTreeSet<usize>,
    /// Whether they are recognised: somebody has resumed.
    recognizes: bool,
    /// Whether it was made for a connection that found nothing to resume.
    is_substitute: bool,
    /// The number of times that its user had it forget, or let resent messages
    /// be new.
    lives: u32,
}

/// The place of an accepted message: the accepted ids, and one of their lives.
pub(super) type Place = (usize, u32);

impl Model {
    /// The first copy of a message: one that is sent again is the same.
    pub(super) fn original(&self, number: usize) -> usize {
        self.records[number].original
    }

    /// Whether the accepted ids belong to a connection or to a name.
    fn is_kept(&self, accepted: usize) -> bool {
        let mut connections = self.connections.iter();
        let mut names = self.names.values();
        connections.any(|known| known.accepted == Some(accepted))
            || names.any(|held| held.accepted == Some(accepted))
    }

    /// The last accepted ids of `connection`, if they are kept.
    fn given_accepted(&self, connection: usize) -> Option<usize> {
        let given = self.connections[connection].given_accepted;
        given.filter(|&accepted| self.is_kept(accepted))
    }

    pub(super) fn is_resumable(&self, connection: usize) -> bool {
        let accepted = self.connections[connection].accepted;
        accepted.is_some_and(|accepted| self.accepted_ids[accepted].user == connection)
    }

    pub(super) fn has_resumed(&self, connection: usize) -> bool {
        let accepted = self.connections[connection].accepted;
        self.is_resumable(connection)
            && accepted.is_some_and(|own| self.accepted_ids[own].recognizes)
    }

    /// Follows a `hello` that has decided the names of `connection`.
    pub(super) fn choose_accepted(&mut self, connection: usize, hello: &Hello) {
        let known = self.connections[connection].accepted;
        let resume = hello.resume.unwrap_or(false);
        let resumable = hello.resumable.unwrap_or(resume || known.is_some());
        if hello.resume == Some(false)
            && self.has_resumed(connection)
            && let Some(known) = known
        {
            self.accepted_ids[known].recognizes = false;
            self.accepted_ids[known].lives += 1;
        }
        self.keep_accepted(connection, resumable, resume);
        if resume {
            self.meet(match self.has_resumed(connection) {
                true => "a connection is resumed",
                false => "there is nothing to resume",
            });
        }
    }

    /// Keeps the accepted ids at the first name, and at no other name of the
    /// connection.
    pub(super) fn keep_accepted(&mut self, connection: usize, resumable: bool, resume: bool) {
        let asks = &self.connections[connection];
        let has_place = resumable && asks.ownership == Ownership::Sole;
        let names: Vec<String> = asks.claims.iter().map(|(name, _)| name.clone()).collect();
        let (first, others) = names.split_at(usize::from(has_place).min(names.len()));
        let kept = first
            .first()
            .and_then(|name| self.attach_accepted(connection, name, resume));
        for name in others {
            self.drop_accepted(name);
        }
        if kept.is_none()
            && self.is_resumable(connection)
            && let Some(own) = self.connections[connection].accepted.take()
        {
            self.accepted_ids[own].messages.clear();
            self.accepted_ids[own].recognizes = false;
            self.accepted_ids[own].lives += 1;
        }
        let known = &mut self.connections[connection].accepted;
        *known = kept.or(*known);
    }

    pub(super) fn drop_accepted(&mut self, name: &str) {
        if let Some(held) = self.names.get_mut(name) {
            held.accepted = None;
        }
    }

    fn attach_accepted(&mut self, connection: usize, name: &str, resume: bool) -> Option<usize> {
        let earlier = self.names.get(name)?.accepted;
        let can_be_resumed = |&earlier: &usize| {
            let accepted = &self.accepted_ids[earlier];
            resume && (!accepted.is_substitute || !accepted.messages.is_empty())
        };
        let accepted = match (self.given_accepted(connection), earlier) {
            (Some(own), _) => Some(own).filter(|&own| self.accepted_ids[own].user == connection),
            (None, Some(earlier)) if can_be_resumed(&earlier) => {
                self.accepted_ids[earlier].user = connection;
                self.accepted_ids[earlier].recognizes = true;
                Some(earlier)
            }
            (None, _) => {
                self.accepted_ids.push(AcceptedIds {
                    user: connection,
                    messages: BTreeSet::new(),
                    recognizes: false,
                    is_substitute: resume,
                    lives: 0,
                });
                Some(self.accepted_ids.len() - 1)
            }
        };
        let given = &mut self.connections[connection].given_accepted;
        *given = accepted.or(*given);
        self.names.get_mut(name)?.accepted = accepted;
        accepted
    }

    // ---- messages ----

    /// Where messages of `kind` are looked for before they are taken.
    fn recognizing(&self, connection: usize, kind: Kind) -> Option<&AcceptedIds> {
        let accepted = self.connections[connection].accepted?;
        let accepted = &self.accepted_ids[accepted];
        (kind != Kind::Ack && accepted.recognizes).then_some(accepted)
    }

    /// Whether something in `run` is known, so that its messages are taken one
    /// by one.
    pub(super) fn is_taken_one_by_one(&self, connection: usize, run: &[usize]) -> bool {
        let Some(&first) = run.first() else {
            return false;
        };
        let kind = self.records[first].message.kind;
        let accepted = self.recognizing(connection, kind);
        accepted.is_some_and(|accepted| {
            let mut known = accepted.messages.clone();
            run.iter()
                .any(|&number| !known.insert(self.original(number)))
        })
    }

    /// Whether the message is known: then it is acknowledged and that is all.
    pub(super) fn recognizes(&mut self, connection: usize, number: usize) -> bool {
        let (kind, original) = (self.records[number].message.kind, self.original(number));
        let Some(accepted) = self.recognizing(connection, kind) else {
            return false;
        };
        if accepted.messages.contains(&original) {
            self.records[number].fate = Fate::Known;
            self.done.duplicates += 1;
            self.acknowledge(connection, number, 0, 0);
            self.meet("a message that is known is acknowledged again");
            return true;
        }
        self.answer_undelivered(connection);
        false
    }

    /// A given-up message is new again, and its report comes first.
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
        if let Some(accepted) = self.connections[connection].accepted {
            let remembers = &mut self.accepted_ids[accepted];
            remembers.messages.insert(original);
            self.records[number].remembered = Some((accepted, remembers.lives));
        }
    }

    /// Forgets messages of `sender` that were given up. Returns the other
    /// connection that is to hear of it.
    pub(super) fn forget(&mut self, sender: usize, given_up: &[usize]) -> Option<usize> {
        let accepted = self.given_accepted(sender)?;
        let originals: Vec<usize> = given_up.iter().map(|&n| self.original(n)).collect();
        let accepted = &mut self.accepted_ids[accepted];
        accepted.messages.retain(|known| !originals.contains(known));
        let user = accepted.user;
        (user != sender).then_some(user)
    }

    /// Checks that messages remembered together were delivered together once:
    /// of the copies of a message, one was accepted and not given up.
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
