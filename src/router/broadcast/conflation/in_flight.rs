//! What was taken out of a conflating lane to be written.

#![forbid(unsafe_code)]

use std::collections::VecDeque;

use bytes::Bytes;

use crate::router::broadcast::conflation::{ConflatedQueue, Message, TAKEN_MAX};
use crate::router::mailbox::Slices;
use crate::router::mailbox::flow_window::Ahead;

/// See the [module](self). Between two writes it holds nothing but a message
/// that is partly written: what else waits can still be replaced.
#[derive(Debug, Default)]
pub(crate) struct ConflatedInFlight {
    messages: VecDeque<Message>,
    /// Bytes of the first message that are written; always fewer than it has.
    written: usize,
    /// Whether something was taken out that may have to be given back.
    is_out: bool,
}

impl ConflatedInFlight {
    /// Whether the first message is partly written: nothing else may go to the
    /// same connection before its rest.
    pub(crate) fn is_partial(&self) -> bool {
        self.written > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes out of `lane` what one write can have.
    pub(crate) fn fill(&mut self, lane: &ConflatedQueue) {
        if lane.has_mail() {
            self.is_out = true;
            lane.take(&mut self.messages, TAKEN_MAX);
        }
    }

    /// Adds what is to be written to `slices`, as far as there is room, and
    /// `most` bytes at most. Says how many bytes that are.
    pub(crate) fn offer<'a>(&'a self, slices: &mut Slices<'a>, most: usize) -> usize {
        let mut bytes = 0;
        let mut skip = self.written;
        for message in &self.messages {
            let part = &message.frame[skip..];
            let part = &part[..part.len().min(most - bytes)];
            skip = 0;
            if !slices.push(part) {
                break;
            }
            bytes += part.len();
        }
        bytes
    }

    /// The messages that are not wholly written, in their order.
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

    /// Accounts for `bytes` more that were written.
    pub(crate) fn advance(&mut self, bytes: usize, lane: &ConflatedQueue) {
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
        lane.release(count, charge);
    }

    /// Gives back what is not begun to be written. Says how many of it a newer
    /// message has replaced meanwhile.
    pub(crate) fn give_back(&mut self, lane: &ConflatedQueue) -> u64 {
        if !std::mem::take(&mut self.is_out) {
            return 0;
        }
        let begun = usize::from(self.is_partial());
        lane.give_back(self.messages.drain(begun..).rev())
    }

    /// Takes the oldest message whole. To be called only while none is partly
    /// written.
    pub(crate) fn take_one(&mut self, lane: &ConflatedQueue) -> Option<Bytes> {
        if !lane.has_mail() {
            return None;
        }
        lane.take(&mut self.messages, 1);
        let message = self.messages.pop_front()?;
        lane.release(usize::from(message.charge > 0), message.charge);
        lane.give_back(std::iter::empty());
        Some(message.frame.into())
    }
}
