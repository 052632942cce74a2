//! What a session does with broadcasts: it finds out who hears them, and looks
//! into those that somebody chooses among.

use std::ops::Range;

use super::forward::{Forward, Sending};
use super::now::Now;
use super::run::Workspace;
use super::selective::Source;
use super::session::Session;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::Table;

impl Session {
    /// Sees to it that it is known who hears the broadcasts of this read, and
    /// says whether somebody chooses among them, or something of them is kept.
    pub(super) fn finds_choosers(&self, forward: &mut Forward) -> bool {
        if !forward.knows_audience() {
            let id = self.peer.id();
            // The pass first: what is then found of the audience stays so.
            forward.selective.get_pass(&self.shared.snapshots, id);
            forward.set_audience(&self.shared.registry.members.audience(), id);
        }
        forward.selective.is_active()
    }

    /// Finds out who wants the last message of the run, a broadcast. `shapes`
    /// are those of which one has just recognised it, if one did.
    #[inline]
    pub(super) fn look_into(
        &self,
        workspace: &mut Workspace,
        shapes: Option<&Table>,
        window: &[u8],
        frame: &Range<usize>,
        now: Now,
    ) {
        let Workspace {
            run,
            forward,
            hints,
            ..
        } = workspace;
        let json_bytes = frame.len().saturating_sub(FRAME_PREFIX_BYTES);
        let slots = shapes.and_then(|shapes| hints.slots(shapes, json_bytes));
        let source = Source { window, run };
        let sending = || self.sending(now);
        (forward.selective).look_into(source, frame, slots, sending);
    }

    /// What is the same for all messages of this read.
    pub(super) fn sending(&self, now: Now) -> Sending<'_> {
        let config = &self.shared.config;
        Sending {
            server: &config.name,
            capacity: config.capacity(),
            unix_ms: now.unix_ms,
        }
    }
}
