//! What a session does with broadcasts: it finds out who hears them, and looks
//! into those that somebody chooses among.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::forward::Forward;
use super::run::ReadScratch;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::broadcast::BroadcastContext;
use crate::router::now::Now;
use crate::router::session::Session;
use crate::wire::Table;

impl Session {
    /// Sees to it that it is known who hears the broadcasts of this read, and
    /// says whether somebody chooses among them, or something of them is kept.
    pub(super) fn has_filters(&self, forward: &mut Forward) -> bool {
        if !forward.knows_audience() {
            let id = self.handle.id();
            // The pass first: what is then found of the audience stays so.
            forward.selective.get_pass(&self.shared.snapshots, id);
            forward.set_audience(&self.shared.registry.members.audience(), id);
        }
        forward.selective.is_active()
    }

    /// Finds out who wants the last message of the run, a broadcast. `shapes`
    /// are those of which one has just recognised it, if one did.
    #[inline]
    pub(super) fn match_subscribers(
        &self,
        workspace: &mut ReadScratch,
        shapes: Option<&Table>,
        window: &[u8],
        frame: &Range<usize>,
        now: Now,
    ) {
        let ReadScratch {
            run,
            forward,
            hints,
            ..
        } = workspace;
        let json_bytes = frame.len().saturating_sub(FRAME_PREFIX_BYTES);
        let slots = shapes.and_then(|shapes| hints.slots(shapes, json_bytes));
        let sending = || self.sending(now);
        (forward.selective).match_subscribers(run.view(window), frame, slots, sending);
    }

    /// What is the same for all messages of this read.
    pub(super) fn sending(&self, now: Now) -> BroadcastContext<'_> {
        let config = &self.shared.config;
        BroadcastContext {
            server: &config.name,
            capacity: config.capacity(),
            unix_ms: now.unix_ms,
        }
    }
}
