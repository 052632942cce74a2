//! The memory that a session holds beside its queues: answers, and input that is
//! received and not taken.

use std::task::Waker;

use super::Session;
use crate::budget::Purpose;

impl Session {
    /// How much may be read, where `held` bytes that were received are not taken:
    /// nothing while memory is short, if they are more than every connection may
    /// have.
    #[must_use]
    pub fn room_to_read(&self, held: usize) -> usize {
        self.shared.budget.room_to_read(held)
    }

    /// Counts what was received and not taken: `bytes` from now on.
    #[inline]
    pub fn hold_input(&mut self, bytes: usize) {
        (self.shared.budget).recount(Purpose::Input, &mut self.counted.1, bytes);
    }

    /// Has `waker` woken when there may be room to read, until
    /// [`Session::stop_waiting_to_read`]. Ask again afterwards.
    pub fn wait_to_read(&self, waker: &Waker) {
        self.shared.budget.wait_to_read(self.handle.id(), waker);
    }

    /// Reading is not waited for any more.
    pub fn stop_waiting_to_read(&self) {
        self.shared.budget.stop_waiting_to_read(self.handle.id());
    }

    #[inline]
    pub(super) fn count_answers(&mut self) {
        let bytes = self.answers.held_bytes();
        (self.shared.budget).recount(Purpose::Queued, &mut self.counted.0, bytes);
    }
}
