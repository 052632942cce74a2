//! The memory that a session holds beside its queues: answers, and input that is not
//! taken yet.

use std::task::Waker;

use super::Session;
use crate::budget::Purpose;

impl Session {
    /// Returns the bytes that may be read while `held` bytes of input are not
    /// taken: none while memory is short and `held` is above the share that every
    /// connection may have.
    #[must_use]
    pub fn room_to_read(&self, held: usize) -> usize {
        self.shared.budget.room_to_read(held)
    }

    /// Sets the bytes that are counted for input that is not taken.
    #[inline]
    pub fn hold_input(&mut self, bytes: usize) {
        (self.shared.budget).recount(Purpose::Input, &mut self.counted_input, bytes);
    }

    /// Registers `waker` for room to read, until [`Session::stop_waiting_to_read`].
    /// Call [`Session::room_to_read`] again afterwards.
    pub fn wait_to_read(&self, waker: &Waker) {
        self.shared.budget.wait_to_read(self.handle.id(), waker);
    }

    /// Takes back the waker of [`Session::wait_to_read`].
    pub fn stop_waiting_to_read(&self) {
        self.shared.budget.stop_waiting_to_read(self.handle.id());
    }

    #[inline]
    pub(super) fn count_answers(&mut self) {
        let bytes = self.answers.held_bytes();
        (self.shared.budget).recount(Purpose::Queued, &mut self.counted_answers, bytes);
    }
}
