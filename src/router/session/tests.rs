//! The insides of a session, for the tests of the router.

use std::sync::Arc;

use bytes::BytesMut;

use super::read::ReadScratch;
use super::{Session, Step};
use crate::router::broadcast::BroadcastReceiver;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::mailbox::flow_window::Window;
use crate::router::now::Now;
use crate::wire::Hints;

impl Session {
    /// Takes a read. The messages gathered for subscribers wait for
    /// [`ReadScratch::queue_gathered`].
    pub(crate) fn gather(
        &mut self,
        scratch: &mut ReadScratch,
        input: &mut BytesMut,
        now: Now,
    ) -> Step {
        self.read(scratch, input, &[], now)
    }

    pub(crate) fn receiver(&self) -> &Arc<BroadcastReceiver> {
        &self.receiver
    }

    pub(crate) fn window(&self) -> Option<Window> {
        self.output.window
    }

    pub(crate) fn accepted_ids(&self) -> Option<&Arc<AcceptedIds>> {
        self.accepted_ids.as_ref()
    }
}

impl ReadScratch {
    pub(crate) fn is_gathering(&self) -> bool {
        self.forward.fan_out.is_gathering()
    }

    pub(crate) fn queue_gathered(&mut self) {
        self.forward.fan_out.flush();
    }

    pub(crate) fn hints(&mut self) -> &mut Hints {
        &mut self.hints
    }
}
