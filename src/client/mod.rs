//! Floor 3: a client's connection to a server.
//!
//! [`Client::connect`] gives two things: a [`Client`] that sends, cheap to
//! clone, and a [`Receiver`], a stream of what arrives. The connection lives as
//! long as one of them does.
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
//! # Back-pressure
//! At most `unanswered_max` messages are under way without an answer, and a few
//! megabytes wait to be written; beyond that `send` and `post` wait.
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

mod config;
mod connect;
mod error;
mod receiver;
mod session;
mod unanswered;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use config::ClientConfig;
pub use error::{CloseError, ConnectError};
pub use receiver::Receiver;

pub use crate::exchange::{Disconnect, Event, Inbound, SendError};

use crate::ids::{MsgId, Name};
use crate::limits::CLIENT_QUEUE_BYTES;
use crate::wire::{Ack, Message, Payload, Welcome};
use unanswered::Waiter;

/// A connection to a server, for sending. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What keeps a connection open: the client's clones and its receiver hold it.
struct Handle {
    shared: Arc<Shared>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
}

/// What the handle and the connection's task share.
struct Shared {
    name: Name,
    welcome: Arc<Welcome>,
    /// Largest frame that the server takes.
    frame_bytes_max: usize,
    /// Messages that may yet be under way without an answer. Closed when
    /// nothing more can be sent.
    unanswered_room: Semaphore,
    /// Bytes that may yet be queued for writing. Closed likewise.
    queue_room: Semaphore,
    /// Cancelled when the connection is to be closed in good order.
    closing: CancellationToken,
    /// How many messages were left unanswered, once the connection has ended.
    ended: watch::Receiver<Option<usize>>,
}

/// A message on its way to the writer.
struct Outgoing {
    frame: Bytes,
    /// Bytes taken from `queue_room`, to be given back once written.
    queued_bytes: u32,
    /// The id under which an answer is due; `None` for an ack, which is never
    /// answered.
    answered_as: Option<MsgId>,
    /// Who waits for the answer.
    waiter: Option<Waiter>,
}

impl Client {
    /// The name under which the client said hello.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.handle.shared.name
    }

    /// What the server said when the connection was made: who it is, which names
    /// the connection owns, what the server allows.
    #[must_use]
    pub fn welcome(&self) -> Arc<Welcome> {
        self.handle.shared.welcome.clone()
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
        self.enqueue(&message, Some(waiter)).await?;
        // A waiter answers even when dropped; were it leaked, nobody would know.
        answer.await.unwrap_or(Err(SendError::FateUnknown))
    }

    /// Sends a message without waiting for the answer. If the server refuses it,
    /// the receiver gets an [`Event::Notice`].
    ///
    /// While the client has too much under way, this waits for room; a future
    /// that is dropped until then has sent nothing.
    ///
    /// # Errors
    /// The message can't be sent, or the connection is closed.
    pub async fn post(&self, message: Message) -> Result<(), SendError> {
        self.enqueue(&message, None).await
    }

    /// Closes the connection for all clones: writes what is queued, ends the
    /// output, and waits for the remaining answers, `close_timeout` at most.
    /// Sends that still wait for room resolve to [`SendError::Closed`]. What
    /// arrives meanwhile is still received; then the receiver's stream ends.
    ///
    /// Dropping all clones and the receiver does the same in the background.
    ///
    /// # Errors
    /// Messages were left without an answer.
    pub async fn close(self) -> Result<(), CloseError> {
        let shared = self.handle.shared.clone();
        drop(self);
        shared.refuse_more();
        shared.closing.cancel();
        let mut ended = shared.ended.clone();
        // An error is a task that ended with its runtime: nobody is left to tell.
        let count = ended
            .wait_for(Option::is_some)
            .await
            .map_or(0, |count| count.unwrap_or(0));
        match count {
            0 => Ok(()),
            count => Err(CloseError::FateUnknown { count }),
        }
    }

    /// Whether the connection has ended, or was told to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.shared.unanswered_room.is_closed()
    }

    async fn enqueue(&self, message: &Message, waiter: Option<Waiter>) -> Result<(), SendError> {
        let shared = &self.handle.shared;
        let answered_as = match &message.payload {
            Payload::Hello(_) | Payload::Welcome(_) => return Err(SendError::OfTheConnection),
            Payload::Ack(_) => None,
            _ => Some(message.msg_id),
        };
        let frame = message
            .to_frame_within(shared.frame_bytes_max)
            .map_err(|bytes| SendError::TooLarge {
                bytes,
                limit: shared.frame_bytes_max,
            })?;

        let one_message = match answered_as {
            Some(_) => Some(room(&shared.unanswered_room, 1).await?),
            None => None,
        };
        // One message larger than the whole queue waits until it is empty.
        let queued_bytes = frame.len().min(CLIENT_QUEUE_BYTES) as u32;
        let its_bytes = room(&shared.queue_room, queued_bytes).await?;
        // The table of the unanswered and the writer give these back.
        one_message
            .into_iter()
            .chain([its_bytes])
            .for_each(|permit| permit.forget());

        self.handle
            .outgoing
            .send(Outgoing {
                frame,
                queued_bytes,
                answered_as,
                waiter,
            })
            .map_err(|_| SendError::Closed)
    }
}

async fn room(
    semaphore: &Semaphore,
    count: u32,
) -> Result<tokio::sync::SemaphorePermit<'_>, SendError> {
    semaphore
        .acquire_many(count)
        .await
        .map_err(|_| SendError::Closed)
}

impl Shared {
    /// From now on nothing more can be sent.
    fn refuse_more(&self) {
        self.unanswered_room.close();
        self.queue_room.close();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.refuse_more();
        self.shared.closing.cancel();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", self.name())
            .field("server", &self.handle.shared.welcome.server.name)
            .field("closed", &self.is_closed())
            .finish()
    }
}

#[cfg(test)]
mod tests;
