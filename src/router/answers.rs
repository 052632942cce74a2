//! The answers of one session: what waits to be written, and the templates
//! that make the next ack cheap.

#![forbid(unsafe_code)]

use uuid::Uuid;

use super::now::Now;
use crate::ids::{MsgId, Name};
use crate::limits::CONTROL_LANE_BYTES;
use crate::wire::{
    AckTemplate, AnswerIds, AnswerTime, Answering, ErrorCode, ErrorDetails, Refusal, Welcome,
};

/// Sources whose template is kept: most connections have one, one that speaks
/// for others a few.
const SENDERS_MAX: usize = 8;

/// A source that this session has seen, and how it is acknowledged.
#[derive(Debug)]
struct Sender {
    name: Name,
    template: AckTemplate,
    /// The time that the template carries.
    stamped_unix_ms: i64,
}

/// Which of the remembered senders; valid until another one is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SenderIndex(usize);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Answers {
    server: Name,
    ids: AnswerIds,
    out: Vec<u8>,
    /// Bytes of `out` that are written.
    written: usize,
    unix_ms: i64,
    senders: Vec<Sender>,
    /// The next place to give to another sender once all are taken.
    next: usize,
}

impl Answers {
    pub(crate) fn new(server: Name, seed: Uuid) -> Self {
        Self {
            server,
            ids: AnswerIds::new(seed),
            out: Vec::new(),
            written: 0,
            unix_ms: 0,
            senders: Vec::new(),
            next: 0,
        }
    }

    /// Sets the time of the answers that follow.
    pub(crate) fn set_time(&mut self, now: Now) {
        self.unix_ms = now.unix_ms;
    }

    // ---- what waits ----

    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.out[self.written..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.out.len()
    }

    /// Whether so much waits that the session should take no more input.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() - self.written >= CONTROL_LANE_BYTES
    }

    /// `bytes` more were written.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.out.len());
        if self.is_empty() {
            self.written = 0;
            // An idle connection holds no buffer beyond an ordinary one.
            if self.out.capacity() > 2 * CONTROL_LANE_BYTES {
                self.out = Vec::new();
            } else {
                self.out.clear();
            }
        } else if self.written > self.unwritten().len() {
            // A peer that always leaves something unread would have all its
            // answers kept. No more is moved than was written since.
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Takes everything that waits.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.written = 0;
        std::mem::take(&mut self.out)
    }

    /// Gives the buffer back while nothing waits in it.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.out = Vec::new();
            self.written = 0;
        }
    }

    // ---- senders ----

    /// The sender called `name`, if that is the one at `index`.
    #[inline]
    pub(crate) fn is_sender(&self, index: SenderIndex, name: &[u8]) -> bool {
        self.senders
            .get(index.0)
            .is_some_and(|sender| sender.name.as_bytes() == name)
    }

    /// Finds or remembers a sender. `None` if it is no valid name.
    pub(crate) fn sender(&mut self, name: &[u8]) -> Option<SenderIndex> {
        let known = self.senders.iter().position(|s| s.name.as_bytes() == name);
        if let Some(index) = known {
            return Some(SenderIndex(index));
        }
        let name = Name::from_utf8(name).ok()?;
        let sender = Sender {
            template: AckTemplate::new(&self.server, &name),
            stamped_unix_ms: i64::MIN,
            name,
        };
        if self.senders.len() < SENDERS_MAX {
            self.senders.push(sender);
            return Some(SenderIndex(self.senders.len() - 1));
        }
        let index = self.next;
        self.next = (self.next + 1) % SENDERS_MAX;
        self.senders[index] = sender;
        Some(SenderIndex(index))
    }

    pub(crate) fn sender_name(&self, index: SenderIndex) -> &Name {
        &self.senders[index.0].name
    }

    // ---- answers ----

    /// Acknowledges messages of one sender. `missed[i]` receivers missed the
    /// i-th; what is beyond its end was missed by nobody.
    pub(crate) fn ack_each(&mut self, sender: SenderIndex, messages: &[MsgId], missed: &[u32]) {
        let sender = &mut self.senders[sender.0];
        if sender.stamped_unix_ms != self.unix_ms {
            sender.stamped_unix_ms = self.unix_ms;
            sender
                .template
                .set_time(&AnswerTime::from_unix_ms(self.unix_ms));
        }
        for (index, message) in messages.iter().enumerate() {
            let (out, ids) = (&mut self.out, &mut self.ids);
            match missed.get(index) {
                None | Some(0) => sender.template.append(out, ids, message),
                Some(&dropped) => {
                    sender
                        .template
                        .append_dropped(out, ids, message, dropped.into());
                }
            }
        }
    }

    /// Says why a frame was refused.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        let details = ErrorDetails {
            msg_id: refusal.msg_id.as_ref().map(MsgId::as_str),
            field: refusal.field.as_deref(),
            ..ErrorDetails::default()
        };
        let target = refusal.source.as_ref().map(Name::as_str);
        self.error(target, refusal.code, &refusal.reason, &details);
    }

    /// Tells of an error that concerns the name `target`, or none.
    pub(crate) fn error(
        &mut self,
        target: Option<&str>,
        code: ErrorCode,
        message: &str,
        details: &ErrorDetails<'_>,
    ) {
        let (mut answering, out) = self.answering();
        answering.append_error(out, target, code, message, details);
    }

    /// Answers a `hello` of `target`.
    pub(crate) fn welcome(&mut self, target: &str, welcome: &Welcome) {
        let (mut answering, out) = self.answering();
        answering.append_welcome(out, target, welcome);
    }

    fn answering(&mut self) -> (Answering<'_>, &mut Vec<u8>) {
        let answering = Answering {
            server: &self.server,
            ids: &mut self.ids,
            unix_ms: self.unix_ms,
        };
        (answering, &mut self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_makes_room_although_something_always_waits() {
        let server = Name::new("tickwire").unwrap();
        let mut answers = Answers::new(server, Uuid::nil());
        let sender = answers.sender(b"a").unwrap();
        let messages = [MsgId::from(Uuid::nil()); 100];
        let mut expected = Vec::new();
        let mut written = Vec::new();
        for _ in 0..200 {
            let before = answers.unwritten().len();
            answers.ack_each(sender, &messages, &[]);
            expected.extend_from_slice(&answers.unwritten()[before..]);
            // All but the last few bytes leave.
            let bytes = answers.unwritten().len() - 10;
            written.extend_from_slice(&answers.unwritten()[..bytes]);
            answers.advance(bytes);
        }
        written.extend_from_slice(answers.unwritten());
        assert_eq!(written, expected);
        assert!(
            answers.out.capacity() <= 2 * CONTROL_LANE_BYTES,
            "{} bytes are held for 10 that wait",
            answers.out.capacity()
        );
    }
}
