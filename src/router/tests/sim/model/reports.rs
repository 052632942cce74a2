//! Reports to a connection: lost names, and messages that were given up.

use std::collections::BTreeMap;

use super::{Connection, Expected, Model, Report};

impl Model {
    /// Tells the senders that messages to `name` were given up.
    pub(super) fn give_up(&mut self, name: &str, frames: &[usize]) {
        let mut given_up: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &number in frames {
            let record = &mut self.records[number];
            record.given_up += 1;
            self.done.given_up += 1;
            given_up.entry(record.sender).or_default().push(number);
        }
        for (sender, numbers) in given_up {
            let undelivered = |first| Report::Undelivered {
                target: name.to_owned(),
                count: numbers.len() as u64,
                first,
            };
            self.report(sender, undelivered(numbers.first().copied()));
            if let Some(user) = self.forget(sender, &numbers) {
                self.report(user, undelivered(None));
                self.meet("who has resumed is told UNDELIVERED");
            }
        }
    }

    pub(super) fn report(&mut self, connection: usize, report: Report) {
        self.connections[connection].be_told(report);
    }

    /// Attends to the reports of `connection`. Returns whether it lost its last
    /// name.
    pub(in super::super) fn attend(&mut self, connection: usize) -> bool {
        !self.connections[connection].reports.is_empty() && self.tell(connection)
    }

    /// Reports become answers.
    pub(super) fn tell(&mut self, connection: usize) -> bool {
        let told = &mut self.connections[connection];
        let mut lost_name = false;
        for report in std::mem::take(&mut told.reports) {
            lost_name |= matches!(report, Report::TakenOver(_));
            if matches!(report, Report::Undelivered { .. }) {
                *self.met.entry("a sender is told UNDELIVERED").or_default() += 1;
            }
            told.expected.push_back(Expected::Report(report));
        }
        let claims = std::mem::take(&mut self.connections[connection].claims);
        let kept = claims
            .into_iter()
            .filter(|(name, grant)| self.is_current(name, *grant));
        let kept = kept.collect();
        self.connections[connection].claims = kept;
        lost_name && self.connections[connection].claims.is_empty()
    }
}

impl Connection {
    /// Adds a report; those of one target are told at once.
    fn be_told(&mut self, report: Report) {
        if let Report::Undelivered {
            target,
            count,
            first,
        } = &report
        {
            for earlier in &mut self.reports {
                if let Report::Undelivered {
                    target: known,
                    count: sum,
                    first: earliest,
                } = earlier
                    && known == target
                {
                    *sum += count;
                    *earliest = earliest.filter(|_| first.is_some());
                    return;
                }
            }
        }
        self.reports.push(report);
    }
}
