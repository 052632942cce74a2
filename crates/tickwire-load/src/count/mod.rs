//! Counting the messages and answers that arrive, and noticing those that don't.
//!
//! Order is kept from a connection to a name, and answers leave in the order of
//! the messages. So the exact counters know the next one, and compare one length
//! and eight bytes to see that it came; only the rest is looked up. Where
//! servers are compared, bytes are counted instead, at the same cost for each.

mod answers;
mod deliveries;
mod notice;

pub use self::answers::Answers;
pub use self::deliveries::{Deliveries, Delivery};
use crate::connection::Broken;
use crate::frame;
use crate::load::Load;
use crate::protocol::{AnswerForm, FindReply, Party};

/// A way to count arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Each message is recognised.
    Messages,
    /// Bytes are counted.
    Bytes,
}

/// The arrivals at a receiver.
#[derive(Debug)]
pub enum Arrivals<'a> {
    /// Message by message.
    Messages(Deliveries<'a>),
    /// The bytes.
    Bytes(u64),
}

impl<'a> Arrivals<'a> {
    /// Nothing has arrived at this receiver.
    pub fn new(counting: Counting, load: &'a Load, receiver: usize, party: &Party) -> Self {
        match counting {
            Counting::Messages => {
                Self::Messages(Deliveries::new(load, receiver, party.server.clone()))
            }
            Counting::Bytes => Self::Bytes(0),
        }
    }

    /// Takes bytes that were read, hands each message that is recognised to
    /// `each`, and returns how many bytes are done with.
    #[inline]
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Delivery)) -> Result<usize, Broken> {
        match self {
            Self::Messages(deliveries) => Ok(frame::for_each(bytes, |frame| {
                if let Some(delivery) = deliveries.take(frame) {
                    each(delivery);
                }
            })?),
            Self::Bytes(received) => {
                *received += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
    }

    /// Messages, or bytes where those are counted.
    pub fn units(&self) -> u64 {
        match self {
            Self::Messages(deliveries) => deliveries.delivered,
            Self::Bytes(received) => *received,
        }
    }

    /// Bytes that have arrived, or were passed over.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Messages(deliveries) => deliveries.bytes,
            Self::Bytes(received) => *received,
        }
    }

    /// The exact counts, if messages are recognised.
    pub fn messages(&self) -> Option<&Deliveries<'a>> {
        match self {
            Self::Messages(deliveries) => Some(deliveries),
            Self::Bytes(_) => None,
        }
    }
}

/// The answers at a sender.
#[derive(Debug)]
pub enum Replies<'a> {
    /// None are expected; all is read and ignored.
    Ignored,
    /// The same bytes for each message.
    Fixed {
        /// The bytes.
        answer: Vec<u8>,
        /// The number of answers so far.
        count: u64,
    },
    /// Bytes that differ from one message to the next.
    Found {
        /// Finds the end of each.
        find: FindReply,
        /// The number of answers so far.
        count: u64,
    },
    /// tickwire's acks and errors.
    Exact(Box<Answers<'a>>),
}

impl<'a> Replies<'a> {
    /// Nothing is answered of the stream with this number.
    pub fn new(form: &AnswerForm, load: &'a Load, stream: usize, party: &Party) -> Self {
        match form {
            AnswerForm::None => Self::Ignored,
            AnswerForm::Fixed(answer) => Self::Fixed {
                answer: answer.clone(),
                count: 0,
            },
            AnswerForm::Found(find) => Self::Found {
                find: *find,
                count: 0,
            },
            AnswerForm::Acks(acks) => {
                let fence = party.fence.as_ref().map(|fence| fence.id.clone());
                let server = party.server.clone();
                Self::Exact(Box::new(Answers::new(load, stream, server, *acks, fence)))
            }
        }
    }

    /// Takes bytes that were read, and returns how many are done with.
    #[inline]
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        match self {
            Self::Ignored => Ok(bytes.len()),
            Self::Fixed { answer, count } => {
                let answers = bytes.chunks_exact(answer.len());
                for candidate in answers.clone() {
                    if candidate != answer.as_slice() {
                        let text = String::from_utf8_lossy(candidate).into_owned();
                        return Err(Broken::Answer(text));
                    }
                }
                *count += answers.len() as u64;
                Ok(answers.len() * answer.len())
            }
            Self::Found { find, count } => {
                let mut taken = 0;
                while let Some(reply) = find(&bytes[taken..]).map_err(Broken::Answer)? {
                    taken += reply.bytes;
                    *count += u64::from(reply.answers);
                }
                Ok(taken)
            }
            Self::Exact(answers) => Ok(frame::for_each(bytes, |frame| answers.take(frame))?),
        }
    }

    /// The number of messages that were answered or passed over.
    pub fn settled(&self) -> u64 {
        match self {
            Self::Ignored => 0,
            Self::Fixed { count, .. } | Self::Found { count, .. } => *count,
            Self::Exact(answers) => answers.settled(),
        }
    }

    /// Returns how many of the first `messages` are to be answered.
    pub fn due(&self, messages: u64) -> u64 {
        match self {
            Self::Ignored => 0,
            Self::Fixed { .. } | Self::Found { .. } => messages,
            Self::Exact(answers) => answers.due(messages),
        }
    }

    /// Returns whether the first `messages`, which are all, were answered.
    pub fn are_complete(&self, messages: u64) -> bool {
        match self {
            Self::Exact(answers) if answers.has_fence() => answers.fenced,
            _ => self.settled() >= self.due(messages),
        }
    }

    /// The exact counts, if there are any.
    pub fn exact(&self) -> Option<&Answers<'a>> {
        match self {
            Self::Exact(answers) => Some(answers),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
