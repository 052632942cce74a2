//! The two ends of a load: connections that send, and those that receive.

use std::io;

use crate::connection::{Connection, Cursor};
use crate::count::{Arrivals, Counting, Replies};
use crate::load::Load;
use crate::protocol::Party;
use crate::stream::Stream;

/// A connection that sends.
#[derive(Debug)]
pub struct Sender<'a> {
    pub connection: Connection,
    /// Its number in the load.
    pub number: usize,
    stream: &'a Stream,
    pub cursor: Cursor<'a>,
    /// Messages that may be sent, once those before have been answered.
    allowed: u64,
    /// Messages that may wait for their answers.
    in_flight_max: Option<u64>,
    /// Whether no more will be allowed.
    is_counted: bool,
    /// Bytes of the messages that were begun, as a receiver gets them.
    arriving: u64,
    /// Whether no further message will be begun.
    pub is_final: bool,
    /// The part of the `hello` behind all messages that is still to be written.
    fence: Vec<u8>,
    pub replies: Replies<'a>,
    /// Whether all has been written and answered.
    pub has_ended: bool,
    /// Whether it waits in the queue of those that may write.
    pub is_queued: bool,
}

impl<'a> Sender<'a> {
    /// A sender of stream `number`, which may send nothing yet, and later have
    /// `in_flight_max` messages without an answer.
    pub fn new(
        party: Party,
        number: usize,
        stream: &'a Stream,
        replies: Replies<'a>,
        in_flight_max: Option<u64>,
    ) -> io::Result<Self> {
        let fence = party.fence.as_ref().map(|fence| fence.frame.clone());
        Ok(Self {
            connection: Connection::new(party)?,
            number,
            stream,
            cursor: Cursor::new(stream),
            allowed: 0,
            in_flight_max,
            is_counted: false,
            arriving: 0,
            is_final: false,
            fence: fence.unwrap_or_default(),
            replies,
            has_ended: false,
            is_queued: false,
        })
    }

    /// It may send so many messages and no more.
    pub fn allow_in_all(&mut self, messages: u64) {
        self.allowed = messages;
        self.is_counted = true;
        self.grant();
    }

    /// It may send until it is told to end.
    pub fn allow_all(&mut self) {
        self.allowed = u64::MAX;
        self.grant();
    }

    /// One more message is due.
    pub fn allow_next(&mut self) {
        self.allowed += 1;
        self.grant();
    }

    /// Lets it go on as far as its answers allow.
    pub fn grant(&mut self) {
        if self.is_final {
            return;
        }
        let answered = self.replies.settled();
        let in_flight = self.in_flight_max.map(|max| answered + max);
        let limit = in_flight.map_or(self.allowed, |limit| limit.min(self.allowed));
        match limit {
            u64::MAX => self.cursor.allow_all(),
            limit => self.cursor.allow(limit),
        }
        self.is_final = self.is_counted && limit == self.allowed;
    }

    /// It finishes the message that it has begun, and sends no more.
    pub fn end(&mut self) {
        self.cursor.end();
        self.is_final = true;
    }

    /// Returns whether there are bytes that it may write.
    pub fn wants_to_write(&self) -> bool {
        self.cursor.left() > 0 || self.wants_to_fence()
    }

    pub fn wants_to_fence(&self) -> bool {
        self.is_final && self.cursor.left() == 0 && !self.fence.is_empty()
    }

    /// Writes once, `room` bytes of messages at most, and returns how many bytes
    /// more will arrive at a receiver.
    pub fn write(&mut self, room: u64) -> io::Result<u64> {
        if self.wants_to_fence() {
            let taken = self.connection.write(&self.fence)?;
            self.fence.drain(..taken);
            return Ok(0);
        }
        self.cursor.write(&mut self.connection, room)?;
        let arriving = self.stream.arrived_of(self.cursor.messages());
        Ok(arriving - std::mem::replace(&mut self.arriving, arriving))
    }

    /// Returns whether it has just written all and got all answers.
    pub fn ends(&mut self) -> bool {
        let ends = !self.has_ended
            && self.is_final
            && !self.wants_to_write()
            && self.replies.are_complete(self.cursor.messages());
        self.has_ended |= ends;
        ends
    }

    /// Units that receivers must get of its messages.
    pub fn owed(&self, load: &Load, counting: Counting) -> u64 {
        let messages = self.cursor.messages();
        let copies = load.copies();
        match (counting, self.replies.exact()) {
            (Counting::Bytes, _) => self.stream.arrived_of(messages) * copies,
            (Counting::Messages, None) => messages * copies,
            (Counting::Messages, Some(answers)) => {
                let arriving = messages - answers.refused_in_all();
                (arriving * copies).saturating_sub(answers.dropped)
            }
        }
    }
}

/// A connection that receives.
#[derive(Debug)]
pub struct Receiver<'a> {
    pub connection: Connection,
    pub number: usize,
    pub arrivals: Arrivals<'a>,
}

impl<'a> Receiver<'a> {
    /// Receiver `number` of the load.
    pub fn new(party: Party, number: usize, arrivals: Arrivals<'a>) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::new(party)?,
            number,
            arrivals,
        })
    }
}
