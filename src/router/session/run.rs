//! The run that a session is gathering, and the buffers it works in.

use std::ops::Range;

use bytes::BytesMut;

use super::answers::SenderIndex;
use super::forward::Forward;
use super::routes::RouteIndex;
use super::{Session, Step};
use crate::ids::MsgId;
use crate::router::broadcast::RunView;
use crate::router::now::Now;
use crate::wire::{Hints, Kind, Parser, Validation};

/// The buffers that [`Session::receive`](crate::router::Session::receive) works in. One
/// a thread is enough: a session keeps nothing there once what it gathered is
/// queued, so an idle connection holds none.
#[derive(Debug)]
pub struct ReadScratch {
    pub(super) parser: Parser,
    pub(super) hints: Hints,
    pub(super) run: Run,
    pub(super) forward: Forward,
    /// How many receivers missed each frame of a run.
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
    /// Begins to take reads. The messages that they have for subscribers are
    /// gathered, and queued when the guard is dropped.
    pub fn begin(&mut self) -> Gathering<'_> {
        Gathering(self)
    }

    /// Queues the gathered messages.
    pub(super) fn flush(&mut self) {
        self.forward.fan_out.flush();
    }
}

/// Reads whose messages for subscribers are gathered, so that several reads make
/// one entry of a queue. An ack must not leave before its message is queued: drop
/// this before anything is written.
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

/// Consecutive frames of one kind, source and target.
#[derive(Debug)]
pub(super) struct Run {
    /// Where the first frame not yet settled begins in the input.
    pub(super) start: usize,
    /// Bytes of all, prefixes included.
    pub(super) total: usize,
    /// Bytes of each, prefix included.
    pub(super) sizes: Vec<u32>,
    pub(super) ids: Vec<MsgId>,
    pub(super) kind: Kind,
    pub(super) sender: SenderIndex,
    pub(super) route: RouteIndex,
    /// Whether they are broadcasts that are looked into.
    pub(super) is_filtered: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            start: 0,
            total: 0,
            sizes: Vec::new(),
            ids: Vec::new(),
            kind: Kind::IngestEvent,
            sender: SenderIndex::default(),
            route: RouteIndex::default(),
            is_filtered: false,
        }
    }
}

impl Run {
    /// The run, as those see it who hear broadcasts.
    pub(super) fn view<'a>(&'a self, input: &'a [u8]) -> RunView<'a> {
        RunView {
            input,
            ids: &self.ids,
            sizes: &self.sizes,
            start: self.start,
            total: self.total,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, frame: &Range<usize>, msg_id: MsgId) {
        self.total += frame.len();
        self.sizes.push(frame.len() as u32);
        self.ids.push(msg_id);
    }

    /// Begins with one frame of `whole`.
    pub(super) fn begin(&mut self, frame: &Range<usize>, msg_id: MsgId, whole: &Self) {
        self.clear();
        self.start = frame.start;
        self.kind = whole.kind;
        self.sender = whole.sender;
        self.route = whole.route;
        self.push(frame, msg_id);
    }

    /// Bytes of some of its frames.
    #[inline]
    pub(super) fn bytes_of(&self, frames: &Range<usize>) -> usize {
        if frames.len() == self.sizes.len() {
            return self.total;
        }
        let sizes = &self.sizes[frames.clone()];
        sizes.iter().map(|&size| size as usize).sum()
    }

    /// Its first `bytes` bytes are admitted.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.total -= bytes;
    }

    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.sizes.clear();
        self.ids.clear();
        // What comes next may be no message of a run at all.
        self.is_filtered = false;
    }
}
