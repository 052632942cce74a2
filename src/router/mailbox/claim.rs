//! The right of a connection to receive from a mailbox.

use std::sync::Arc;

use super::delivery::Delivery;
use super::group::Membership;
use super::{Mailbox, NotOwner};
use crate::ids::{Epoch, Name};
use crate::sync::lock;
use crate::wire::filter::Pointer;

/// The way in which a connection owns its names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Ownership {
    /// No other connection owns them.
    #[default]
    Sole,
    /// The connection shares them with others that ask for the same; messages
    /// with equal values at `key` go to the same member.
    Group { key: Option<Pointer> },
}

/// The reason why a connection can't have a name in the way that it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excluded {
    /// A group owns it.
    Group,
    /// A connection owns it alone.
    Owner,
    /// A group owns it and has agreed on another key.
    Key,
    /// A connection that was made later owns it.
    Newer,
    /// It is durable, and no group can share it.
    Durable,
}

/// The right to receive from a mailbox: alone until another connection takes the
/// name over, or together with the members of a group.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) epoch: Epoch,
    /// The membership in the group that shares the name.
    pub(crate) membership: Option<Arc<Membership>>,
}

impl Claim {
    pub(crate) fn name(&self) -> &Name {
        self.mailbox.name()
    }

    /// Returns whether the name was neither taken over nor given up since.
    pub(crate) fn is_current(&self) -> bool {
        match &self.membership {
            None => self.mailbox.is_owned_at(self.epoch),
            Some(membership) => !membership.has_left(),
        }
    }

    pub(crate) fn is(&self, ownership: &Ownership) -> bool {
        match (ownership, &self.membership) {
            (Ownership::Sole, None) => true,
            (Ownership::Group { key }, Some(_)) => self.mailbox.group().key() == *key,
            _ => false,
        }
    }

    /// Begins a delivery. Until it is dropped nobody can take the name over, so
    /// it must be short.
    pub(crate) fn deliver(&self) -> Result<Delivery<'_>, NotOwner> {
        self.deliver_within(None)
    }

    /// Begins a delivery to a connection that may be handed `room` messages more:
    /// the others are left for the other members of the group.
    pub(crate) fn deliver_within(&self, room: Option<usize>) -> Result<Delivery<'_>, NotOwner> {
        match &self.membership {
            None => self.mailbox.deliver(self.epoch),
            Some(membership) => self.mailbox.deliver_to_member(membership, room),
        }
    }

    /// Begins a delivery; `None` if another connection is delivering from the
    /// mailbox. A connection that delivers from several mailboxes at once waits
    /// for the first only: two connections that took names from each other could
    /// otherwise wait for one another.
    pub(crate) fn try_deliver(&self) -> Option<Result<Delivery<'_>, NotOwner>> {
        match &self.membership {
            None => self.mailbox.try_deliver(self.epoch),
            // Nobody holds a membership's lock, nor the group's, and waits.
            Some(membership) => Some(self.mailbox.deliver_to_member(membership, None)),
        }
    }

    /// Frees memory that an idle owner doesn't need.
    pub(crate) fn shrink(&self) {
        // Nothing is taken from the queue for that: a member's window may have no
        // room for it, and the other members would wait.
        match &self.membership {
            None => {
                if let Ok(mut in_flight) = self.mailbox.consume(self.epoch) {
                    in_flight.shrink();
                }
            }
            Some(membership) => lock(&membership.in_flight).shrink(),
        }
    }
}
