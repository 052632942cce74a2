//! The state that a client's handles share with its session's task.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::flush::Posted;
use super::outgoing::Outgoing;
use super::subscriptions::Change;
use super::{ClientConfig, SendError};
use crate::ids::Name;
use crate::limits::CLIENT_QUEUE_BYTES;
use crate::sync::lock;
use crate::wire::{Message, Target, Welcome};

pub(super) struct Shared {
    pub name: Name,
    welcome: Mutex<Arc<Welcome>>,
    frame_bytes_max: AtomicUsize,
    /// Messages that wait for room, or for their turn.
    in_line: AtomicUsize,
    /// Held by the message that gets room next: messages get it in the order in
    /// which they asked. Closed, as the next two, when nothing more can be sent.
    pub turn: Semaphore,
    /// Messages that may yet be under way without an answer.
    pub unanswered_room: Semaphore,
    /// Bytes of frames that may yet be queued, or kept for writing them again.
    pub queue_room: Semaphore,
    pub flush_turn: Arc<Semaphore>,
    unanswered_max: usize,
    /// Cancelled when the connection is to be closed in good order.
    pub closing: CancellationToken,
    /// The messages left behind, once there will be no further connection.
    ended: watch::Receiver<Option<LeftBehind>>,
}

/// The messages that were on their way at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeftBehind {
    pub fate_unknown: usize,
    pub unsent: usize,
    /// Those that no flush was told of.
    pub posted: Posted,
}

/// The place of a message in the line of those that wait for room.
pub(super) struct Place<'a> {
    in_line: &'a AtomicUsize,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.in_line.fetch_sub(1, Ordering::Release);
    }
}

/// The largest frame that a server takes, without its length.
pub(super) fn frame_bytes_max(welcome: &Welcome) -> usize {
    usize::try_from(welcome.limits.frame_bytes).unwrap_or(usize::MAX)
}

/// Takes `count` of the room in `semaphore`, once there is as much.
pub(super) async fn room(
    semaphore: &Semaphore,
    count: u32,
) -> Result<SemaphorePermit<'_>, SendError> {
    // A task that tokio tells to come back later would lose its place in the line.
    let acquired = tokio::task::unconstrained(semaphore.acquire_many(count)).await;
    acquired.map_err(|_| SendError::Closed)
}

impl Shared {
    pub(super) fn new(
        name: Name,
        welcome: Welcome,
        config: &ClientConfig,
        ended: watch::Receiver<Option<LeftBehind>>,
    ) -> Self {
        Self {
            name,
            frame_bytes_max: AtomicUsize::new(frame_bytes_max(&welcome)),
            welcome: Mutex::new(Arc::new(welcome)),
            in_line: AtomicUsize::new(0),
            turn: Semaphore::new(1),
            unanswered_room: Semaphore::new(config.unanswered_max),
            queue_room: Semaphore::new(CLIENT_QUEUE_BYTES),
            flush_turn: Arc::new(Semaphore::new(1)),
            unanswered_max: config.unanswered_max,
            closing: CancellationToken::new(),
            ended,
        }
    }

    pub(super) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max.load(Ordering::Relaxed)
    }

    /// Lets nothing more be sent.
    pub(super) fn refuse_more(&self) {
        self.turn.close();
        self.unanswered_room.close();
        self.queue_room.close();
    }

    /// Waits for the client's end. `None` if its task ended with its runtime.
    pub(super) async fn left_behind(&self) -> Option<LeftBehind> {
        let mut ended = self.ended.clone();
        let left_behind = ended.wait_for(Option::is_some).await.ok()?;
        *left_behind
    }

    /// Warns that messages may be lost, once nobody holds the client any more.
    pub(super) fn warn_of_unfinished(&self) {
        if self.closing.is_cancelled() || self.ended.borrow().is_some() {
            return;
        }
        let unanswered = self
            .unanswered_max
            .saturating_sub(self.unanswered_room.available_permits());
        let client = &self.name;
        if self.ended.has_changed().is_err() {
            // Its task is gone without having come to its end.
            tracing::warn!(
                %client,
                unanswered,
                "a client was dropped after its runtime had ended: its connection was not closed \
                 in good order, and messages without an answer may be lost; flush or close it first"
            );
        } else if unanswered > 0 {
            tracing::warn!(
                %client,
                unanswered,
                "a client was dropped with messages unanswered, and they are lost if its runtime \
                 ends now; flush or close it first"
            );
        }
    }

    /// Takes the room for a message with a frame of `bytes`, if nobody waits for room
    /// and there is enough; returns whether it did. The room is given back once the
    /// message is written, or answered.
    pub(super) fn take_room(&self, bytes: u32) -> bool {
        if self.in_line.load(Ordering::Acquire) > 0 {
            return false;
        }
        let Ok(message) = self.unanswered_room.try_acquire() else {
            return false;
        };
        let Ok(bytes) = self.queue_room.try_acquire_many(bytes) else {
            return false;
        };
        message.forget();
        bytes.forget();
        true
    }

    /// Waits for that room. The message has its place until it is queued.
    pub(super) async fn wait_for_room(&self, bytes: u32) -> Result<Place<'_>, SendError> {
        self.in_line.fetch_add(1, Ordering::Relaxed);
        let mut place = Place {
            in_line: &self.in_line,
            _turn: None,
        };
        place._turn = Some(room(&self.turn, 1).await?);
        // Others of the runtime get a turn now and then; the place in the line is kept.
        tokio::task::coop::consume_budget().await;
        let message = room(&self.unanswered_room, 1).await?;
        let bytes = room(&self.queue_room, bytes).await?;
        message.forget();
        bytes.forget();
        Ok(place)
    }

    /// Gives back the room that a message took.
    pub(super) fn give_back(&self, message: &Outgoing) {
        self.give_back_all(
            usize::from(message.takes_room()),
            message.queued_bytes as usize,
        );
    }

    /// Gives back the room that `messages` with frames of `bytes` took.
    pub(super) fn give_back_all(&self, messages: usize, bytes: usize) {
        // Even for nothing it would lock.
        if messages > 0 {
            self.unanswered_room.add_permits(messages);
        }
        if bytes > 0 {
            self.queue_room.add_permits(bytes);
        }
    }

    pub(super) fn change(&self, change: &Change) -> Message {
        Message::new(&self.name, Target::Everyone, change.payload())
            .expect("the client's name is a name")
    }

    pub(super) fn welcome(&self) -> MutexGuard<'_, Arc<Welcome>> {
        lock(&self.welcome)
    }

    pub(super) fn welcomed(&self, welcome: Arc<Welcome>) {
        self.frame_bytes_max
            .store(frame_bytes_max(&welcome), Ordering::Relaxed);
        *self.welcome() = welcome;
    }
}
