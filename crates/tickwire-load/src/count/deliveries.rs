//! Counting messages at a receiver.

use super::notice::{self, Notice};
use crate::frame::PREFIX_BYTES;
use crate::load::Load;

/// Counts messages at a receiver.
#[derive(Debug)]
pub struct Deliveries<'a> {
    load: &'a Load,
    receiver: usize,
    server: String,
    /// The next message of each stream.
    next: Vec<Next>,
    /// The stream of the last message.
    current: usize,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were passed over.
    pub missing: u64,
    /// Bytes of both, prefixes included.
    pub bytes: u64,
    /// Frames that are no message of the load.
    pub foreign: u64,
    /// The server's own messages.
    pub notices: Vec<String>,
}

/// The next message of a stream.
#[derive(Debug, Clone, Copy)]
struct Next {
    /// Its index in the round.
    index: usize,
    /// Its number among all.
    number: u64,
}

/// A message that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The stream that it is from.
    pub stream: usize,
    /// Its number among all that the stream sends.
    pub number: u64,
}

impl<'a> Deliveries<'a> {
    /// Nothing has arrived of `load` at this receiver.
    pub fn new(load: &'a Load, receiver: usize, server: String) -> Self {
        let next = |stream| {
            let index = load.first_for(receiver, stream);
            Next {
                index,
                number: index as u64,
            }
        };
        Self {
            load,
            receiver,
            server,
            next: (0..load.streams.len()).map(next).collect(),
            current: 0,
            delivered: 0,
            missing: 0,
            bytes: 0,
            foreign: 0,
            notices: Vec::new(),
        }
    }

    /// Counts a frame, and returns the message that it is, if it is one of the
    /// load.
    #[inline]
    pub fn take(&mut self, frame: &[u8]) -> Option<Delivery> {
        let stream = self.current;
        let next = self.next[stream];
        if !self.load.streams[stream].marks[next.index].fits(frame) {
            return self.take_unexpected(frame);
        }
        self.advance(stream);
        self.delivered += 1;
        self.bytes += (frame.len() + PREFIX_BYTES) as u64;
        Some(Delivery {
            stream,
            number: next.number,
        })
    }

    /// The number of messages that have arrived or were passed over.
    pub fn settled(&self) -> u64 {
        self.delivered + self.missing
    }

    /// Counts a message of another stream than the last, one with others missing
    /// before it, or a frame that is none of the load.
    fn take_unexpected(&mut self, frame: &[u8]) -> Option<Delivery> {
        let place = self.load.place_of(frame);
        let Some(place) = place.filter(|place| self.load.is_for(self.receiver, *place)) else {
            match Notice::read(&self.server, frame) {
                Some(notice) => notice::keep(&mut self.notices, &notice),
                None => self.foreign += 1,
            }
            return None;
        };
        self.current = place.stream;
        while self.next[place.stream].index != place.index {
            self.missing += 1;
            let skipped = self.next[place.stream].index;
            self.bytes += self.load.streams[place.stream].marks[skipped].frame_bytes();
            self.advance(place.stream);
        }
        self.take(frame)
    }

    #[inline]
    fn advance(&mut self, stream: usize) {
        let stride = self.load.stride();
        let next = &mut self.next[stream];
        next.number += stride as u64;
        next.index += stride;
        let messages = self.load.streams[stream].messages();
        if next.index >= messages {
            next.index -= messages;
        }
    }
}
