//! Waiting until everything before is done.
//!
//! A flush puts a [`Fence`] into the queue. Once that comes to a connection it stands
//! in front of a position of the [unanswered](super::unanswered) messages, and opens
//! when none is left before. Acks have no answers: where some were written last, the
//! connection says a hello in front of the fence, whose welcome comes once they were read.

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
    /// One stands at a time: they don't pile up without a connection.
    _turn: OwnedSemaphorePermit,
}

/// The fences that have come to a connection, each in front of a position.
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

    /// Opens the fences with no message before them; `first` is the first position of one.
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

    /// Takes down the fences behind `position`.
    pub(super) fn take_behind(&mut self, position: u64) -> VecDeque<Fence> {
        let before = self.standing.partition_point(|(own, _)| *own <= position);
        let behind = self.standing.split_off(before);
        behind.into_iter().map(|(_, fence)| fence).collect()
    }

    pub(super) fn fate_unknown(&mut self, messages: &[Outgoing]) {
        self.posted.fate_unknown += posted_among(messages);
    }
}

pub(super) fn posted_among(messages: &[Outgoing]) -> usize {
    messages.iter().filter(|it| it.is_posted()).count()
}

impl Client {
    /// Waits until each message sent before, through any clone, is answered, or its
    /// fate is known; without a connection, for the next one. Of an `ack`, which has no
    /// answer, until the server has read it. A future that is dropped changes nothing.
    ///
    /// A program that [posts](Client::post) has to wait for this before it ends, or for
    /// [`Client::close`], which has a timeout and doesn't tell of refusals.
    ///
    /// # Errors
    /// How many of the messages posted since the last flush were not accepted. The
    /// receiver also got an [`Event::Notice`](super::Event::Notice) for each that was
    /// refused. Messages that were *sent* don't count. An `ack` counts if its connection
    /// was lost before it showed that the server had read it.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let shared = &self.handle.shared;
        let turn = Arc::clone(&shared.flush_turn).acquire_owned().await;
        let turn = turn.map_err(|_| FlushError::Lost)?;
        let (opened, posted) = oneshot::channel();
        let fence = Fence {
            opened,
            _turn: turn,
        };
        if self.handle.queue.put(0, |batch| {
            batch.items.push(Queued::Fence(fence));
            batch.is_sealed = true;
        }) && let Ok(posted) = posted.await
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
