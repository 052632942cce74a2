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
        let attention = self.answer_reports(reports);
        self.answers.close_batch();
        self.count_answers();
        attention
    }

    /// Answers reports with errors to the client.
    pub(super) fn answer_reports(&mut self, reports: Vec<Report>) -> Attention {
        let mut lost_name = false;
        for report in reports {
            lost_name |= matches!(report, Report::NameTakenOver(_));
            self.answer_report(&report);
        }
        self.claims.retain(Claim::is_current);
        if lost_name && self.claims.is_empty() {
            Attention::Close
        } else {
            Attention::Continue
        }
    }

    pub(super) fn answer_report(&mut self, report: &Report) {
        match report {
            Report::NameTakenOver(name) => {
                let name = Some(name.as_str());
                let details = ErrorDetails {
                    name: Some(name),
                    ..ErrorDetails::default()
                };
                let reason = "another connection took this name over with a hello; don't reconnect";
                (self.answers).error(name, ErrorCode::NameTakenOver, reason, &details);
            }
            Report::Undelivered {
                target,
                count,
                first_msg_id,
            } => {
                let details = ErrorDetails {
                    target: Some(target.as_str()),
                    count: Some(*count),
                    first_msg_id: first_msg_id.as_ref().map(MsgId::as_str),
                    ..ErrorDetails::default()
                };
                let reason = "accepted messages could not be delivered: the owner of their target \
                              left, and no other came in time";
                self.tell(ErrorCode::Undelivered, reason, &details);
            }
            Report::Stored { parts, outcome } => self.answer_stored(*parts, *outcome),
        }
    }

    /// Tells the client the reason of the close that follows, and the message that
    /// it concerns.
    pub fn close_with(&mut self, code: ErrorCode, reason: &str, msg_id: Option<MsgId>, now: Now) {
        self.answers.set_time(now);
        let details = ErrorDetails {
            msg_id: msg_id.as_ref().map(MsgId::as_str),
            ..ErrorDetails::default()
        };
        self.tell(code, reason, &details);
    }

    /// Answers with an error about the whole connection.
    fn tell(&mut self, code: ErrorCode, reason: &str, details: &ErrorDetails<'_>) {
        let name = self.name();
        let target = name.as_ref().map(Name::as_str);
        self.answers.error(target, code, reason, details);
    }
}
