//! Counting what arrives, and noticing what doesn't.
//!
//! Order is kept from a connection to a name, and answers leave in the order of
//! the messages. So both counters know what must come next, and compare one
//! length and eight bytes to see that it did; only what differs is looked up.

use std::collections::BTreeMap;

use tickwire::ids::MsgId;
use tickwire::wire::ErrorCode;

use super::load::{Load, Place};
use crate::cli::answer::ServerMessage;

/// What a server says beside is kept up to so many lines.
const NOTICES_MAX: usize = 20;

/// Counts messages at a receiver.
#[derive(Debug)]
pub struct Deliveries<'a> {
    load: &'a Load,
    receiver: usize,
    server: String,
    /// What comes next from each lane.
    next: Vec<Next>,
    /// The lane of the last message.
    current: usize,
    /// Messages that arrived.
    pub delivered: u64,
    /// Messages that were passed over.
    pub missing: u64,
    /// Bytes of both, prefixes included.
    pub bytes: u64,
    /// Frames that nobody sent here.
    pub foreign: u64,
    /// What the server said.
    pub notices: Vec<String>,
}

/// The message of a lane that comes next.
#[derive(Debug, Clone, Copy)]
struct Next {
    /// Which of its round.
    index: usize,
    /// Which of all.
    number: u64,
}

/// A message that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Whose.
    pub lane: usize,
    /// Which of all that the lane sends.
    pub number: u64,
}

impl<'a> Deliveries<'a> {
    /// Nothing has arrived of `load` at this receiver.
    pub fn new(load: &'a Load, receiver: usize, server: &str) -> Self {
        let first = |lane| load.first_for(receiver, lane);
        Self {
            load,
            receiver,
            server: server.to_owned(),
            next: (0..load.lanes.len())
                .map(|lane| Next {
                    index: first(lane),
                    number: first(lane) as u64,
                })
                .collect(),
            current: 0,
            delivered: 0,
            missing: 0,
            bytes: 0,
            foreign: 0,
            notices: Vec::new(),
        }
    }

    /// Takes a frame, and says which message it is if it is one of the load.
    #[inline]
    pub fn take(&mut self, frame: &[u8]) -> Option<Delivery> {
        let lane = self.current;
        let next = self.next[lane];
        if !self.load.lanes[lane].marks[next.index].fits(frame) {
            return self.take_unexpected(frame);
        }
        self.advance(lane);
        self.delivered += 1;
        self.bytes += frame.len() as u64 + 4;
        Some(Delivery {
            lane,
            number: next.number,
        })
    }

    /// Messages of which it has been seen whether they came.
    pub fn settled(&self) -> u64 {
        self.delivered + self.missing
    }

    /// A message of another lane than the last, one with others missing before
    /// it, or none of the load.
    fn take_unexpected(&mut self, frame: &[u8]) -> Option<Delivery> {
        let place = self.load.place_of_frame(frame);
        let Some(place) = place.filter(|place| self.load.is_for(self.receiver, *place)) else {
            match ServerMessage::of(&self.server, frame) {
                Some(message) => note(&mut self.notices, &message),
                None => self.foreign += 1,
            }
            return None;
        };
        self.current = place.lane;
        while self.next[place.lane].index != place.index {
            self.missing += 1;
            let skipped = self.next[place.lane].index;
            self.bytes += self.load.lanes[place.lane].marks[skipped].frame_bytes();
            self.advance(place.lane);
        }
        self.take(frame)
    }

    #[inline]
    fn advance(&mut self, lane: usize) {
        let stride = self.load.stride();
        let next = &mut self.next[lane];
        next.number += stride as u64;
        next.index += stride;
        let messages = self.load.lanes[lane].messages();
        if next.index >= messages {
            next.index -= messages;
        }
    }
}

/// Which acks a sender has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Acks {
    /// One for each message
    Each,
    /// One for up to 1,024 messages
    Batch,
    /// None; errors still come
    None,
}

impl Acks {
    /// As a `hello` asks for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Batch => "batch",
            Self::None => "none",
        }
    }
}

/// Counts answers at a sender.
#[derive(Debug)]
pub struct Answers<'a> {
    load: &'a Load,
    lane: usize,
    server: String,
    acks: Acks,
    /// The message whose answer comes next, by its place among those that get
    /// one.
    next: usize,
    /// The length of the last single ack, and where in it the id stands.
    single: Option<(usize, usize)>,
    /// Where in the last batch ack the first id stood.
    batch: Option<usize>,
    /// The `hello` whose welcome shows that all has been answered.
    fence: MsgId,
    /// Whether it has come.
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
    /// What the server said beside.
    pub notices: Vec<String>,
}

/// From one id of a batch ack to the next: `","` stands between them.
const ID_STEP: usize = MsgId::LEN + 3;

impl<'a> Answers<'a> {
    /// Nothing that `lane` sends is answered; `fence` is the id of the `hello`
    /// behind it all.
    pub fn new(load: &'a Load, lane: usize, server: &str, acks: Acks, fence: MsgId) -> Self {
        Self {
            load,
            lane,
            server: server.to_owned(),
            acks,
            next: 0,
            single: None,
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
        if let Some((len, at)) = self.single
            && frame.len() == len
            && self.is_next(&frame[at..])
        {
            self.ack_frames += 1;
            self.acknowledge_next();
        } else if !self.take_batch(frame) {
            self.take_other(frame);
        }
    }

    /// Messages whose fate is known.
    pub fn settled(&self) -> u64 {
        self.acknowledged + self.refused_in_all() + self.unanswered
    }

    /// How many receivers each message is for.
    pub fn copies(&self) -> u64 {
        self.load.copies()
    }

    /// Messages refused.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    #[inline]
    fn is_next(&self, id: &[u8]) -> bool {
        let lane = &self.load.lanes[self.lane];
        let next = lane.answered.get(self.next);
        next.is_some_and(|index| lane.marks[*index].has_id(id))
    }

    #[inline]
    fn acknowledge_next(&mut self) {
        self.acknowledged += 1;
        self.advance(1);
    }

    #[inline]
    fn advance(&mut self, by: usize) {
        self.next += by;
        let round = self.load.lanes[self.lane].answered.len();
        if self.next >= round {
            self.next -= round;
        }
    }

    /// Takes a batch ack of the same form as the last, if all the ids in it are
    /// the next ones and nobody missed a message.
    #[inline]
    fn take_batch(&mut self, frame: &[u8]) -> bool {
        let Some(ids) = self.batch.and_then(|at| frame.get(at..)) else {
            return false;
        };
        let (next, acknowledged) = (self.next, self.acknowledged);
        let mut ids = ids;
        while self.is_next(ids) {
            self.acknowledge_next();
            match ids.get(MsgId::LEN..ID_STEP) {
                Some(br#"",""#) => ids = &ids[ID_STEP..],
                // What follows the last id of a list that names no drops.
                Some([b'"', b']', b'}' | b',', ..])
                    if memchr::memmem::find(&ids[MsgId::LEN..], b"\"dropped\"").is_none() =>
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
        let Some(message) = ServerMessage::of(&self.server, frame) else {
            self.notices.push("a message that is no answer".to_owned());
            return;
        };
        let body = &message.payload;
        if body.hello_msg_id() == Some(self.fence.as_str()) {
            self.fenced = true;
            return;
        }
        let code = body.code.as_deref();
        let mut ids: Vec<&str> = Vec::new();
        match code {
            // A report about messages that were acknowledged before.
            Some(code) if ErrorCode::from_text(code) == Some(ErrorCode::Undelivered) => {}
            Some(_) => ids.extend(body.details.msg_id.as_deref()),
            None => ids.extend(body.covered()),
        }
        let place = |id: &&str| self.load.place_of_id(id.as_bytes());
        let places: Option<Vec<Place>> = ids.iter().map(place).collect();
        let places = places.filter(|p| !p.is_empty() && p.iter().all(|p| p.lane == self.lane));
        let Some(places) = places else {
            note(&mut self.notices, &message);
            return;
        };
        for place in &places {
            self.pass_to(*place);
        }
        match code {
            Some(code) => {
                *self.refused.entry(code.to_owned()).or_default() += 1;
                let marks = &self.load.lanes[self.lane].marks;
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
                    self.single = at.map(|at| (frame.len(), at));
                }
            }
        }
    }

    /// Goes on behind the message at `place`; what is passed over got no
    /// answer, unless none were to come.
    fn pass_to(&mut self, place: Place) {
        let answered = &self.load.lanes[self.lane].answered;
        let Ok(at) = answered.binary_search(&place.index) else {
            // An ack that was refused: nobody waits for its answer.
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

/// Where in `frame` that begins which stands behind `key`.
fn behind(frame: &[u8], key: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(frame, key)? + key.len();
    (at + MsgId::LEN <= frame.len()).then_some(at)
}

fn note(notices: &mut Vec<String>, message: &ServerMessage) {
    if notices.len() >= NOTICES_MAX {
        return;
    }
    let body = &message.payload;
    let (code, text) = (body.code.as_deref(), body.message.as_deref());
    notices.push(match code {
        Some(code) => format!("{code}: {}", text.unwrap_or_default()),
        None => format!("an unexpected {}", message.msg_type),
    });
}

#[cfg(test)]
mod tests;
