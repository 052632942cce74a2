//! The stream of events that the program receives.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::{Notify, mpsc};
use tokio::task::coop::consume_budget;

use super::input::Run;
use super::{BYTES_PER_BUDGET, Handle};
use crate::events::{Event, Inbound};

/// The events, in order: a stream of [`Event`]s that ends when there won't be
/// another connection. Dropping it means that nothing is to be received; the
/// connection stays open while there is a client.
pub struct Receiver {
    items: mpsc::UnboundedReceiver<Item>,
    /// Messages that are to be received before the next item.
    run: Run,
    /// Bytes received since budget was last used up for them.
    unpaid: usize,
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

/// Events and messages that wait in the stream.
#[derive(Debug)]
enum Item {
    Event(Event),
    /// Messages that arrived together.
    Messages(Run),
}

/// The end of the stream at which the session puts events in.
#[derive(Debug)]
pub(super) struct Inbox {
    items: mpsc::UnboundedSender<Item>,
    backlog: Arc<Backlog>,
}

/// The cost of an event beyond its bytes: many small ones are bounded too.
const EVENT_BYTES: usize = 128;

/// The cost of a message with so many bytes of JSON.
pub(super) const fn message_cost(json_bytes: usize) -> usize {
    EVENT_BYTES + json_bytes
}

fn cost_of(event: &Event) -> usize {
    match event {
        Event::Message(inbound) => message_cost(inbound.json().len()),
        _ => EVENT_BYTES,
    }
}

pub(super) fn inbox(
    bytes_idle: usize,
    bytes_max: usize,
) -> (Inbox, impl FnOnce(Arc<Handle>) -> Receiver) {
    let (sender, items) = mpsc::unbounded_channel();
    let backlog = Arc::new(Backlog {
        bytes_idle,
        bytes_max,
        ..Backlog::default()
    });
    let inbox = Inbox {
        items: sender,
        backlog: backlog.clone(),
    };
    let receiver = move |handle| Receiver {
        items,
        run: Run::default(),
        unpaid: 0,
        backlog,
        _handle: handle,
    };
    (inbox, receiver)
}

impl Inbox {
    /// Puts a message in, if there still is a receiver.
    pub(super) fn deliver(&self, json: Bytes) {
        self.backlog.messages.fetch_add(1, Ordering::Relaxed);
        self.push(Event::Message(Inbound::new(json)));
    }

    /// Puts in `count` messages that cost so much together.
    pub(super) fn deliver_run(&self, run: Run, count: usize, cost: usize) {
        let messages = &self.backlog.messages;
        messages.fetch_add(count as u64, Ordering::Relaxed);
        self.put(Item::Messages(run), cost);
    }

    /// The number of messages that were delivered, on all connections.
    pub(super) fn delivered(&self) -> u64 {
        self.backlog.messages.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, event: Event) {
        let cost = cost_of(&event);
        self.put(Item::Event(event), cost);
    }

    fn put(&self, item: Item, cost: usize) {
        self.backlog.bytes.fetch_add(cost, Ordering::Relaxed);
        // A receiver that was dropped wants nothing.
        let _ = self.items.send(item);
    }

    /// Returns whether there is room behind messages that cost `more` and are still to be
    /// put in.
    pub(super) fn has_room(&self, more: usize, answer_due: impl Fn() -> bool) -> bool {
        let bytes = self.backlog.bytes.load(Ordering::Acquire) + more;
        bytes < self.backlog.bytes_idle
            || (bytes < self.backlog.bytes_max && answer_due())
            || self.items.is_closed()
    }

    /// Waits until more may be read; [`Inbox::look_again`] asks `answer_due` again.
    pub(super) async fn room(&self, answer_due: impl Fn() -> bool) {
        while !self.has_room(0, &answer_due) {
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
        let event = loop {
            if !self.run.is_empty() && self.unpaid >= BYTES_PER_BUDGET {
                // As each message did that came by itself: others get a turn.
                ready!(pin!(consume_budget()).poll(context));
                self.unpaid = 0;
            }
            if let Some(json) = self.run.next() {
                self.unpaid += json.len();
                break Event::Message(Inbound::new(json));
            }
            match ready!(self.items.poll_recv(context)) {
                Some(Item::Event(event)) => break event,
                Some(Item::Messages(run)) => self.run = run,
                None => return Poll::Ready(None),
            }
        };
        let cost = cost_of(&event);
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
        self.items.close();
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
