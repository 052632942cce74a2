//! Messages that a queue still held when it ended, and the reports of them to
//! their senders.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::Entry;
use crate::ids::{ConnectionId, MsgId, Name};
use crate::loss;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::connection::{ConnectionHandle, Report};
use crate::stats::{Counters, Stats};
use crate::wire;

#[derive(Debug, Default)]
pub(crate) struct Undeliverable(HashMap<ConnectionId, SenderLoss>);

/// The messages of one sender that were given up.
#[derive(Debug)]
struct SenderLoss {
    origin: Arc<ConnectionHandle>,
    count: u64,
    first_msg_id: Option<MsgId>,
    /// The accepted ids that contain theirs, if they are kept.
    accepted_ids: Option<Arc<AcceptedIds>>,
    /// Their ids, if accepted ids are kept.
    msg_ids: Vec<MsgId>,
}

impl Undeliverable {
    pub(crate) fn add(&mut self, entry: Entry) {
        let Some(origin) = entry.origin else { return };
        let known = self.0.entry(origin.id()).or_insert_with(|| SenderLoss {
            count: 0,
            first_msg_id: wire::first_msg_id(&entry.bytes),
            accepted_ids: origin.accepted_ids(),
            msg_ids: Vec::new(),
            origin,
        });
        known.count += u64::from(entry.messages);
        if known.accepted_ids.is_some() {
            known.msg_ids.extend(wire::msg_ids(&entry.bytes));
        }
    }

    /// Tells the senders that their messages to `target` were given up, and counts
    /// those.
    pub(crate) fn report(self, target: &Name, counters: &Counters) {
        self.log(target);
        for sender in self.0.into_values() {
            let (origin, count) = (sender.origin, sender.count);
            let done = Stats {
                given_up: count,
                ..Stats::default()
            };
            counters.add(origin.id(), &done);
            let report = Report::Undelivered {
                target: target.clone(),
                count,
                first_msg_id: sender.first_msg_id,
            };
            match sender.accepted_ids {
                None => origin.report(report),
                Some(accepted_ids) => accepted_ids.give_up(&sender.msg_ids, &origin, report),
            }
        }
    }

    /// Logs the loss: for senders that are gone this is the only word. All share
    /// one line, for there may be as many as connections.
    fn log(&self, target: &Name) {
        let count: u64 = self.0.values().map(|sender| sender.count).sum();
        let senders = self.0.len();
        if count > 0 {
            tracing::warn!(target: loss::TARGET, %target, count, senders, "undelivered");
        }
        for sender in self.0.values() {
            let (id, count) = (sender.origin.id(), sender.count);
            tracing::debug!(%target, sender = %id, count, "undelivered");
        }
    }
}
