//! What a receiver missed: the report of it, which stands in its queue in the
//! place of what was dropped.

use uuid::Uuid;

use crate::ids::{MsgId, Name};
use crate::wire::{AnswerIds, AnswerWriter, ErrorCode, ErrorDetails};

/// Messages that were dropped for one receiver, with none delivered to it in
/// between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DropNotice {
    /// The server's own name.
    server: Name,
    /// The name whose owner missed them; none for broadcasts.
    name: Option<Name>,
    pub(crate) count: u64,
    pub(crate) first: MsgId,
    pub(crate) last: MsgId,
    /// When the last was dropped, in milliseconds since the epoch.
    pub(crate) unix_ms: i64,
}

impl DropNotice {
    /// One message was dropped, for who owns `name` or hears broadcasts of
    /// `server`.
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

    /// Takes in what was dropped right after this.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.count += later.count;
        self.last = later.last;
        self.unix_ms = later.unix_ms;
    }

    /// Notes in `gap` that what is in `later` was dropped as well.
    pub(crate) fn note(gap: &mut Option<Self>, later: Self) {
        match gap {
            Some(gap) => gap.extend(&later),
            None => *gap = Some(later),
        }
    }

    /// The `MESSAGES_DROPPED` that tells the receiver of it, as a frame.
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
