//! The promises once more, message by message, when all is over.

use super::{Fate, Model, Record};
use crate::router::tests::sim::messages::Meaning;

impl Model {
    /// Holds the promises against the facts, once nobody is connected any more.
    pub(in super::super) fn audit(&self) {
        assert!(self.names.is_empty(), "names: somebody still owns one");
        for record in &self.records {
            record.audit();
        }
        self.audit_copies();
    }
}

impl Record {
    fn audit(&self) {
        let id = &self.message.id;
        assert!(
            self.answered <= 1,
            "audit: {id} was answered {} times",
            self.answered
        );
        let ended = self.delivered + self.given_up + self.died;
        assert_eq!(ended, self.due, "audit: copies of {id}");
        if self.fate != Fate::Accepted {
            assert_eq!(self.due + self.repeated, 0, "audit: {id} was not accepted");
        }
        if !matches!(self.message.meaning, Meaning::Route) {
            assert_eq!(self.due, 0, "audit: {id} is for nobody");
        }
        if self.message.target.is_some() {
            assert!(self.due + self.missed <= 1, "audit: {id} has one receiver");
        }
    }
}
