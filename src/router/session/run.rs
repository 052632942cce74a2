//! A run of frames that are admitted together.

use std::ops::Range;

use super::answers::SenderIndex;
use super::routes::RouteIndex;
use crate::ids::MsgId;
use crate::router::broadcast::RunView;
use crate::wire::Kind;

/// Consecutive frames of one kind, source and target.
#[derive(Debug)]
pub(super) struct Run {
    /// The place of the first frame in the input that is not admitted yet.
    pub(super) start: usize,
    /// Bytes of all those frames, prefixes included.
    pub(super) total: usize,
    /// Bytes of each frame, prefix included.
    pub(super) sizes: Vec<u32>,
    pub(super) ids: Vec<MsgId>,
    pub(super) kind: Kind,
    pub(super) sender: SenderIndex,
    pub(super) route: RouteIndex,
    /// The frames are broadcasts that subscribers choose among or snapshots keep.
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
    /// Returns the run as a broadcast.
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

    /// Begins a run of one frame, which is part of `whole`.
    pub(super) fn begin(&mut self, frame: &Range<usize>, msg_id: MsgId, whole: &Self) {
        self.clear();
        self.start = frame.start;
        self.kind = whole.kind;
        self.sender = whole.sender;
        self.route = whole.route;
        self.push(frame, msg_id);
    }

    /// Returns the bytes of some of the frames.
    #[inline]
    pub(super) fn bytes_of(&self, frames: &Range<usize>) -> usize {
        if frames.len() == self.sizes.len() {
            return self.total;
        }
        let sizes = &self.sizes[frames.clone()];
        sizes.iter().map(|&size| size as usize).sum()
    }

    /// Notes that the first `bytes` bytes are admitted.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.total -= bytes;
    }

    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.sizes.clear();
        self.ids.clear();
        // The next frame may belong to no run.
        self.is_filtered = false;
    }
}
