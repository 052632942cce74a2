//! Errors to the client that answer no frame: lost names, undelivered messages, the
//! reason of a close.

use crate::ids::{MsgId, Name};
use crate::router::connection::Report;
use crate::router::mailbox::Claim;
use crate::router::now::Now;
use crate::router::session::{Attention, Session};
use crate::wire::{ErrorCode, ErrorDetails};

impl Session {
    /// Answers the reports that arrived, with errors to the client.
    pub fn handle_reports(&mut self, now: Now) -> Attention {
        let reports = self.handle.take_reports();
        if reports.is_empty() {
            return Attention::Continue;
        }
        self.answers.set_time(now);
        self.answer_reports(reports)
    }

    /// Answers reports with errors to the client.
    pub(super) fn answer_reports(&mut self, reports: Vec<Report>) -> Attention {
        let mut lost_name = false;
        for report in reports {
            match report {
                Report::NameTakenOver(name) => {
                    lost_name = true;
                    let details = ErrorDetails {
                        name: Some(Some(name.as_str())),
                        ..ErrorDetails::default()
                    };
                    self.answers.error(
                        Some(name.as_str()),
                        ErrorCode::NameTakenOver,
                        "another connection took this name over with a hello; don't reconnect",
                        &details,
                    );
                }
                Report::Undelivered {
                    target,
                    count,
                    first_msg_id,
                } => self.answer_undelivered(&target, count, first_msg_id),
            }
        }
        self.claims.retain(Claim::is_current);
        if lost_name && self.claims.is_empty() {
            Attention::Close
        } else {
            Attention::Continue
        }
    }

    /// Tells the client of accepted messages that were given up.
    pub(super) fn answer_undelivered(
        &mut self,
        target: &Name,
        count: u64,
        first_msg_id: Option<MsgId>,
    ) {
        let details = ErrorDetails {
            target: Some(target.as_str()),
            count: Some(count),
            first_msg_id: first_msg_id.as_ref().map(MsgId::as_str),
            ..ErrorDetails::default()
        };
        let name = self.name();
        self.answers.error(
            name.as_ref().map(Name::as_str),
            ErrorCode::Undelivered,
            "accepted messages could not be delivered: the owner of their target left, and no \
             other came in time",
            &details,
        );
    }

    /// Tells the client the reason of the close that follows, and the message that
    /// it concerns.
    pub fn close_with(&mut self, code: ErrorCode, reason: &str, msg_id: Option<MsgId>, now: Now) {
        self.answers.set_time(now);
        let details = ErrorDetails {
            msg_id: msg_id.as_ref().map(MsgId::as_str),
            ..ErrorDetails::default()
        };
        let name = self.name();
        self.answers
            .error(name.as_ref().map(Name::as_str), code, reason, &details);
    }
}
