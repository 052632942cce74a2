//! Writing the entries of a mailbox to its owner.

use bytes::Bytes;

use super::Mailbox;
use super::flow_window::Ahead;
use super::in_flight::{InFlight, Slices};
use crate::sync::MutexGuard;

/// The right to write the entries of a mailbox.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    mailbox: &'a Mailbox,
    in_flight: MutexGuard<'a, InFlight>,
}

impl<'a> Delivery<'a> {
    /// Begins a delivery to the owner.
    pub(super) fn begin(mailbox: &'a Mailbox, mut in_flight: MutexGuard<'a, InFlight>) -> Self {
        in_flight.fill(&mailbox.queue);
        Self { mailbox, in_flight }
    }

    /// Begins a delivery to a member of a group, of the entries that it has taken.
    pub(super) fn of_member(mailbox: &'a Mailbox, in_flight: MutexGuard<'a, InFlight>) -> Self {
        Self { mailbox, in_flight }
    }

    /// Returns whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Takes the oldest frame, for an owner inside the process, and returns it with
    /// whether others of its entry follow. Those are still the queue's: they go to
    /// the next owner, or are reported.
    pub(crate) fn take_frame(&mut self) -> Option<(Bytes, bool)> {
        let frame = self.in_flight.first_frame()?;
        let others_follow = self.advance(frame.len());
        if others_follow {
            self.cut();
        }
        Some((frame, others_follow))
    }

    /// See [`InFlight::offer`].
    pub(crate) fn offer<'s>(&'s self, slices: &mut Slices<'s>, most: usize) -> usize {
        self.in_flight.offer(slices, most)
    }

    /// See [`InFlight::ahead`].
    pub(crate) fn ahead(&self) -> impl Iterator<Item = Ahead> + '_ {
        self.in_flight.ahead()
    }

    /// Gives back the room of the frames that are wholly written, also of an entry
    /// that isn't. Returns whether a frame is now partly written.
    pub(crate) fn cut(&mut self) -> bool {
        let messages = self.in_flight.cut();
        self.mailbox.release(messages, 0);
        self.in_flight.is_partial()
    }

    /// Accounts for `bytes` of the offer that were written. Returns whether an
    /// entry is now partly written: its rest must go to the connection before
    /// anything else.
    pub(crate) fn advance(&mut self, bytes: usize) -> bool {
        let (messages, charge) = self.in_flight.advance(bytes);
        self.mailbox.release(messages, charge);
        self.in_flight.is_partial()
    }
}
