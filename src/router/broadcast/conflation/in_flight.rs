//! The messages that were taken out of a conflated queue for one write.

use std::collections::VecDeque;

use bytes::Bytes;

use super::backlog::Message;
use super::queue::ConflatedQueue;
use crate::router::mailbox::Slices;
use crate::router::mailbox::flow_window::Ahead;

/// Messages that are taken out for one write.
const TAKEN_MAX: usize = 32;

/// See the [module](self). Between two writes it holds at most a message that is
/// partly written: the others wait in the queue, where they can be replaced.
#[derive(Debug, Default)]
pub(crate) struct ConflatedInFlight {
    messages: VecDeque<Message>,
    /// Written bytes of the first message; always fewer than it has.
    written: usize,
    /// Whether messages were taken out that may have to be given back.
    has_taken: bool,
}

impl ConflatedInFlight {
    /// Whether a message is partly written: its rest must be written next.
    pub(crate) fn is_partial(&self) -> bool {
        self.written > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes messages for one write out of `queue`.
    pub(crate) fn fill(&mut self, queue: &ConflatedQueue) {
        if queue.has_mail() {
            self.has_taken = true;
            queue.take(&mut self.messages, TAKEN_MAX);
        }
    }

    /// Adds the next bytes, `most` at most, to `slices`. Returns their number.
    pub(crate) fn offer<'a>(&'a self, slices: &mut Slices<'a>, most: usize) -> usize {
        let parts = self.messages.iter().map(|message| &message.frame[..]);
        slices.fill(parts, self.written, most)
    }

    /// The messages that are not wholly written, in order.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = Ahead> + '_ {
        self.messages.iter().enumerate().map(|(index, message)| {
            let written = if index == 0 { self.written } else { 0 };
            Ahead {
                bytes: message.frame.len() - written,
                is_begun: written > 0,
                is_message: !message.is_report(),
            }
        })
    }

    /// Accounts for `bytes` more written bytes.
    pub(crate) fn advance(&mut self, bytes: usize, queue: &ConflatedQueue) {
        let (mut count, mut charge) = (0, 0);
        self.written += bytes;
        while let Some(head) = self.messages.front() {
            if self.written < head.frame.len() {
                break;
            }
            self.written -= head.frame.len();
            count += usize::from(head.charge > 0);
            charge += head.charge;
            self.messages.pop_front();
        }
        queue.release(count, charge);
    }

    /// Gives the unwritten messages back. Returns how many were replaced meanwhile.
    pub(crate) fn give_back(&mut self, queue: &ConflatedQueue) -> u64 {
        if !std::mem::take(&mut self.has_taken) {
            return 0;
        }
        let begun = usize::from(self.is_partial());
        queue.give_back(self.messages.drain(begun..).rev())
    }

    /// Takes the oldest message whole. Call it only while none is partly written.
    pub(crate) fn take_one(&mut self, queue: &ConflatedQueue) -> Option<Bytes> {
        if !queue.has_mail() {
            return None;
        }
        queue.take(&mut self.messages, 1);
        let message = self.messages.pop_front()?;
        queue.release(usize::from(message.charge > 0), message.charge);
        queue.give_back(std::iter::empty());
        Some(message.frame.into())
    }
}
