//! Waiting until everything before is done.
//!
//! A flush puts a [`Fence`] into the queue, behind the messages sent before it.
//! Once the fence has come to a connection it stands in front of a position of
//! the [unanswered](super::unanswered) messages, and opens when none is left
//! before that position.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::outgoing::{Outgoing, Queued};
use super::shared::LeftBehind;
use super::{Client, FlushError};

/// Posted messages that were not accepted. Nobody else hears of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Posted {
    pub refused: usize,
    pub fate_unknown: usize,
    pub unsent: usize,
}

impl Posted {
    fn outcome(self) -> Result<(), FlushError> {
        if self == Self::default() {
            return Ok(());
        }
        Err(FlushError::NotAccepted {
            refused: self.refused,
            fate_unknown: self.fate_unknown,
            unsent: self.unsent,
        })
    }
}

/// A flush that waits for the messages before it.
#[derive(Debug)]
pub(super) struct Fence {
    opened: oneshot::Sender<Posted>,
    /// There is one at a time, so that flushes that are given up don't pile up
    /// while there is no connection.
    _turn: OwnedSemaphorePermit,
}

/// The fences that have come to a connection, each in front of a position, and
/// the counts that they have to tell.
#[derive(Debug, Default)]
pub(super) struct Fences {
    standing: VecDeque<(u64, Fence)>,
    /// Messages not accepted since a flush was last told.
    pub posted: Posted,
}

impl Fences {
    /// Puts a fence up in front of `position`, behind all others.
    pub(super) fn put_up(&mut self, position: u64, fence: Fence) {
        self.standing.push_back((position, fence));
    }

    /// Opens the fences that have nothing left before them, where `first` is
    /// the first position of a message.
    pub(super) fn open(&mut self, first: Option<u64>) {
        while let Some((position, _)) = self.standing.front()
            && first.is_none_or(|first| first >= *position)
            && let Some((_, fence)) = self.standing.pop_front()
        {
            let posted = std::mem::take(&mut self.posted);
            // A flush that was given up leaves it to the next.
            if let Err(posted) = fence.opened.send(posted) {
                self.posted = posted;
            }
        }
    }

    /// Takes down the fences behind `position`, whose message goes back to the
    /// queue.
    pub(super) fn take_behind(&mut self, position: u64) -> VecDeque<Fence> {
        let before = self.standing.partition_point(|(own, _)| *own <= position);
        let behind = self.standing.split_off(before);
        behind.into_iter().map(|(_, fence)| fence).collect()
    }

    /// Takes note of messages of unknown fate.
    pub(super) fn fate_unknown(&mut self, messages: &[Outgoing]) {
        self.posted.fate_unknown += posted_among(messages);
    }
}

/// Returns how many of the messages were posted.
pub(super) fn posted_among(messages: &[Outgoing]) -> usize {
    messages.iter().filter(|it| it.is_posted()).count()
}

impl Client {
    /// Waits until the server has dealt with everything that was sent before,
    /// through any clone: until each message is answered, or its fate is known.
    ///
    /// A program that [posts](Client::post) and then ends has to wait for this,
    /// or for [`Client::close`], which waits for no longer than its timeout and
    /// doesn't tell of refusals. Messages sent while this waits are not waited
    /// for. Without a connection this waits for the next one; a future that is
    /// dropped changes nothing.
    ///
    /// # Errors
    /// How many of the messages that were posted since the last flush was told
    /// were not accepted. Those that were refused also came to the receiver,
    /// each as an [`Event::Notice`](super::Event::Notice) that says why. Of
    /// messages that were *sent* the outcome went to whoever sent them; an `ack`
    /// is never answered, and done once it is written.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let shared = &self.handle.shared;
        let turn = Arc::clone(&shared.flush_turn).acquire_owned().await;
        let turn = turn.map_err(|_| FlushError::Lost)?;
        let (opened, posted) = oneshot::channel();
        let fence = Fence {
            opened,
            _turn: turn,
        };
        if self.handle.outgoing.send(Queued::Fence(fence)).is_ok()
            && let Ok(posted) = posted.await
        {
            return posted.outcome();
        }
        // The client has come to its end.
        match shared.left_behind().await {
            Some(LeftBehind { posted, .. }) => posted.outcome(),
            None => Err(FlushError::Lost),
        }
    }
}
