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
//! again, after random delays within a bound that doubles, by default for ever
//! ([`ClientConfig::reconnect_delays`], [`ClientConfig::reconnect_within`]). Messages
//! wait meanwhile. Then it says hello and its [subscriptions](Client::subscribe) as
//! before, and the receiver gets [`Event::Reconnected`].
//!
//! If the server remembers accepted messages ([`ClientConfig::resumable`]),
//! unanswered ones are sent again: in order, byte for byte, before anything newer;
//! none is delivered twice. If not, for instance after a new start, that could
//! double an order: their sends resolve to [`SendError::FateUnknown`]. A message
//! that no connection got in full is always sent on the next. A posted `ack`, such as
//! [`Client::settle`] posts, is never answered and never sent again; [`Client::flush`]
//! waits until the server has read it.
//!
//! Some ends are final: the receiver gets [`Event::Closed`].
//! - `NAME_TAKEN_OVER`, for the last of the client's names: two clients of one
//!   name would take it from each other for ever.
//! - The hello is refused, unless the error is temporary (`SERVER_SHUTTING_DOWN`,
//!   `RATE_LIMITED`, `QUEUE_FULL`, `STORAGE_UNAVAILABLE`, or `LIMIT_EXCEEDED`
//!   before the hello was heard).
//! - A fault that the client would only repeat: `NOT_AUTHENTICATED`,
//!   `TOO_MANY_REFUSED`, `FRAME_EMPTY`, `FRAME_TOO_LARGE`.
//! - The time to connect again is over.
//!
//! A foreign answer, such as a load balancer's HTTP 503, is not final: the next
//! attempt follows after one of the longest delays. The first connection is tried
//! once.
//!
//! # A silent server
//! A frozen process, or a proxy that forwards nothing, may keep a connection
//! standing. The client ends it ([`Disconnect::Silent`]) and connects again when
//! for a time no answer came to messages that it had written, or no byte was
//! taken of those that wait. That time is the `answer_timeout`, but at least twice
//! the pause that the server announces for a full queue
//! (`limits.stall_timeout_ms` of the [`Welcome`]), or 30 s if it announces none.
//! Messages that arrive prove nothing: the other direction may be dead. Time in
//! which the client itself doesn't run or doesn't read is not counted. A client
//! that sends nothing needs a [heartbeat](ClientConfig::heartbeat) or a
//! [probe](ClientConfig::probe) for this.
//!
//! # Back-pressure
//! `send` and `post` wait while `unanswered_max` messages are without an answer,
//! or a few megabytes wait to be written or, with a server that remembers, to be
//! answered; also without a connection.
//!
//! With `inbound_bytes` of messages waiting in the [`Receiver`] the client reads
//! no more, and the server queues. But answers come behind messages on the same
//! stream, and a program may await one before it receives the next message. So
//! while an answer is due, the client reads on, up to `inbound_bytes_max`; beyond
//! that, sends resolve to [`SendError::FateUnknown`] after `answer_timeout`. A
//! program that doesn't want to receive drops the receiver: everything but answers
//! is discarded then.

mod backoff;
mod batch;
mod config;
mod connect;
mod connection;
mod dial;
mod ending;
mod error;
mod flush;
mod greet;
mod input;
mod outbox;
mod outgoing;
mod queue;
mod receiver;
mod registration;
mod session;
mod settle;
mod shared;
mod silence;
mod subscriptions;
mod unanswered;

use std::fmt;
use std::sync::Arc;

use tokio::task::coop::{consume_budget, has_budget_remaining};

pub use config::ClientConfig;
pub use error::{CloseError, ConnectError, FlushError};
pub use receiver::Receiver;

pub use crate::events::{Disconnect, Event, Inbound, Reconnection, SendError, Silence};

use crate::ids::{MsgId, Name, unix_time};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::{
    Ack, Head, Kind, Message, MillisText, Payload, Subscribe, ValidFrame, Welcome, check_envelope,
};
use batch::Batch;
use outgoing::{Outgoing, Purpose, Waiter, queued_bytes};
use queue::Queue;
use shared::{Shared, room};
use subscriptions::Change;

/// Bytes, posted or received, that use up one of the 128 units that a task of tokio's has in a turn.
const BYTES_PER_BUDGET: usize = 1024;

/// A client's connection to a server, for sending. Clones share it.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Keeps the connection open: the client's clones and its receiver hold it.
struct Handle {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

impl Client {
    /// The name under which the client said hello.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.handle.shared.name
    }

    /// The latest welcome: the server's name, the names owned, the limits.
    #[must_use]
    pub fn welcome(&self) -> Arc<Welcome> {
        self.handle.shared.welcome().clone()
    }

    /// Sends a message, once there is room, and waits for the server's answer.
    ///
    /// A future that is dropped before there is room has sent nothing; dropped later
    /// it gives up the answer, not the message. Messages of one task are sent in the
    /// order in which their futures are first polled.
    ///
    /// # Errors
    /// The fate of a message that was not accepted.
    pub async fn send(&self, message: Message) -> Result<Ack, SendError> {
        if matches!(message.payload, Payload::Ack(_)) {
            return Err(SendError::NeverAnswered);
        }
        self.ask(&message, Purpose::Message).await
    }

    /// Sends a message without waiting for the answer. If the server refuses it,
    /// the receiver gets an [`Event::Notice`]. An `ack`, which is never answered,
    /// doesn't wait for the answers to messages in front of it. A future that is
    /// dropped before there is room has sent nothing.
    ///
    /// When this comes back the message is queued in this program, and no more:
    /// **a program that posts and ends loses it**, unless it waits for
    /// [`Client::flush`], which also tells whether all was accepted.
    ///
    /// # Errors
    /// The message can't be sent, or the connection is closed.
    pub async fn post(&self, message: Message) -> Result<(), SendError> {
        self.enqueue(&message, Purpose::Message, None).await
    }

    /// Sends a frame with a fresh id, once there is room, and waits for the server's
    /// answer, which names the id; else as [`Client::send`]. To be sent again under the
    /// same id a message must be a [`Message`].
    ///
    /// # Errors
    /// The fate of a message that was not accepted.
    pub async fn send_frame(&self, frame: &ValidFrame) -> Result<Ack, SendError> {
        if frame.kind() == Kind::Ack {
            return Err(SendError::NeverAnswered);
        }
        let (waiter, answer) = Waiter::new();
        self.enqueue_fresh(frame, Some(waiter)).await?;
        answer.await.unwrap_or(Err(SendError::FateUnknown))
    }

    /// Sends a frame with a fresh id without waiting for the answer, and returns the id;
    /// else as [`Client::post`].
    ///
    /// # Errors
    /// The message can't be sent, or the connection is closed.
    pub async fn post_frame(&self, frame: &ValidFrame) -> Result<MsgId, SendError> {
        self.enqueue_fresh(frame, None).await
    }

    /// Sends the JSON of a message as it is, once there is room, and waits for the server's
    /// answer; else as [`Client::send`]. For a gateway that has its messages as JSON: its
    /// envelope is checked here, its payload by the server.
    ///
    /// # Errors
    /// The fate of a message that was not accepted. [`SendError::Refused`] also says what
    /// is wrong with the JSON.
    pub async fn send_json(&self, json: &[u8]) -> Result<Ack, SendError> {
        let head = self.check(json)?;
        if head.kind == Kind::Ack {
            return Err(SendError::NeverAnswered);
        }
        let (waiter, answer) = Waiter::new();
        self.enqueue_json(json, head, Some(waiter)).await?;
        answer.await.unwrap_or(Err(SendError::FateUnknown))
    }

    /// Sends the JSON of a message as it is, without waiting for the answer; else as
    /// [`Client::post`].
    ///
    /// # Errors
    /// The message can't be sent, or the connection is closed. [`SendError::Refused`] says
    /// what is wrong with the JSON.
    pub async fn post_json(&self, json: &[u8]) -> Result<(), SendError> {
        let head = self.check(json)?;
        self.enqueue_json(json, head, None).await
    }

    fn check(&self, json: &[u8]) -> Result<Head, SendError> {
        let (bytes, limit) = (json.len(), self.handle.shared.frame_bytes_max());
        if bytes > limit {
            return Err(SendError::TooLarge { bytes, limit });
        }
        let head = check_envelope(json).map_err(|refusal| SendError::Refused((&refusal).into()))?;
        match head.kind.is_control() {
            true => Err(SendError::OfTheConnection),
            false => Ok(head),
        }
    }

    async fn enqueue_json(
        &self,
        json: &[u8],
        head: Head,
        waiter: Option<Waiter>,
    ) -> Result<(), SendError> {
        let answered_as = (head.kind != Kind::Ack).then_some(head.msg_id);
        let bytes = FRAME_PREFIX_BYTES + json.len();
        self.put(answered_as.is_some(), bytes, |batch| {
            let message = Outgoing::new(bytes, answered_as, Purpose::Message, waiter);
            batch.put(message, bytes, |out| {
                out.extend_from_slice(&(json.len() as u32).to_be_bytes());
                out.extend_from_slice(json);
            });
        })
        .await
    }

    async fn enqueue_fresh(
        &self,
        frame: &ValidFrame,
        waiter: Option<Waiter>,
    ) -> Result<MsgId, SendError> {
        let (bytes, limit) = (frame.json_bytes(), self.handle.shared.frame_bytes_max());
        if bytes > limit {
            return Err(SendError::TooLarge { bytes, limit });
        }
        let now = unix_time();
        let id = MsgId::fresh_at(now);
        let answered_as = (frame.kind() != Kind::Ack).then_some(id);
        let bytes = FRAME_PREFIX_BYTES + bytes;
        self.put(answered_as.is_some(), bytes, |batch| {
            let message = Outgoing::new(bytes, answered_as, Purpose::Message, waiter);
            batch.put(message, bytes, |out| {
                frame.append(out, id, &MillisText::at(now));
            });
        })
        .await?;
        Ok(id)
    }

    /// Subscribes to broadcasts that meet the conditions, in place of an earlier
    /// subscription with this id, and waits for the server's answer.
    ///
    /// Each new connection begins with the subscriptions; one that asks for a snapshot
    /// gets another. If the server refuses one then, the receiver gets an
    /// [`Event::Notice`].
    ///
    /// # Errors
    /// The subscription is not granted: with [`SendError::Refused`] the earlier one
    /// stands; with [`SendError::FateUnknown`] this connection may have it and the
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
        self.ask(&message, Purpose::Change(change)).await
    }

    async fn ask(&self, message: &Message, purpose: Purpose) -> Result<Ack, SendError> {
        let (waiter, answer) = Waiter::new();
        self.enqueue(message, purpose, Some(waiter)).await?;
        // A waiter answers even when dropped; were it leaked, nobody would know.
        answer.await.unwrap_or(Err(SendError::FateUnknown))
    }

    /// Closes the connection for all clones: writes the queue, ends the output, and
    /// waits for the remaining answers, `close_timeout` at most; not for another
    /// connection. Sends that wait for room resolve to [`SendError::Closed`]. The
    /// receiver's stream ends after the messages that arrive meanwhile.
    ///
    /// Dropping all clones and the receiver does the same in the background while
    /// the runtime runs, with a warning in the log if messages are unanswered.
    ///
    /// # Errors
    /// Messages were left behind.
    pub async fn close(self) -> Result<(), CloseError> {
        let shared = self.handle.shared.clone();
        drop(self);
        shared.refuse_more();
        shared.closing.cancel();
        match shared.left_behind().await {
            Some(left) if left.fate_unknown + left.unsent > 0 => Err(CloseError::Unfinished {
                fate_unknown: left.fate_unknown,
                unsent: left.unsent,
            }),
            _ => Ok(()),
        }
    }

    /// Returns whether the client has come to its end, or was told to; not while
    /// it tries to connect again.
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
        self.put(answered_as.is_some(), frame.len(), |batch| {
            let message = Outgoing::new(frame.len(), answered_as, purpose, waiter);
            batch.put_copy(message, &frame);
        })
        .await
    }

    /// Has a message with a frame of `bytes` put into the queue, once there is room.
    async fn put(
        &self,
        is_answered: bool,
        bytes: usize,
        put: impl FnOnce(&mut Batch),
    ) -> Result<(), SendError> {
        let shared = &self.handle.shared;
        let queued_bytes = queued_bytes(bytes);
        // Held until the message is queued: nobody overtakes it.
        let mut _place = None;
        let mut has_budget = false;
        if !is_answered {
            // An answer to others doesn't wait until the client is answered itself.
            room(&shared.queue_room, queued_bytes).await?.forget();
        } else if has_budget_remaining() && shared.take_room(queued_bytes) {
            has_budget = true;
        } else {
            _place = Some(shared.wait_for_room(queued_bytes).await?);
        }
        let queued = self.handle.queue.put(bytes, |batch| {
            put(batch);
            has_budget &= batch.bytes.len() % BYTES_PER_BUDGET < bytes;
        });
        if has_budget {
            // It doesn't wait: once queued, the message must not seem unsent.
            consume_budget().await;
        }
        queued.then_some(()).ok_or(SendError::Closed)
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
