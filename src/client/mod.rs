//! A client's connections to a server.
//!
//! [`Client::connect`] gives two things: a [`Client`] that sends, cheap to
//! clone, and a [`Receiver`], a stream of events. The client lives as long as
//! one of them does, and when its connection is lost it makes another.
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
//! # The fate of a message
//! [`Client::send`] resolves exactly once: to the server's ack, or to a
//! [`SendError`] that says whether the message was refused, certainly not sent,
//! or of unknown fate. [`Client::post`] doesn't wait; its refusal arrives as an
//! [`Event::Notice`].
//!
//! # When the connection is lost
//! The receiver gets [`Event::Disconnected`], and the client tries to connect
//! again: after random delays within a bound that doubles, by default for ever
//! ([`ClientConfig::reconnect`], [`ClientConfig::reconnect_within`],
//! [`ClientConfig::reconnect_delays`]). Messages may be sent all the while;
//! they wait. Then it says hello under the same names and with the same
//! options, says its [subscriptions](Client::subscribe) again, and tells of it
//! by [`Event::Reconnected`].
//!
//! A message that the lost connection had been handed without an answer was
//! accepted or it wasn't, and only the server knows. If the server remembers
//! accepted messages ([`ClientConfig::resumable`]), exactly the unanswered ones
//! are sent again: in order, byte for byte, before anything newer; the server
//! delivers none of them twice. If it doesn't, for instance because it was
//! started anew, sending them again could double an order, and their sends
//! resolve to [`SendError::FateUnknown`]. A message that no connection had got
//! in full is sent on the next in any case. An `ack` that was posted is never
//! answered and never sent again.
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
//! - The server ends the connection for a fault that the client would only
//!   repeat: `NOT_AUTHENTICATED`, `TOO_MANY_REFUSED`, `FRAME_EMPTY`,
//!   `FRAME_TOO_LARGE`.
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
//! standing. The client ends it ([`Disconnect::Silent`]) and connects again
//! when for a time no answer came to messages that it was handed, or no byte
//! was taken of those that wait to be written. That time is the
//! `answer_timeout`, but at least twice the pause that the server announces for
//! a full queue (`limits.stall_timeout_ms` of the [`Welcome`]; with a server
//! that announces none, at least 30 s). Messages that arrive prove nothing, for
//! the other direction may be dead all the same. Time in which the client
//! itself does not run or does not read is not counted.
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
//! stream as messages, behind those that are already on their way. A program
//! that receives a message, sends and awaits the answer before it receives the
//! next would wait for ever for an answer that nobody reads. So while an answer
//! is due, the client goes on reading, up to `inbound_bytes_max`. Beyond that
//! it stops all the same, and sends resolve to [`SendError::FateUnknown`] after
//! `answer_timeout`. A program that doesn't want to receive drops the receiver:
//! then everything that isn't an answer is discarded.

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
mod shared;
mod silence;
mod subscriptions;
mod unanswered;

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

pub use config::ClientConfig;
pub use error::{CloseError, ConnectError, FlushError};
pub use receiver::Receiver;

pub use crate::events::{Disconnect, Event, Inbound, Reconnection, SendError, Silence};

use crate::ids::Name;
use crate::limits::CLIENT_QUEUE_BYTES;
use crate::wire::{Ack, Message, Payload, Subscribe, Welcome};
use outgoing::{Outgoing, Purpose, Queued, Waiter};
use shared::{LeftBehind, Shared, room};
use subscriptions::Change;

/// A client's connection to a server, for sending. Clones share it.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// The handle that keeps a connection open: the client's clones and its
/// receiver hold it.
struct Handle {
    shared: Arc<Shared>,
    outgoing: mpsc::UnboundedSender<Queued>,
}

impl Client {
    /// The name under which the client said hello.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.handle.shared.name
    }

    /// The server's latest welcome: its name, the names that the connection
    /// owns, the limits.
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
    /// The fate of a message that was not accepted.
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
    /// The fate of a subscription that was not granted: with
    /// [`SendError::Refused`] the earlier one of this id stands, if there was
    /// one; with [`SendError::FateUnknown`] this connection may have it and the
    /// next won't.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Ack, SendError> {
        self.change(Change::Subscribe(Box::new(subscribe))).await
    }

    /// Ends the subscription `id`, and waits for the server's answer.
    ///
    /// # Errors
    /// The fate of a wish that was not granted.
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

    /// Closes the connection for all clones: writes the queue, ends the output,
    /// and waits for the remaining answers, `close_timeout` at most. Sends that
    /// still wait for room resolve to [`SendError::Closed`]. Messages that arrive
    /// meanwhile are still received; then the receiver's stream ends.
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
        match shared.left_behind().await {
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

    /// Returns whether the client has come to its end, or was told to. While it
    /// only tries to connect again it is not closed.
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
        let limit = shared.frame_bytes_max();
        let frame = message
            .to_frame_within(limit)
            .map_err(|bytes| SendError::TooLarge { bytes, limit })?;

        // An answer to others must not have to wait until the client is answered
        // itself.
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

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.warn_of_unfinished();
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
