//! A message on its way out, and the send that waits for its outcome.

use tokio::sync::oneshot;

use super::SendError;
use super::flush::Fence;
use super::subscriptions::Change;
use crate::ids::MsgId;
use crate::limits::CLIENT_QUEUE_BYTES;
use crate::wire::Ack;

pub(super) type Outcome = Result<Ack, SendError>;

/// A message on its way to the writer, or under way.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Bytes taken from the room for frames, to be given back once it is answered.
    pub queued_bytes: u32,
    /// The id under which an answer is due; `None` for an ack.
    pub answered_as: Option<MsgId>,
    pub waiter: Option<Waiter>,
    pub purpose: Purpose,
}

#[derive(Debug)]
pub(super) enum Queued {
    Message(Outgoing),
    /// A flush, behind the messages that it waits for.
    Fence(Fence),
}

/// The owner and the kind of an [`Outgoing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The program's.
    Message,
    /// A change of the subscriptions, said to each connection until it is answered.
    Change(Change),
    /// A subscription that the client says again to this connection.
    Again(Change),
    /// The client's own, of this connection only: a heartbeat or a probe.
    OfTheClient,
}

/// The room that a frame of so many bytes takes: one larger than the whole queue waits
/// until that is empty.
pub(super) fn queued_bytes(frame_bytes: usize) -> u32 {
    frame_bytes.min(CLIENT_QUEUE_BYTES) as u32
}

impl Outgoing {
    /// A message with a frame of so many bytes.
    #[inline]
    pub(super) fn new(
        frame_bytes: usize,
        answered_as: Option<MsgId>,
        purpose: Purpose,
        waiter: Option<Waiter>,
    ) -> Self {
        Self {
            queued_bytes: queued_bytes(frame_bytes),
            answered_as,
            waiter,
            purpose,
        }
    }

    /// A message of this connection only: it takes no room, and isn't written again.
    pub(super) fn of_connection(id: MsgId, purpose: Purpose) -> Self {
        Self {
            queued_bytes: 0,
            answered_as: Some(id),
            waiter: None,
            purpose,
        }
    }

    /// Returns whether it takes room among the messages without an answer.
    pub(super) fn takes_room(&self) -> bool {
        self.is_the_programs() && self.answered_as.is_some()
    }

    pub(super) fn is_the_programs(&self) -> bool {
        matches!(self.purpose, Purpose::Message | Purpose::Change(_))
    }

    pub(super) fn is_change(&self) -> bool {
        matches!(self.purpose, Purpose::Change(_))
    }

    /// Returns whether it is a message of the program that no send waits for.
    pub(super) fn is_posted(&self) -> bool {
        self.waiter.is_none() && self.purpose == Purpose::Message
    }

    /// Gives the outcome to the send that waits for it; returns whether one does.
    pub(super) fn resolve(&mut self, outcome: Outcome) -> bool {
        let Some(mut waiter) = self.waiter.take() else {
            return false;
        };
        waiter.tell(outcome);
        true
    }

    /// Notes whether the server may have it from here on.
    pub(super) fn set_handed(&mut self, handed: bool) {
        if let Some(waiter) = &mut self.waiter {
            waiter.handed = handed;
        }
    }
}

/// A send that waits for its one outcome. A dropped waiter tells as much as it knows.
#[derive(Debug)]
pub(super) struct Waiter {
    outcome: Option<oneshot::Sender<Outcome>>,
    /// Whether the message has been handed to a connection.
    handed: bool,
}

impl Waiter {
    pub(super) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (outcome, receiver) = oneshot::channel();
        let waiter = Self {
            outcome: Some(outcome),
            handed: false,
        };
        (waiter, receiver)
    }

    pub(super) fn tell(&mut self, outcome: Outcome) {
        if let Some(sender) = self.outcome.take() {
            // A future that was dropped has given the answer up.
            let _ = sender.send(outcome);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.tell(Err(if self.handed {
            SendError::FateUnknown
        } else {
            SendError::Closed
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_that_is_dropped_says_whether_its_message_was_handed_over() {
        for (handed, expected) in [(false, SendError::Closed), (true, SendError::FateUnknown)] {
            let (waiter, mut outcome) = Waiter::new();
            let mut message = Outgoing {
                queued_bytes: 0,
                answered_as: None,
                waiter: Some(waiter),
                purpose: Purpose::Message,
            };
            message.set_handed(true);
            message.set_handed(handed);
            drop(message);
            assert_eq!(outcome.try_recv().unwrap(), Err(expected));
        }
    }
}
