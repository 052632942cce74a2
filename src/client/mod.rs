//! Floor 3: a client's connections to a server.
//!
//! [`Client::connect`] gives two things: a [`Client`] that sends, cheap to
//! clone, and a [`Receiver`], a stream of what arrives. The client lives as long
//! as one of them does, and when its connection is lost it makes another.
//!
//! ```no_run
//! use tickwire::client::{Client, ClientConfig, Event};
//! use tickwire::wire::{Message, Order, Side};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::new("quantower-connector");
//! let (client, mut receiver) = Client::connect("127.0.0.1:7411", config).await?;
//!
//! let order = Order::new("ord-456", "BTCUSDT", Side::Buy, 1);
//! let message = Message::order(client.name(), "api-gateway", "run-123", order)?;
//! let ack = client.send(message).await?;
//! println!("accepted: {}", ack.acknowledged_msg_id);
//!
//! while let Some(event) = receiver.receive().await {
//!     match event {
//!         Event::Message(inbound) => println!("{:?}", inbound.message()?),
//!         Event::Notice(report) => eprintln!("{}: {}", report.code, report.message),
//!         Event::Disconnected(why) => eprintln!("{why}; connecting again"),
//!         Event::Closed(why) => eprintln!("{why}; that was all"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of a message
//! [`Client::send`] resolves exactly once: to the server's ack, or to a
//! [`SendError`] that says whether the message was refused, certainly not sent,
//! or of unknown fate. [`Client::post`] doesn't wait; a refusal of what was
//! posted arrives as an [`Event::Notice`].
//!
//! # When the connection is lost
//! The receiver gets [`Event::Disconnected`], and the client tries to connect
//! again: after random delays whose bound doubles, by default for ever
//! ([`ClientConfig::reconnect`], [`ClientConfig::reconnect_within`],
//! [`ClientConfig::reconnect_delays`]). Messages may be sent all the while; they
//! wait. Then it says hello under the same names and with the same options, says
//! its [subscriptions](Client::subscribe) again, and tells of it by
//! [`Event::Reconnected`].
//!
//! What the lost connection had been handed without an answer was accepted or it
//! wasn't, and only the server knows. If the server remembers what it accepted
//! ([`ClientConfig::resumable`]), exactly these messages are sent again: in
//! order, byte for byte, before anything newer; the server delivers none of them
//! twice. If it doesn't, for instance because it was started anew, sending them
//! again could double an order, and their sends resolve to
//! [`SendError::FateUnknown`]. What no connection had got in full is sent on the
//! next in any case. An `ack` that was posted is never answered and never sent
//! again.
//!
//! Some ends are final: the receiver gets [`Event::Closed`], and nothing is tried
//! any more.
//! - `NAME_TAKEN_OVER`, for the last of the client's names: two clients of one
//!   name would take it from each other for ever. Of several names the client
//!   claims those again that are left.
//! - The hello is refused, unless the error says that it is a matter of time
//!   (`SERVER_SHUTTING_DOWN`, `RATE_LIMITED`, `QUEUE_FULL`,
//!   `STORAGE_UNAVAILABLE`). A server that is full (`LIMIT_EXCEEDED` before the
//!   hello was heard) is tried again.
//! - The server ends the connection for what the client would only repeat:
//!   `NOT_AUTHENTICATED`, `TOO_MANY_REFUSED`, `FRAME_EMPTY`, `FRAME_TOO_LARGE`.
//! - The time to connect again is over.
//!
//! Something else that answers in the server's place, such as a load balancer's
//! HTTP 503, is not final: the next attempt follows after one of the longest
//! delays.
//!
//! The first connection is tried once: [`Client::connect`] fails with an error.
//!
//! # A silent server
//! A frozen process, or a proxy that forwards nothing, may keep a connection
//! standing. The client ends it ([`Disconnect::Silent`]) and connects again when
//! it was handed messages and no answer to any came, or took no byte of what
//! waits to be written, for a time: the `answer_timeout`, but at least twice the
//! pause that the server announces for a full queue
//! (`limits.stall_timeout_ms` of the [`Welcome`]; with a server that announces
//! none, at least 30 s). Messages that arrive prove nothing, for what is sent
//! may go nowhere all the same. Time in which the client itself does not run or
//! does not read is not counted.
//!
//! A client that sends nothing has nothing to go by, unless it has a
//! [heartbeat](ClientConfig::heartbeat) or a [probe](ClientConfig::probe).
//!
//! # Back-pressure
//! At most `unanswered_max` messages are under way without an answer, and a few
//! megabytes wait to be written or, with a server that remembers, to be
//! answered; beyond that `send` and `post` wait. The same bounds hold while
//! there is no connection.
//!
//! A program that doesn't receive is itself held back: with `inbound_bytes` of
//! messages waiting in the [`Receiver`], the client reads no more, and TCP
//! passes that on to the server, which queues. But answers come on the same
//! stream as messages, behind those that are already on their way, and a
//! program that receives a message, sends and awaits the answer before it
//! receives the next one would wait for ever for an answer that nobody reads.
//! So while an answer is due, the client goes on reading, up to
//! `inbound_bytes_max`. Beyond that it stops all the same, and sends resolve to
//! [`SendError::FateUnknown`] after `answer_timeout`. Who doesn't want to
//! receive drops the receiver: then everything that isn't an answer is
//! discarded.

#![forbid(unsafe_code)]

mod backoff;
mod config;
mod connect;
mod connection;
mod dial;
mod ending;
mod error;
mod flush;
mod greet;
mod outbox;
mod outgoing;
mod receiver;
mod registration;
mod session;
mod silence;
mod subscriptions;
mod unanswered;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use config::ClientConfig;
pub use error::{CloseError, ConnectError, FlushError};
pub use receiver::Receiver;

pub use crate::exchange::{Disconnect, Event, Inbound, Reconnection, SendError, Silence};

use crate::ids::{MsgId, Name};
use crate::limits::CLIENT_QUEUE_BYTES;
use crate::wire::{Ack, Message, Payload, Subscribe, Target, Welcome};
use flush::Posted;
use outgoing::{Outgoing, Purpose, Queued, Waiter};
use subscriptions::Change;

/// A client's connection to a server, for sending. Clones share it.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What keeps a connection open: the client's clones and its receiver hold it.
struct Handle {
    shared: Arc<Shared>,
    outgoing: mpsc::UnboundedSender<Queued>,
}

/// What the handle and the session's task share.
struct Shared {
    name: Name,
    /// What the server said last.
    welcome: Mutex<Arc<Welcome>>,
    /// Largest frame that the server takes.
    frame_bytes_max: AtomicUsize,
    /// Held by whom room is given to next, so that messages get it in the order
    /// in which they asked. Closed when nothing more can be sent.
    turn: Semaphore,
    /// Messages that may yet be under way without an answer. Closed when
    /// nothing more can be sent.
    unanswered_room: Semaphore,
    /// Bytes of frames that may yet be queued, or kept for writing them again.
    /// Closed likewise.
    queue_room: Semaphore,
    /// Held by the flush that waits.
    flush_turn: Arc<Semaphore>,
    /// How many messages may be under way without an answer.
    unanswered_max: usize,
    /// Cancelled when the connection is to be closed in good order.
    closing: CancellationToken,
    /// What was left behind, once there will be no further connection.
    ended: watch::Receiver<Option<LeftBehind>>,
}

/// What became of the messages that were on their way at the end.
#[derive(Debug, Clone, Copy)]
struct LeftBehind {
    fate_unknown: usize,
    unsent: usize,
    /// What no flush was told.
    posted: Posted,
}

impl Client {
    /// The name under which the client said hello.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.handle.shared.name
    }

    /// What the server said when the connection was made, the last time: who it
    /// is, which names the connection owns, what the server allows.
    #[must_use]
    pub fn welcome(&self) -> Arc<Welcome> {
        self.handle.shared.welcome().clone()
    }

    /// Sends a message and waits for the server's answer.
    ///
    /// While the client has too much under way, this waits for room first; a
    /// future that is dropped until then has sent nothing. Dropped later it
    /// gives up the answer, not the message. Messages of one task are sent in
    /// the order in which their futures are first polled.
    ///
    /// # Errors
    /// What became of the message instead of being accepted.
    pub async fn send(&self, message: Message) -> Result<Ack, SendError> {
        if matches!(message.payload, Payload::Ack(_)) {
            return Err(SendError::NeverAnswered);
        }
        let (waiter, answer) = Waiter::new();
        self.enqueue(&message, Purpose::Message, Some(waiter))
            .await?;
        // A waiter answers even when dropped; were it leaked, nobody would know.
        answer.await.unwrap_or(Err(SendError::FateUnknown))
    }

    /// Sends a message without waiting for the answer. If the server refuses it,
    /// the receiver gets an [`Event::Notice`]. An `ack`, which is never answered,
    /// doesn't wait for messages in front of it that wait for answers.
    ///
    /// When this comes back the message is queued in this program, and no more:
    /// **a program that posts and ends loses it**, as the end of the runtime
    /// ends the client. Wait for [`Client::flush`] before, which also tells
    /// whether all was accepted:
    ///
    /// ```no_run
    /// # use tickwire::client::Client;
    /// # use tickwire::wire::Message;
    /// # async fn example(
    /// #     client: Client,
    /// #     messages: Vec<Message>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// for message in messages {
    ///     client.post(message).await?;
    /// }
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// While the client has too much under way, this waits for room; a future
    /// that is dropped until then has sent nothing.
    ///
    /// # Errors
    /// The message can't be sent, or the connection is closed.
    pub async fn post(&self, message: Message) -> Result<(), SendError> {
        self.enqueue(&message, Purpose::Message, None).await
    }

    /// Subscribes to those broadcasts that meet the conditions, and waits for
    /// the server's answer. A subscription with the same id is replaced.
    ///
    /// Whenever the connection is made again, the client says its subscriptions
    /// again, before any message. One that asks for a snapshot gets another
    /// then. If the server refuses one of them, the receiver gets an
    /// [`Event::Notice`].
    ///
    /// # Errors
    /// What became of the subscription instead of being granted: with
    /// [`SendError::Refused`] the earlier one of this id stands, if there was
    /// one; with [`SendError::FateUnknown`] this connection may have it and the
    /// next won't.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Ack, SendError> {
        self.change(Change::Subscribe(Box::new(subscribe))).await
    }

    /// Ends the subscription `id`, and waits for the server's answer.
    ///
    /// # Errors
    /// What became of the wish instead of being granted.
    pub async fn unsubscribe(&self, id: impl Into<Box<str>>) -> Result<Ack, SendError> {
        self.change(Change::Unsubscribe(id.into())).await
    }

    async fn change(&self, change: Change) -> Result<Ack, SendError> {
        let message = self.handle.shared.change(&change);
        let (waiter, answer) = Waiter::new();
        self.enqueue(&message, Purpose::Change(change), Some(waiter))
            .await?;
        answer.await.unwrap_or(Err(SendError::FateUnknown))
    }

    /// Closes the connection for all clones: writes what is queued, ends the
    /// output, and waits for the remaining answers, `close_timeout` at most.
    /// Sends that still wait for room resolve to [`SendError::Closed`]. What
    /// arrives meanwhile is still received; then the receiver's stream ends.
    ///
    /// If the connection is lost, this doesn't wait for another.
    ///
    /// Dropping all clones and the receiver does the same in the background, as
    /// long as the runtime runs; with messages unanswered it logs a warning.
    ///
    /// # Errors
    /// Messages were left behind.
    pub async fn close(self) -> Result<(), CloseError> {
        let shared = self.handle.shared.clone();
        drop(self);
        shared.refuse_more();
        shared.closing.cancel();
        let mut ended = shared.ended.clone();
        let left_behind = match ended.wait_for(Option::is_some).await {
            Ok(left_behind) => *left_behind,
            // The task ended with its runtime: nobody is left to tell.
            Err(_) => None,
        };
        match left_behind {
            Some(LeftBehind {
                fate_unknown,
                unsent,
                ..
            }) if fate_unknown + unsent > 0 => Err(CloseError::Unfinished {
                fate_unknown,
                unsent,
            }),
            _ => Ok(()),
        }
    }

    /// Whether the client has come to its end, or was told to. While it only
    /// tries to connect again it is not closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.shared.unanswered_room.is_closed()
    }

    async fn enqueue(
        &self,
        message: &Message,
        purpose: Purpose,
        waiter: Option<Waiter>,
    ) -> Result<(), SendError> {
        let shared = &self.handle.shared;
        let answered_as = match (&message.payload, &purpose) {
            (Payload::Hello(_) | Payload::Welcome(_), _)
            | (Payload::Subscribe(_) | Payload::Unsubscribe(_), Purpose::Message) => {
                return Err(SendError::OfTheConnection);
            }
            (Payload::Ack(_), _) => None,
            _ => Some(message.msg_id),
        };
        let limit = shared.frame_bytes_max.load(Ordering::Relaxed);
        let frame = message
            .to_frame_within(limit)
            .map_err(|bytes| SendError::TooLarge { bytes, limit })?;

        // Who answers others must not have to wait until it is answered itself.
        let (_turn, one_message) = match answered_as {
            Some(_) => (
                Some(room(&shared.turn, 1).await?),
                Some(room(&shared.unanswered_room, 1).await?),
            ),
            None => (None, None),
        };
        // One message larger than the whole queue waits until it is empty.
        let queued_bytes = frame.len().min(CLIENT_QUEUE_BYTES) as u32;
        let its_bytes = room(&shared.queue_room, queued_bytes).await?;
        // Given back once it is written, or answered.
        one_message
            .into_iter()
            .chain([its_bytes])
            .for_each(|permit| permit.forget());

        self.handle
            .outgoing
            .send(Queued::Message(Outgoing {
                frame,
                queued_bytes,
                answered_as,
                waiter,
                purpose,
            }))
            .map_err(|_| SendError::Closed)
    }
}

/// The largest frame that a server takes, without its length.
fn frame_bytes_max(welcome: &Welcome) -> usize {
    usize::try_from(welcome.limits.frame_bytes).unwrap_or(usize::MAX)
}

async fn room(
    semaphore: &Semaphore,
    count: u32,
) -> Result<tokio::sync::SemaphorePermit<'_>, SendError> {
    // A task that has done much is told to come back later: its messages would
    // get into line in the order in which they come back.
    let acquired = tokio::task::unconstrained(semaphore.acquire_many(count)).await;
    acquired.map_err(|_| SendError::Closed)
}

impl Shared {
    /// From now on nothing more can be sent.
    fn refuse_more(&self) {
        self.turn.close();
        self.unanswered_room.close();
        self.queue_room.close();
    }

    /// Says that messages may be lost when nobody holds the client any more.
    fn warn_of_what_is_unfinished(&self) {
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

    /// Gives back the room that a message took.
    fn give_back(&self, message: &Outgoing) {
        self.unanswered_room
            .add_permits(usize::from(message.takes_place()));
        self.queue_room.add_permits(message.queued_bytes as usize);
    }

    /// A message that says `change`.
    fn change(&self, change: &Change) -> Message {
        Message::new(&self.name, Target::Everyone, change.payload())
            .expect("the client's name is a name")
    }

    /// The same as a frame, and its id.
    fn message_of(&self, change: &Change) -> (MsgId, Bytes) {
        let message = self.change(change);
        (message.msg_id, message.to_frame())
    }

    fn welcome(&self) -> MutexGuard<'_, Arc<Welcome>> {
        self.welcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a new welcome.
    fn welcomed(&self, welcome: Arc<Welcome>) {
        self.frame_bytes_max
            .store(frame_bytes_max(&welcome), Ordering::Relaxed);
        *self.welcome() = welcome;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.warn_of_what_is_unfinished();
        self.shared.refuse_more();
        self.shared.closing.cancel();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", self.name())
            .field("server", &self.welcome().server.name)
            .field("closed", &self.is_closed())
            .finish()
    }
}

#[cfg(test)]
mod tests;
