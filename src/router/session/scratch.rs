//! The buffers of a read, and the guard that flushes them.

use bytes::BytesMut;

use super::forward::Forward;
use super::run::Run;
use super::{Session, Step};
use crate::router::now::Now;
use crate::wire::{Hints, Parser, Validation};

/// The buffers of [`Session::receive`]. One a thread is enough: between reads a
/// session keeps nothing in them.
#[derive(Debug)]
pub struct ReadScratch {
    pub(super) parser: Parser,
    pub(super) hints: Hints,
    pub(super) run: Run,
    pub(super) forward: Forward,
    /// The number of receivers that missed each frame of the run.
    pub(super) missed: Vec<u32>,
}

impl Default for ReadScratch {
    fn default() -> Self {
        Self {
            parser: Parser::new(Validation::Payload),
            hints: Hints::default(),
            run: Run::default(),
            forward: Forward::default(),
            missed: Vec::new(),
        }
    }
}

impl ReadScratch {
    /// Begins to take reads. Their messages for subscribers are gathered, and
    /// queued when the guard is dropped.
    pub fn begin(&mut self) -> Gathering<'_> {
        Gathering(self)
    }

    /// Queues the gathered messages.
    pub(super) fn flush(&mut self) {
        self.forward.fan_out.flush();
    }
}

/// A row of reads that gathers their messages for subscribers, so that several
/// reads make one entry of a queue. An ack must not leave before its message is
/// queued: drop this before anything is written.
#[derive(Debug)]
#[must_use]
pub struct Gathering<'a>(&'a mut ReadScratch);

impl Gathering<'_> {
    /// Takes the complete frames at the front of `input`, for `session`.
    pub fn read(&mut self, session: &mut Session, input: &mut BytesMut, now: Now) -> Step {
        session.read(self.0, input, now)
    }

    /// Returns whether something is gathered that grows with the next read.
    #[must_use]
    pub fn is_growing(&self) -> bool {
        self.0.forward.fan_out.is_gathering()
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
}
