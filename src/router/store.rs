//! The store of the messages to durable names, as the router sees it.
//!
//! A session submits messages and goes on. The store answers, in the order of the
//! submissions, once the messages are on disk. It delivers them through the [`Outlet`] of
//! their target, where that has an owner.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;

pub(crate) use super::connection::StoreOutcome;
pub(crate) use super::mailbox::{StoredBytes, StoredMessage};
use crate::budget::Budget;
use crate::ids::{ConnectionId, Epoch, Name};
use crate::limits::UNSETTLED_MAX;
use crate::router::connection::{ConnectionHandle, Report};
use crate::router::mailbox::{Mailbox, NotOwner, QueuePart};

/// The store among those that wait for room: connections are numbered from 1 on.
const STORE: ConnectionId = ConnectionId(0);

/// Keeps the messages to durable names. Implemented above the router.
pub(crate) trait MessageStore: fmt::Debug + Send + Sync {
    /// Takes over the parts of one read. Each is answered by [`Origin::answer`], in
    /// their order.
    fn submit(&self, submission: Submission);

    /// A name has a new owner: deliver to it everything that is not settled.
    fn deliver_to(&self, outlet: Outlet);
}

/// The parts of one read of a connection that concern the store.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) origin: Origin,
    /// The bytes that the runs are in.
    pub(crate) input: StoredBytes,
    /// The bytes of each frame, and its id, of one part after the other.
    pub(crate) frames: Vec<(u32, u128)>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug)]
pub(crate) enum Part {
    /// Frames side by side, to be kept.
    Run {
        target: Name,
        source: Name,
        /// The place of the first in the input.
        start: usize,
        frames: usize,
    },
    /// Frames that an earlier connection had accepted. They are answered once those are
    /// on disk.
    Known { frames: usize },
    /// Messages to the name `target` that its owner has settled.
    Settled {
        target: Name,
        messages: Vec<StoredMessage>,
    },
}

/// The connection that has submitted something.
#[derive(Debug, Clone)]
pub(crate) struct Origin(Arc<ConnectionHandle>);

impl Origin {
    pub(super) fn new(handle: &Arc<ConnectionHandle>) -> Self {
        Self(Arc::clone(handle))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Answers the oldest `parts` that are not answered.
    pub(crate) fn answer(&self, parts: u32, outcome: StoreOutcome) {
        self.0.report(Report::Stored { parts, outcome });
    }

    /// Forgets that messages were accepted: when they are sent again they are new.
    /// Leaves `msg_ids` empty.
    pub(crate) fn forget(&self, msg_ids: &mut Vec<u128>) {
        let forgotten = std::mem::take(msg_ids);
        if !forgotten.is_empty()
            && let Some(accepted) = self.0.accepted_ids()
        {
            accepted.forget(forgotten);
        }
    }

    /// Returns whether a message is still known to be accepted.
    pub(crate) fn knows(&self, msg_id: u128) -> bool {
        let accepted = self.0.accepted_ids();
        accepted.is_some_and(|accepted| accepted.knows_number(msg_id))
    }
}

/// The way to the owner of a durable name, in one epoch.
#[derive(Debug)]
pub(crate) struct Outlet {
    mailbox: Arc<Mailbox>,
    epoch: Epoch,
}

impl Outlet {
    pub(super) fn new(mailbox: &Arc<Mailbox>, epoch: Epoch) -> Self {
        Self {
            mailbox: Arc::clone(mailbox),
            epoch,
        }
    }

    pub(crate) fn name(&self) -> &Name {
        self.mailbox.name()
    }

    /// Returns whether the owner still has the name.
    pub(crate) fn is_open(&self) -> bool {
        self.mailbox.is_owned_at(self.epoch)
    }

    /// Takes messages back whose settlement could not be stored, so that it can be tried
    /// again.
    pub(crate) fn put_back(&self, messages: &[StoredMessage]) {
        self.mailbox.put_back(self.epoch, messages);
    }

    /// Delivers as many messages as there is room for, from the first on, and takes them
    /// off `messages`. They are side by side in `input`, from `start` on, which is moved.
    /// If some are left, `waker` is woken when there may be room for them, unless the
    /// owner has to settle others first.
    ///
    /// # Errors
    /// The owner has lost the name.
    pub(crate) fn deliver(
        &self,
        messages: &mut VecDeque<StoredMessage>,
        input: &StoredBytes,
        start: &mut usize,
        budget: &Arc<Budget>,
        waker: &Waker,
    ) -> Result<(), NotOwner> {
        let mut sizes = Vec::new();
        let mut has_waited = false;
        while !messages.is_empty() {
            let room = UNSETTLED_MAX.saturating_sub(self.mailbox.unsettled());
            sizes.clear();
            sizes.extend(messages.iter().take(room).map(|message| message.bytes));
            if sizes.is_empty() {
                return Ok(());
            }
            let total = sizes.iter().map(|&size| size as usize).sum();
            let part = QueuePart::Ordinary;
            let granted = self.mailbox.reserve(&sizes, total, part);
            let granted = granted.map_err(|_| NotOwner)?;
            if granted == 0 {
                if std::mem::replace(&mut has_waited, true) {
                    return Ok(());
                }
                // Wait first, then look: room that appears in between wakes us.
                self.mailbox.wait_for_room(STORE, waker);
                if budget.is_short() {
                    budget.wait_for_room(STORE, waker);
                }
                continue;
            }
            let bytes = sizes[..granted].iter().map(|&size| size as usize).sum();
            let entry = input.entry(*start..*start + bytes, granted as u32, budget);
            let delivered = messages.drain(..granted);
            (self.mailbox).deliver_stored(self.epoch, delivered, entry, bytes)?;
            *start += bytes;
        }
        Ok(())
    }
}
