//! Settling messages to durable names.

use super::{Client, SendError};
use crate::wire::{Message, settlement_of};

impl Client {
    /// Settles a message: tells the server, and its sender, by an `ack` that this program
    /// has done with it. A message to a durable name ([`Welcome::is_durable`]) is delivered
    /// again until it is settled, so settle it when its work is done, and not before.
    ///
    /// The ack is [posted](Client::post): [`Client::flush`] or [`Client::close`] waits until
    /// the server has read it. If the connection is lost before, the message may be
    /// delivered once more. Nothing is sent for a broadcast or an `ack`, which need no
    /// settling.
    ///
    /// ```no_run
    /// # use tickwire::client::{Client, Receiver, Event};
    /// # async fn example(client: Client, mut receiver: Receiver) -> Result<(), Box<dyn std::error::Error>> {
    /// while let Some(event) = receiver.receive().await {
    ///     if let Event::Message(inbound) = event {
    ///         let message = inbound.message()?;
    ///         println!("done with {}", message.msg_id);
    ///         client.settle(&message).await?;
    ///     }
    /// }
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The ack can't be sent, or the connection is closed.
    ///
    /// [`Welcome::is_durable`]: crate::wire::Welcome::is_durable
    pub async fn settle(&self, message: &Message) -> Result<(), SendError> {
        self.post_settlement(message.settlement()).await
    }

    /// Settles the message in `json`, as [`Inbound::json`](super::Inbound::json) gives it,
    /// whatever its payload; else as [`Client::settle`]. Nothing is sent for anything but
    /// a message.
    ///
    /// # Errors
    /// As of [`Client::settle`].
    pub async fn settle_json(&self, json: &[u8]) -> Result<(), SendError> {
        self.post_settlement(settlement_of(json)).await
    }

    async fn post_settlement(&self, settlement: Option<Message>) -> Result<(), SendError> {
        match settlement {
            Some(ack) => self.post(ack).await,
            None => Ok(()),
        }
    }
}
