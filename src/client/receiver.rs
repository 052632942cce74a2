//! The stream of events that the program receives.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::{Notify, mpsc};

use super::Handle;
use crate::events::{Event, Inbound};

/// The events, in order: a stream of [`Event`]s that ends when there won't be
/// another connection. Dropping it means that nothing is to be received; the
/// connection stays open while there is a client.
pub struct Receiver {
    events: mpsc::UnboundedReceiver<(Event, usize)>,
    backlog: Arc<Backlog>,
    /// Keeps the connection open.
    _handle: Arc<Handle>,
}

/// How much waits for the program to receive it.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: AtomicUsize,
    /// Messages that were ever put in.
    messages: AtomicU64,
    /// At this many bytes reading stops, unless an answer is due.
    bytes_idle: usize,
    /// At this many bytes reading stops in any case.
    bytes_max: usize,
    /// Told when reading may be allowed again.
    changed: Notify,
}

/// The end of the stream at which the session puts events in.
#[derive(Debug)]
pub(super) struct Inbox {
    events: mpsc::UnboundedSender<(Event, usize)>,
    backlog: Arc<Backlog>,
}

/// The cost of an event beyond its bytes: many small ones are bounded too.
const EVENT_BYTES: usize = 128;

pub(super) fn inbox(
    bytes_idle: usize,
    bytes_max: usize,
) -> (Inbox, impl FnOnce(Arc<Handle>) -> Receiver) {
    let (sender, events) = mpsc::unbounded_channel();
    let backlog = Arc::new(Backlog {
        bytes_idle,
        bytes_max,
        ..Backlog::default()
    });
    let inbox = Inbox {
        events: sender,
        backlog: backlog.clone(),
    };
    let receiver = move |handle| Receiver {
        events,
        backlog,
        _handle: handle,
    };
    (inbox, receiver)
}

impl Inbox {
    /// Puts a message in, if there still is a receiver.
    pub(super) fn deliver(&self, json: Bytes) {
        let cost = EVENT_BYTES + json.len();
        self.backlog.messages.fetch_add(1, Ordering::Relaxed);
        self.put(Event::Message(Inbound::new(json)), cost);
    }

    /// The number of messages that were delivered, on all connections.
    pub(super) fn delivered(&self) -> u64 {
        self.backlog.messages.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, event: Event) {
        self.put(event, EVENT_BYTES);
    }

    fn put(&self, event: Event, cost: usize) {
        self.backlog.bytes.fetch_add(cost, Ordering::Relaxed);
        // A receiver that was dropped wants nothing.
        let _ = self.events.send((event, cost));
    }

    pub(super) fn has_room(&self, answer_due: impl Fn() -> bool) -> bool {
        let bytes = self.backlog.bytes.load(Ordering::Acquire);
        bytes < self.backlog.bytes_idle
            || (bytes < self.backlog.bytes_max && answer_due())
            || self.events.is_closed()
    }

    /// Waits until more may be read; [`Inbox::look_again`] asks `answer_due` again.
    pub(super) async fn room(&self, answer_due: impl Fn() -> bool) {
        while !self.has_room(&answer_due) {
            // A change since the line above is kept for whoever asks next.
            self.backlog.changed.notified().await;
        }
    }

    /// Says that an answer may have become due.
    pub(super) fn look_again(&self) {
        self.backlog.changed.notify_one();
    }
}

impl Receiver {
    /// The next event; `None` once there won't be another. A future that is dropped
    /// loses nothing.
    pub async fn receive(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some((event, cost)) = ready!(self.events.poll_recv(context)) else {
            return Poll::Ready(None);
        };
        let before = self.backlog.bytes.fetch_sub(cost, Ordering::Release);
        // Only then can the task be waiting for room.
        if before >= self.backlog.bytes_idle {
            self.backlog.changed.notify_one();
        }
        Poll::Ready(Some(event))
    }
}

impl Stream for Receiver {
    type Item = Event;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_receive(context)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // First closed, then told: the task may be waiting for room.
        self.events.close();
        self.backlog.changed.notify_one();
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("backlog", &self.backlog)
            .finish_non_exhaustive()
    }
}
