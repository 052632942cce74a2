//! The insides of a session, for tests.

use std::sync::Arc;

use super::Session;
use super::run::ReadScratch;
use crate::ids::ConnectionId;
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::mailbox::flow_window::Window;
use crate::router::mailbox::queue_state::Reservation;
use crate::wire::Hints;

impl Session {
    pub(crate) fn receiver(&self) -> &Arc<BroadcastReceiver> {
        &self.receiver
    }

    pub(crate) fn window(&self) -> Option<Window> {
        self.output.window
    }

    pub(crate) fn accepted_ids(&self) -> Option<&Arc<AcceptedIds>> {
        self.memory.as_ref()
    }
}

impl ReadScratch {
    pub(crate) fn hints(&mut self) -> &mut Hints {
        &mut self.hints
    }

    /// Room for broadcasts of a connection that is reserved ahead.
    pub(crate) fn reserved_ahead(&self, id: ConnectionId) -> Reservation {
        self.forward.selective.reserved_ahead(id)
    }
}
