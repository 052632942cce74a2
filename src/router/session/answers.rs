//! The answers of one session that wait to be written, and the templates that make
//! the next ack cheap.

use uuid::Uuid;

use super::recent::{Place, Recent};
use crate::ids::{MsgId, Name};
use crate::limits::{CONTROL_LANE_BYTES, CONTROL_LANE_SHORT_BYTES};
use crate::router::now::Now;
use crate::wire::{
    AckTemplate, Acks, AnswerIds, AnswerWriter, BatchAck, Durability, ErrorCode, ErrorDetails,
    Refusal, Welcome,
};

/// A source that this session has seen.
#[derive(Debug)]
struct Sender {
    name: Name,
    /// The template, made for the first ack, and again after an idle time.
    template: Option<AckTemplate>,
}

/// The place of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SenderIndex(Place);

/// The client's options for the acks of its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AckOptions {
    pub(crate) acks: Acks,
    /// Each ack tells the number of receivers that missed the message, even if none.
    pub(crate) details: bool,
}

impl Default for AckOptions {
    fn default() -> Self {
        Self {
            acks: Acks::Each,
            details: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answers {
    server: Name,
    ids: AnswerIds,
    out: Vec<u8>,
    /// Bytes of `out` that are written.
    written: usize,
    unix_ms: i64,
    /// Waiting bytes beyond which no more input is taken.
    bytes_max: usize,
    ack_options: AckOptions,
    /// Inside the process acks are values: for each accepted message, the number of
    /// receivers that missed it. `None` for a connection.
    accepted: Option<Vec<u32>>,
    /// The ack that several messages share. It is open only while frames are taken:
    /// every reader of `out` finds whole frames.
    batch: Option<Box<BatchAck>>,
    /// Where the messages are kept that are acknowledged now, if not in memory.
    durability: Option<Durability>,
    /// The latest senders, with their templates.
    senders: Recent<Sender>,
}

impl Answers {
    pub(crate) fn new(server: Name, seed: Uuid) -> Self {
        Self {
            server,
            ids: AnswerIds::new(seed),
            out: Vec::new(),
            written: 0,
            unix_ms: 0,
            bytes_max: CONTROL_LANE_BYTES,
            ack_options: AckOptions::default(),
            accepted: None,
            batch: None,
            durability: None,
            senders: Recent::default(),
        }
    }

    /// Sets the time of the answers that follow.
    pub(crate) fn set_time(&mut self, now: Now) {
        self.unix_ms = now.unix_ms;
    }

    // ---- waiting bytes ----

    pub(crate) fn unwritten(&self) -> &[u8] {
        debug_assert!(self.is_whole());
        &self.out[self.written..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.out.len()
    }

    /// Returns whether so much waits that the session should take no more input.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() - self.written >= self.bytes_max
    }

    /// Lets fewer bytes wait while memory is short.
    pub(crate) fn set_short(&mut self, is_short: bool) {
        self.bytes_max = match is_short {
            true => CONTROL_LANE_SHORT_BYTES,
            false => CONTROL_LANE_BYTES,
        };
    }

    /// Returns the bytes of memory that the answers take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.out.capacity()
    }

    /// Notes that `bytes` more were written.
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
            // Where a client always leaves something unread, the buffer would grow
            // for ever. No more bytes are moved than were written since.
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Takes the waiting bytes.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        debug_assert!(self.is_whole());
        self.written = 0;
        std::mem::take(&mut self.out)
    }

    /// Frees the buffers, unless answers wait.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.out = Vec::new();
            self.written = 0;
            self.batch = None;
            for sender in self.senders.iter_mut() {
                sender.template = None;
            }
        }
    }

    /// Returns whether `out` holds only whole frames.
    fn is_whole(&self) -> bool {
        !self.batch.as_ref().is_some_and(|batch| batch.is_open())
    }

    // ---- senders ----

    /// Returns whether the sender at `index` is called `name`.
    #[inline]
    pub(crate) fn is_sender(&self, index: SenderIndex, name: &[u8]) -> bool {
        let sender = self.senders.get(index.0);
        sender.is_some_and(|sender| sender.name.as_bytes() == name)
    }

    /// Finds or remembers a sender. Returns `None` if `name` is no valid name.
    pub(crate) fn sender(&mut self, name: &[u8]) -> Option<SenderIndex> {
        if let Some(known) = self.senders.find(|known| known.name.as_bytes() == name) {
            return Some(SenderIndex(known));
        }
        let name = Name::from_utf8(name).ok()?;
        let template = None;
        Some(SenderIndex(self.senders.add(Sender { name, template })))
    }

    pub(crate) fn sender_name(&self, index: SenderIndex) -> &Name {
        &self.senders[index.0].name
    }

    // ---- answers ----

    /// Sets where the messages that follow are kept, if not in memory.
    pub(crate) fn set_durability(&mut self, durability: Option<Durability>) {
        self.close_batch();
        self.durability = durability;
    }

    pub(crate) fn ack_options(&self) -> &AckOptions {
        &self.ack_options
    }

    /// Sets how the messages that follow are acknowledged.
    pub(crate) fn set_ack_options(&mut self, options: AckOptions) {
        self.close_batch();
        self.batch = None;
        self.ack_options = options;
    }

    /// Acknowledges messages of one sender, as the client wants it. `first_name` is
    /// the first name of the connection. `missed[i]` receivers missed the i-th
    /// message; beyond its end no receiver missed any.
    pub(crate) fn acknowledge(
        &mut self,
        sender: SenderIndex,
        first_name: Option<&Name>,
        messages: &[MsgId],
        missed: &[u32],
    ) {
        if let Some(accepted) = &mut self.accepted {
            let missed = missed.iter().copied().chain(std::iter::repeat(0));
            accepted.extend(missed.take(messages.len()));
            return;
        }
        match self.ack_options.acks {
            Acks::Batch => self.ack_together(first_name, messages, missed),
            Acks::None => {}
            _ => self.ack_each(sender, messages, missed),
        }
    }

    /// Acknowledges by values from now on, for a participant inside the process.
    pub(crate) fn acknowledge_by_values(&mut self) {
        self.accepted = Some(Vec::new());
    }

    pub(crate) fn are_by_values(&self) -> bool {
        self.accepted.is_some()
    }

    /// Takes the acks that are values: for each message accepted since the last call,
    /// the number of receivers that missed it.
    pub(crate) fn drain_accepted(&mut self) -> impl Iterator<Item = u32> {
        self.accepted
            .iter_mut()
            .flat_map(|accepted| accepted.drain(..))
    }

    /// Acknowledges messages of one sender, each by an ack of its own.
    pub(crate) fn ack_each(&mut self, sender: SenderIndex, messages: &[MsgId], missed: &[u32]) {
        self.close_batch();
        let details = self.ack_options.details;
        let durability = self.durability.filter(|_| details);
        let (out, ids) = (&mut self.out, &mut self.ids);
        let Sender { name, template } = &mut self.senders[sender.0];
        let template = template.get_or_insert_with(|| AckTemplate::new(&self.server, Some(name)));
        template.set_time(self.unix_ms);
        for (index, message) in messages.iter().enumerate() {
            let start = out.len();
            match missed.get(index) {
                None | Some(0) if !details => template.append(out, ids, message),
                missed => {
                    let dropped = missed.copied().unwrap_or(0);
                    template.append_dropped(out, ids, message, dropped.into());
                }
            }
            if let Some(durability) = durability {
                AckTemplate::say_durability(out, start, durability);
            }
        }
    }

    fn ack_together(&mut self, first_name: Option<&Name>, messages: &[MsgId], missed: &[u32]) {
        let known = self.batch.take();
        let known = known.filter(|batch| batch.is_open() || batch.target() == first_name);
        let batch = self.batch.insert(known.unwrap_or_else(|| {
            let details = self.ack_options.details;
            Box::new(BatchAck::new(&self.server, first_name, details))
        }));
        if !batch.is_open() {
            batch.set_durability(self.durability);
        }
        batch.append(&mut self.out, &mut self.ids, self.unix_ms, messages, missed);
    }

    /// Completes the ack that several messages share, if one is open. Every other
    /// answer does so first, and so does the end of a read.
    pub(crate) fn close_batch(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.close(&mut self.out);
        }
    }

    /// Answers a refused frame with its error.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        let details = ErrorDetails::of(refusal);
        let target = refusal.source.as_ref().map(Name::as_str);
        self.error(target, refusal.code, &refusal.reason, &details);
    }

    /// Appends an error to the name `target`, or to no name.
    pub(crate) fn error(
        &mut self,
        target: Option<&str>,
        code: ErrorCode,
        message: &str,
        details: &ErrorDetails<'_>,
    ) {
        let (mut writer, out) = self.writer();
        writer.append_error(out, target, code, message, details);
    }

    /// Answers a `hello` of `target`.
    pub(crate) fn welcome(&mut self, target: &str, welcome: &Welcome) {
        let (mut writer, out) = self.writer();
        writer.append_welcome(out, target, welcome);
    }

    /// Returns the writer of all answers but acks.
    fn writer(&mut self) -> (AnswerWriter<'_>, &mut Vec<u8>) {
        self.close_batch();
        let writer = AnswerWriter {
            server: &self.server,
            ids: &mut self.ids,
            unix_ms: self.unix_ms,
        };
        (writer, &mut self.out)
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
