//! Counting tickwire's answers at a sender.

use std::collections::BTreeMap;

use super::notice::{self, Notice};
use crate::load::{Load, Place};
use crate::protocol::Acks;
use crate::stream::ID_BYTES;

/// Counts answers at a sender.
#[derive(Debug)]
pub struct Answers<'a> {
    load: &'a Load,
    stream: usize,
    server: String,
    acks: Acks,
    /// The message that is answered next, by its place among those that are.
    next: usize,
    /// The lengths of single acks so far, and the place of the id in each. They
    /// differ by the names of the sources.
    pub(super) singles: Vec<(usize, usize)>,
    /// The place of the first id in the last batch ack.
    pub(super) batch: Option<usize>,
    /// The id of a `hello` behind all messages: its welcome comes last.
    fence: Option<String>,
    /// Whether that has come.
    pub fenced: bool,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Frames that acknowledged them.
    pub ack_frames: u64,
    /// Receivers that missed an acknowledged message.
    pub dropped: u64,
    /// Messages refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Bytes of them, prefixes included.
    pub refused_bytes: u64,
    /// Messages that the answers passed over.
    pub unanswered: u64,
    /// The server's other messages.
    pub notices: Vec<String>,
}

/// The number of lengths of single acks that are remembered.
const SINGLES_MAX: usize = 16;
/// From one id of a batch ack to the next: `","` stands between them.
const ID_STEP: usize = ID_BYTES + 3;

impl<'a> Answers<'a> {
    /// Nothing is answered of the stream with this number. `fence` is the id of
    /// the `hello` behind it, if there is to be one.
    pub fn new(
        load: &'a Load,
        stream: usize,
        server: String,
        acks: Acks,
        fence: Option<String>,
    ) -> Self {
        Self {
            load,
            stream,
            server,
            acks,
            next: 0,
            singles: Vec::new(),
            batch: None,
            fence,
            fenced: false,
            acknowledged: 0,
            ack_frames: 0,
            dropped: 0,
            refused: BTreeMap::new(),
            refused_bytes: 0,
            unanswered: 0,
            notices: Vec::new(),
        }
    }

    /// Takes a frame.
    #[inline]
    pub fn take(&mut self, frame: &[u8]) {
        let is_next =
            |&(len, at): &(usize, usize)| frame.len() == len && self.is_next(&frame[at..]);
        if self.singles.iter().any(is_next) {
            self.ack_frames += 1;
            self.acknowledge_next();
        } else if !self.take_batch(frame) {
            self.take_other(frame);
        }
    }

    /// The number of messages that were answered or passed over.
    pub fn settled(&self) -> u64 {
        self.acknowledged + self.refused_in_all() + self.unanswered
    }

    /// How many of the first `messages` are to be answered.
    pub fn due(&self, messages: u64) -> u64 {
        match self.acks {
            Acks::None => 0,
            _ => self.load.streams[self.stream].answered_of(messages),
        }
    }

    /// Whether a `hello` behind all messages shows that they were answered.
    pub fn has_fence(&self) -> bool {
        self.fence.is_some()
    }

    /// Messages refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    #[inline]
    fn is_next(&self, id: &[u8]) -> bool {
        let stream = &self.load.streams[self.stream];
        let next = stream.answered.get(self.next);
        next.is_some_and(|index| stream.marks[*index].has_id(id))
    }

    #[inline]
    fn acknowledge_next(&mut self) {
        self.acknowledged += 1;
        self.advance(1);
    }

    #[inline]
    fn advance(&mut self, by: usize) {
        self.next += by;
        let round = self.load.streams[self.stream].answered.len();
        if self.next >= round {
            self.next -= round;
        }
    }

    /// Takes a batch ack of the same form as the last, if its ids are all the
    /// next ones and no receiver missed a message.
    #[inline]
    fn take_batch(&mut self, frame: &[u8]) -> bool {
        let Some(ids) = self.batch.and_then(|at| frame.get(at..)) else {
            return false;
        };
        let (next, acknowledged) = (self.next, self.acknowledged);
        let mut ids = ids;
        while self.is_next(ids) {
            self.acknowledge_next();
            match ids.get(ID_BYTES..ID_STEP) {
                Some(br#"",""#) => ids = &ids[ID_STEP..],
                // The end of a list that names no drops.
                Some([b'"', b']', b'}' | b',', ..])
                    if memchr::memmem::find(&ids[ID_BYTES..], b"\"dropped\"").is_none() =>
                {
                    self.ack_frames += 1;
                    return true;
                }
                _ => break,
            }
        }
        (self.next, self.acknowledged) = (next, acknowledged);
        false
    }

    fn take_other(&mut self, frame: &[u8]) {
        let Some(message) = Notice::read(&self.server, frame) else {
            self.notices.push("a message that is no answer".to_owned());
            return;
        };
        let body = &message.body;
        if self.fence.is_some() && body.hello_msg_id == self.fence {
            self.fenced = true;
            return;
        }
        let code = body.code.as_deref();
        let mut ids: Vec<&str> = Vec::new();
        match code {
            // A report about messages that were acknowledged before.
            Some("UNDELIVERED") => {}
            Some(_) => ids.extend(body.details.msg_id.as_deref()),
            None => ids.extend(body.covered()),
        }
        let place = |id: &&str| self.load.place_of_id(id.as_bytes());
        let places: Option<Vec<Place>> = ids.iter().map(place).collect();
        let places = places.filter(|p| !p.is_empty() && p.iter().all(|p| p.stream == self.stream));
        let Some(places) = places else {
            notice::keep(&mut self.notices, &message);
            return;
        };
        for place in &places {
            self.pass_to(*place);
        }
        match code {
            Some(code) => {
                *self.refused.entry(code.to_owned()).or_default() += 1;
                let marks = &self.load.streams[self.stream].marks;
                let bytes = places.iter().map(|p| marks[p.index].frame_bytes());
                self.refused_bytes += bytes.sum::<u64>();
            }
            None => {
                self.acknowledged += places.len() as u64;
                self.ack_frames += 1;
                self.dropped += body.dropped();
                if let Some(at) = behind(frame, b"\"acknowledged_msg_ids\":[\"") {
                    self.batch = Some(at);
                } else if body.dropped() == 0 {
                    let at = behind(frame, b"\"acknowledged_msg_id\":\"");
                    let single = at.map(|at| (frame.len(), at));
                    let single = single.filter(|single| !self.singles.contains(single));
                    self.singles
                        .extend(single.filter(|_| self.singles.len() < SINGLES_MAX));
                }
            }
        }
    }

    /// Goes on behind the message at `place`. Messages that are passed over got
    /// no answer, unless none were to come.
    fn pass_to(&mut self, place: Place) {
        let answered = &self.load.streams[self.stream].answered;
        let Ok(at) = answered.binary_search(&place.index) else {
            // An ack that was refused: its answer isn't waited for.
            return;
        };
        let gap = (at + answered.len() - self.next) % answered.len();
        if self.acks != Acks::None {
            self.unanswered += gap as u64;
        }
        self.advance(gap);
        self.advance(1);
    }
}

/// The place in `frame` behind `key`.
fn behind(frame: &[u8], key: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(frame, key)? + key.len();
    (at + ID_BYTES <= frame.len()).then_some(at)
}
