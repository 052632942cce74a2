//! A backlog behind a lock, which is held while a message is copied in, or while some
//! are taken out, and never while they are written.

use std::collections::VecDeque;
use std::iter::once;
use std::sync::Arc;

use super::backlog::{Backlog, Message, PushOutcome};
use crate::budget::Budget;
use crate::router::broadcast::subscriptions::Keys;
use crate::router::mailbox::queue_state::Capacity;
use crate::router::mailbox::{DropNotice, EntryBytes};
use crate::sync::{AtomicUsize, Mutex, Ordering, lock};

/// Bytes that are taken out for one write, but for the last message.
const TAKEN_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct ConflatedQueue {
    /// Messages and notices that wait; readable without the lock.
    waiting: AtomicUsize,
    /// The charge of the messages that wait or are in flight.
    bytes: AtomicUsize,
    /// The budget in which copies are counted.
    budget: Arc<Budget>,
    backlog: Mutex<Backlog>,
}

/// A message on its way into a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewMessage<'a> {
    /// The frame, prefix included.
    pub(crate) frame: &'a [u8],
    /// The keys of which this is the newest message.
    pub(crate) keys: &'a Keys,
    /// Whether it replaces older messages and may be replaced by a newer one.
    pub(crate) is_conflated: bool,
}

impl ConflatedQueue {
    pub(crate) fn within(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            ..Self::default()
        }
    }

    /// The charge of the messages that wait or are in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// Pushes a message: into the slot of the one that it replaces, or behind
    /// all others. Without room, notes the drop that `notice` describes.
    pub(crate) fn push(
        &self,
        message: &NewMessage<'_>,
        capacity: Capacity,
        notice: impl FnOnce() -> DropNotice,
    ) -> PushOutcome {
        let frame = message.frame;
        let copy = || EntryBytes::copy(frame, once(0..frame.len()), frame.len(), &self.budget);
        self.change(|backlog| {
            let pushed = if message.is_conflated {
                backlog.push(frame.len(), copy, message.keys, Some(capacity))
            } else {
                backlog.detach_keys(message.keys);
                backlog.push(frame.len(), copy, &Keys::default(), Some(capacity))
            };
            if pushed == PushOutcome::Dropped {
                backlog.note_dropped(notice());
            }
            pushed
        })
    }

    /// Pushes a message of a snapshot. It takes no room.
    pub(crate) fn push_snapshot(&self, frame: EntryBytes, keys: &Keys) -> PushOutcome {
        self.change(|backlog| backlog.push(0, || frame, keys, None))
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.waiting() > 0
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes out the next messages, until `taken` has `most` or enough for one
    /// write.
    #[inline(never)]
    pub(super) fn take(&self, taken: &mut VecDeque<Message>, most: usize) {
        self.change(|backlog| {
            let mut bytes = 0;
            while taken.len() < most && bytes < TAKEN_BYTES_MAX {
                let Some(message) = backlog.take() else { break };
                bytes += message.frame.len();
                taken.push_back(message);
            }
            backlog.is_writing = true;
        });
    }

    /// Takes back `unwritten` messages, the last first, and ends the write.
    /// Returns how many of them were replaced meanwhile: those are gone.
    #[inline(never)]
    pub(super) fn give_back(&self, unwritten: impl Iterator<Item = Message>) -> u64 {
        self.change(|backlog| {
            let replaced = unwritten.map(|message| u64::from(!backlog.give_back(message)));
            let replaced = replaced.sum();
            backlog.end_write();
            replaced
        })
    }

    /// Gives back the room of `messages` written messages, charged `charge` in
    /// all.
    pub(super) fn release(&self, messages: usize, charge: usize) {
        if messages > 0 {
            self.change(|backlog| {
                backlog.messages -= messages;
                backlog.bytes -= charge;
            });
        }
    }

    /// Drops all that waits, and refuses everything from now on.
    pub(crate) fn close(&self) {
        self.change(Backlog::close);
    }

    /// Changes the backlog, and publishes its new size.
    #[inline]
    fn change<R>(&self, change: impl FnOnce(&mut Backlog) -> R) -> R {
        let mut backlog = lock(&self.backlog);
        let changed = change(&mut backlog);
        self.waiting.store(backlog.waiting(), Ordering::Release);
        self.bytes.store(backlog.bytes, Ordering::Release);
        changed
    }
}
