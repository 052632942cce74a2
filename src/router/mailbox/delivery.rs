//! Writing what is queued for a name.

#![forbid(unsafe_code)]

use super::flow_window::Ahead;
use super::in_flight::{InFlight, Slices};
use crate::router::mailbox::Mailbox;
use crate::sync::MutexGuard;

/// The right to write what is queued for a name.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    mailbox: &'a Mailbox,
    in_flight: MutexGuard<'a, InFlight>,
}

impl<'a> Delivery<'a> {
    /// To the owner.
    pub(crate) fn begin(mailbox: &'a Mailbox, mut in_flight: MutexGuard<'a, InFlight>) -> Self {
        in_flight.fill(&mailbox.queue);
        Self { mailbox, in_flight }
    }

    /// To a member of a group, of what it has taken.
    pub(crate) fn of_member(mailbox: &'a Mailbox, in_flight: MutexGuard<'a, InFlight>) -> Self {
        Self { mailbox, in_flight }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Gives back what an owner doesn't need while it is idle.
    pub(crate) fn shrink(&mut self) {
        self.in_flight.shrink();
    }

    /// See [`InFlight::offer`].
    pub(crate) fn offer<'s>(&'s self, slices: &mut Slices<'s>, most: usize) -> usize {
        self.in_flight.offer(slices, most)
    }

    /// See [`InFlight::ahead`].
    pub(crate) fn ahead(&self) -> impl Iterator<Item = Ahead> + '_ {
        self.in_flight.ahead()
    }

    /// Gives back the room of the frames that are wholly written, also of a run
    /// that isn't. Says whether a frame is now partly written.
    pub(crate) fn cut(&mut self) -> bool {
        let messages = self.in_flight.cut();
        self.mailbox.release(messages, 0);
        self.in_flight.is_partial()
    }

    /// `bytes` of what was offered were written. Says whether a run is now
    /// partly written: nothing else may go to the connection before its rest.
    pub(crate) fn advance(&mut self, bytes: usize) -> bool {
        let (messages, charge) = self.in_flight.advance(bytes);
        self.mailbox.release(messages, charge);
        self.in_flight.is_partial()
    }
}
