//! The right to receive what is addressed to a name.

use std::sync::Arc;

use super::delivery::Delivery;
use super::group::Membership;
use crate::ids::{Epoch, Name};
use crate::router::mailbox::{Mailbox, NotOwner};
use crate::wire::filter::Pointer;

/// Whether a connection has its names for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Ownership {
    /// Nobody else has.
    #[default]
    Sole,
    /// It shares them with others that say the same; messages with equal values
    /// at `key` go to the same of them.
    Group { key: Option<Pointer> },
}

/// Why a name can't be had in the way that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excluded {
    /// A group has it.
    Group,
    /// A connection has it for itself.
    Owner,
    /// A group has it that has agreed on another key.
    Key,
}

/// The right to receive what is addressed to a name, until somebody takes it
/// over, or together with others.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) epoch: Epoch,
    /// The place in the group that shares the name.
    pub(crate) membership: Option<Arc<Membership>>,
}

impl Claim {
    pub(crate) fn name(&self) -> &Name {
        self.mailbox.name()
    }

    /// Whether the name was neither taken over nor given up since.
    pub(crate) fn is_current(&self) -> bool {
        match &self.membership {
            None => self.mailbox.is_owned_at(self.epoch),
            Some(membership) => !membership.has_left(),
        }
    }

    /// Whether the name is had in this way.
    pub(crate) fn is(&self, ownership: &Ownership) -> bool {
        match (ownership, &self.membership) {
            (Ownership::Sole, None) => true,
            (Ownership::Group { key }, Some(_)) => self.mailbox.group_key() == *key,
            _ => false,
        }
    }

    /// Begins a delivery of what is queued. Until it is dropped nobody can take
    /// the name over, so it is to be short.
    pub(crate) fn deliver(&self) -> Result<Delivery<'_>, NotOwner> {
        self.deliver_within(None)
    }

    /// The same for a connection that may be handed `room` messages more: what
    /// is beyond is left for those who share the name.
    pub(crate) fn deliver_within(&self, room: Option<usize>) -> Result<Delivery<'_>, NotOwner> {
        match &self.membership {
            None => self.mailbox.deliver(self.epoch),
            Some(membership) => self.mailbox.deliver_to_member(membership, room),
        }
    }

    /// The same; `None` if somebody else is at the name just now. Who delivers for
    /// several names at once waits for the first only: two who took names from
    /// each other could otherwise wait for one another.
    pub(crate) fn try_deliver(&self) -> Option<Result<Delivery<'_>, NotOwner>> {
        match &self.membership {
            None => self.mailbox.try_deliver(self.epoch),
            // Nobody holds a membership's lock, nor the group's, and waits.
            Some(membership) => Some(self.mailbox.deliver_to_member(membership, None)),
        }
    }

    /// Gives back what an owner doesn't need while it is idle.
    pub(crate) fn shrink(&self) {
        if let Ok(mut delivery) = self.deliver() {
            delivery.shrink();
        }
    }
}
