//! Notices of messages that a receiver missed. Each becomes a report in its
//! queue, in the place of the dropped messages.

use uuid::Uuid;

use crate::ids::{MsgId, Name};
use crate::wire::{AnswerIds, AnswerWriter, ErrorCode, ErrorDetails};

/// Messages dropped for one receiver, with none delivered to it in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DropNotice {
    /// The server's own name.
    server: Name,
    /// The name that they were sent to; none for broadcasts.
    name: Option<Name>,
    pub(crate) count: u64,
    pub(crate) first: MsgId,
    pub(crate) last: MsgId,
    /// The time of the last drop, in milliseconds since 1970.
    pub(crate) unix_ms: i64,
}

impl DropNotice {
    /// Makes the notice of one dropped message: sent to `name`, or a broadcast.
    pub(crate) fn new(server: &Name, name: Option<&Name>, msg_id: MsgId, unix_ms: i64) -> Self {
        Self {
            server: server.clone(),
            name: name.cloned(),
            count: 1,
            first: msg_id,
            last: msg_id,
            unix_ms,
        }
    }

    /// Adds messages that were dropped right after these.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.count += later.count;
        self.last = later.last;
        self.unix_ms = later.unix_ms;
    }

    /// Adds the messages of `later` to the notice in `known`, if there is one.
    pub(crate) fn note(known: &mut Option<Self>, later: Self) {
        match known {
            Some(known) => known.extend(&later),
            None => *known = Some(later),
        }
    }

    /// The `MESSAGES_DROPPED` frame that tells the receiver.
    pub(crate) fn report(&self) -> Vec<u8> {
        let target = self.name.as_ref().map(Name::as_str);
        let details = ErrorDetails {
            name: Some(target),
            count: Some(self.count),
            first_msg_id: Some(self.first.as_str()),
            last_msg_id: Some(self.last.as_str()),
            ..ErrorDetails::default()
        };
        let mut answering = AnswerWriter {
            server: &self.server,
            ids: &mut AnswerIds::new(Uuid::new_v4()),
            unix_ms: self.unix_ms,
        };
        let mut frame = Vec::new();
        answering.append_error(
            &mut frame,
            target,
            ErrorCode::MessagesDropped,
            "the queue was full, because you read too slowly: messages are missing here",
            &details,
        );
        frame
    }
}
