//! The run that a session is gathering, and the buffers it works in.

use std::ops::Range;

use super::answers::SenderIndex;
use super::forward::Forward;
use super::routes::RouteIndex;
use crate::ids::MsgId;
use crate::wire::{Hints, Kind, Parser, Validation};

/// The buffers that [`Session::receive`](super::Session::receive) works in. One
/// a thread is enough: a session keeps nothing there once what it gathered is
/// queued, so an idle connection holds none.
#[derive(Debug)]
pub struct Workspace {
    pub(super) parser: Parser,
    pub(super) hints: Hints,
    pub(super) run: Run,
    pub(super) forward: Forward,
    /// How many receivers missed each frame of a run.
    pub(super) missed: Vec<u32>,
}

impl Default for Workspace {
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

impl Workspace {
    /// Whether [`Session::gather`](super::Session::gather) has left something
    /// here that grows with what is gathered next: what several subscribers get.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        self.forward.selective.is_gathering()
    }

    /// Queues what [`Session::gather`](super::Session::gather) has left here.
    pub fn flush(&mut self) {
        self.forward.selective.flush();
    }
}

/// Consecutive frames of one kind, source and target.
#[derive(Debug)]
pub(super) struct Run {
    /// Where the first frame not yet settled begins in the window.
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
    pub(super) is_looked_into: bool,
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
            is_looked_into: false,
        }
    }
}

impl Run {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, frame: &Range<usize>, msg_id: MsgId) {
        self.total += frame.len();
        self.sizes.push(frame.len() as u32);
        self.ids.push(msg_id);
    }

    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.sizes.clear();
        self.ids.clear();
        // What comes next may be no message of a run at all.
        self.is_looked_into = false;
    }
}
