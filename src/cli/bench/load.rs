//! What each sender of a load sends, ready to be written, and what to tell its
//! messages by.

use std::collections::{BTreeSet, HashMap};

use tickwire::ids::MsgId;
use tickwire::wire::{Kind, Parser, Validation, write_frame};

use super::messages::{DISTINCT, Selection, Target, Variants};

/// Digits of a message's id by which it is told from its neighbours.
const TAG_BYTES: usize = 8;
/// How many different messages a sender has at least, however many senders
/// share the distinct ones.
const PER_LANE_MIN: usize = 20;
/// Bytes of a load, about, at which it has fewer different messages: large ones
/// leave every cache soon enough.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// What all senders of a load send.
#[derive(Debug)]
pub struct Load {
    /// What each sender sends, round and round.
    pub lanes: Vec<Lane>,
    /// How many receivers there are.
    pub receivers: usize,
    /// Whether each message goes to all of them, or to one after the other.
    pub broadcast: bool,
    /// Where each message is found that the load has.
    places: HashMap<Key, Place>,
    /// Where in a message its id may stand.
    id_positions: Vec<usize>,
}

/// Where a message stands in a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose message it is.
    pub lane: usize,
    /// Which of its round.
    pub index: usize,
}

/// Enough of an id to tell it from all others.
type Key = [u8; 2 * TAG_BYTES];

/// Frames side by side, as one sender writes them.
#[derive(Debug, Default)]
pub struct Lane {
    /// All frames, length prefixes included.
    pub bytes: Vec<u8>,
    /// Where each frame ends in `bytes`.
    pub ends: Vec<usize>,
    /// Each frame's mark.
    pub marks: Vec<Mark>,
    /// Which frames get an answer when they are accepted: all but acks.
    pub answered: Vec<usize>,
}

/// What a frame is recognised by at the cost of one comparison: its length and
/// the beginning of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Bytes without the prefix.
    len: u32,
    /// Where the id begins.
    at: u32,
    /// The first digits of the id.
    tag: [u8; TAG_BYTES],
}

impl Mark {
    fn of(json: &[u8], at: usize) -> Self {
        let tag = json[at..].first_chunk().expect("an id is longer than that");
        Self {
            len: json.len() as u32,
            at: at as u32,
            tag: *tag,
        }
    }

    /// Whether `frame` is the one.
    #[inline]
    pub fn fits(&self, frame: &[u8]) -> bool {
        let at = self.at as usize;
        frame.len() == self.len as usize && frame.get(at..at + TAG_BYTES) == Some(&self.tag)
    }

    /// Whether `id` begins as the frame's does.
    #[inline]
    pub fn has_id(&self, id: &[u8]) -> bool {
        id.first_chunk() == Some(&self.tag)
    }

    /// Bytes of the frame, prefix included.
    pub fn frame_bytes(&self) -> u64 {
        u64::from(self.len) + 4
    }
}

fn key_of(id: &[u8]) -> Option<Key> {
    let id = id.get(..MsgId::LEN)?;
    let mut key = Key::default();
    key[..TAG_BYTES].copy_from_slice(&id[..TAG_BYTES]);
    key[TAG_BYTES..].copy_from_slice(&id[MsgId::LEN - TAG_BYTES..]);
    Some(key)
}

impl Load {
    /// Messages from each of `senders` to `receivers` in turn, or to everyone.
    /// What is broadcast must not consist of acks.
    pub fn new(
        selection: &Selection,
        senders: &[String],
        receivers: &[String],
        broadcast: bool,
    ) -> Self {
        let mut variants = Variants::new(selection, 0x7411);
        let per_lane = messages_per_lane(senders.len(), receivers.len(), variants.bytes_expected());
        let mut parser = Parser::new(Validation::Payload);
        let mut load = Self {
            lanes: Vec::with_capacity(senders.len()),
            receivers: receivers.len(),
            broadcast,
            places: HashMap::with_capacity(per_lane * senders.len()),
            id_positions: Vec::new(),
        };
        let mut id_positions = BTreeSet::new();
        for (sender, source) in senders.iter().enumerate() {
            let mut lane = Lane::default();
            while lane.marks.len() < per_lane {
                let index = lane.marks.len();
                let target = match broadcast {
                    true => Target::Broadcast,
                    false => Target::Name(&receivers[(index + sender) % receivers.len()]),
                };
                let json = variants.next_for(Some(source), target);
                let header = parser.parse(&json).expect("what varies keeps to the rules");
                if broadcast && header.kind == Kind::Ack {
                    continue;
                }
                let at = position_of(&json, header.msg_id);
                id_positions.insert(at);
                let key = key_of(&json[at..]).expect("an id is as long as that");
                let place = Place {
                    lane: sender,
                    index,
                };
                // The same id twice could not be told apart; chance alone makes
                // one in 10^19 pairs.
                if load.places.insert(key, place).is_some() {
                    continue;
                }
                if header.kind != Kind::Ack {
                    lane.answered.push(index);
                }
                lane.marks.push(Mark::of(&json, at));
                write_frame(&mut lane.bytes, &json).expect("a message fits a frame");
                lane.ends.push(lane.bytes.len());
            }
            load.lanes.push(lane);
        }
        load.id_positions = id_positions.into_iter().collect();
        load
    }

    /// Which message of the load a frame is.
    pub fn place_of_frame(&self, frame: &[u8]) -> Option<Place> {
        self.id_positions.iter().find_map(|at| {
            let place = self.place_of_id(frame.get(*at..)?)?;
            let mark = &self.lanes[place.lane].marks[place.index];
            mark.fits(frame).then_some(place)
        })
    }

    /// Which message of the load has this id.
    pub fn place_of_id(&self, id: &[u8]) -> Option<Place> {
        self.places.get(&key_of(id)?).copied()
    }

    /// How many messages there are to be for a receiver from one to the next
    /// of a lane.
    pub fn stride(&self) -> usize {
        if self.broadcast { 1 } else { self.receivers }
    }

    /// How many receivers each message is for.
    pub fn copies(&self) -> u64 {
        if self.broadcast {
            self.receivers as u64
        } else {
            1
        }
    }

    /// The first message of `lane` that is for `receiver`.
    pub fn first_for(&self, receiver: usize, lane: usize) -> usize {
        match self.broadcast {
            true => 0,
            false => (receiver + self.receivers - lane % self.receivers) % self.receivers,
        }
    }

    /// Whether a message at `place` is for `receiver`.
    pub fn is_for(&self, receiver: usize, place: Place) -> bool {
        self.broadcast || (place.index + place.lane) % self.receivers == receiver
    }

    /// Bytes of the longest frame, without its prefix.
    pub fn frame_bytes_max(&self) -> usize {
        let marks = self.lanes.iter().flat_map(|lane| &lane.marks);
        marks.map(|mark| mark.len as usize).max().unwrap_or(0)
    }

    /// Bytes of a frame in the mean, prefix included.
    pub fn frame_bytes_mean(&self) -> f64 {
        let bytes: usize = self.lanes.iter().map(|lane| lane.bytes.len()).sum();
        let frames: usize = self.lanes.iter().map(Lane::messages).sum();
        bytes as f64 / frames as f64
    }
}

/// How many different messages each sender has.
fn messages_per_lane(senders: usize, receivers: usize, bytes_expected: usize) -> usize {
    let wanted = DISTINCT.div_ceil(senders).max(PER_LANE_MIN);
    let most = (BYTES_MAX / senders / bytes_expected).max(2);
    // Whole turns, so that a lane's next round goes on where this one ends.
    wanted.min(most).next_multiple_of(receivers)
}

/// Where in a valid message its id stands. The first place that reads like it
/// might be in the payload, so the key counts too.
fn position_of(json: &[u8], msg_id: MsgId) -> usize {
    let id = msg_id.as_str().as_bytes();
    let found = memchr::memmem::find_iter(json, id);
    let is_value_of_key = |at: &usize| {
        let before = json[..at - 1].trim_ascii_end();
        let key = before.strip_suffix(b":").unwrap_or_default();
        key.trim_ascii_end().ends_with(b"msg_id\"")
    };
    let mut all = found.clone();
    let mut found = found.filter(is_value_of_key);
    let at = found.next().or_else(|| all.next());
    at.expect("a message holds its id as it was written")
}

impl Lane {
    /// Messages in a round.
    pub fn messages(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the first `messages` of the lane, repeated as often as needed.
    pub fn bytes_of(&self, messages: u64) -> u64 {
        let in_round = self.messages() as u64;
        let rest = (messages % in_round) as usize;
        let rest_bytes = rest.checked_sub(1).map_or(0, |last| self.ends[last]);
        messages / in_round * self.bytes.len() as u64 + rest_bytes as u64
    }

    /// How many messages begin before the byte `at` of the lane, repeated as
    /// often as needed.
    pub fn messages_before(&self, at: u64) -> u64 {
        let round = self.bytes.len() as u64;
        let in_round = match (at % round) as usize {
            0 => 0,
            rest => self.ends.partition_point(|end| *end < rest) + 1,
        };
        at / round * self.messages() as u64 + in_round as u64
    }

    /// How many of the first `messages` get an answer when they are accepted.
    pub fn answered_of(&self, messages: u64) -> u64 {
        let in_round = self.messages() as u64;
        let rest = (messages % in_round) as usize;
        let rest = self.answered.partition_point(|index| *index < rest);
        messages / in_round * self.answered.len() as u64 + rest as u64
    }

    /// A frame of the lane, without its prefix.
    #[cfg(test)]
    pub fn frame(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start + 4..self.ends[index]]
    }
}

/// Names that no other load has, so that two at once don't take them from each
/// other: `bench-tx-1a2b-0` …
pub fn names(role: &str, count: usize) -> Vec<String> {
    let suffix = &uuid::Uuid::new_v4().simple().to_string()[..4];
    match count {
        1 => vec![format!("bench-{role}-{suffix}")],
        _ => (0..count)
            .map(|number| format!("bench-{role}-{suffix}-{number}"))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::messages::Example;
    use super::*;

    fn named(role: &str, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("bench-{role}-1a2b-{number}"))
            .collect()
    }

    fn load(selection: &Selection, senders: usize, receivers: usize) -> Load {
        Load::new(
            selection,
            &named("tx", senders),
            &named("rx", receivers),
            false,
        )
    }

    #[test]
    fn all_senders_together_have_ten_thousand_messages_or_more() {
        for (senders, receivers) in [(1, 1), (3, 1), (1, 3), (7, 4), (600, 1)] {
            let load = load(&Selection::One(Example::Order), senders, receivers);
            let distinct: HashSet<_> = load
                .lanes
                .iter()
                .flat_map(|lane| (0..lane.messages()).map(|index| lane.frame(index)))
                .collect();
            assert!(distinct.len() >= DISTINCT, "{senders}: {}", distinct.len());
            assert!(load.lanes.iter().all(|lane| lane.messages() >= 16));
            assert!((415.0..440.0).contains(&load.frame_bytes_mean()));
        }
    }

    #[test]
    fn large_messages_are_fewer_and_turns_are_whole() {
        assert_eq!(messages_per_lane(1, 1, 423), DISTINCT);
        assert_eq!(messages_per_lane(3, 4, 423), 3_336);
        assert_eq!(messages_per_lane(1, 1, 1 << 20), 512);
        assert_eq!(messages_per_lane(40, 3, 8 << 20), 3);
        assert_eq!(messages_per_lane(1_000_000, 1, 423), 2);
    }

    #[test]
    fn finds_its_messages_and_nobody_elses() {
        let load = load(&Selection::Mix, 2, 3);
        for (number, lane) in load.lanes.iter().enumerate() {
            for index in [0, 1, lane.messages() - 1] {
                let frame = lane.frame(index);
                let place = load.place_of_frame(frame).unwrap();
                assert_eq!((place.lane, place.index), (number, index));
                assert!(lane.marks[index].fits(frame));
                assert!(!lane.marks[(index + 1) % lane.messages()].fits(frame));
                let value: serde_json::Value = serde_json::from_slice(frame).unwrap();
                let id = value["msg_id"].as_str().unwrap();
                assert_eq!(load.place_of_id(id.as_bytes()), Some(place));
                let receiver = value["target"].as_str().unwrap();
                let receiver: usize = receiver.rsplit('-').next().unwrap().parse().unwrap();
                assert!(load.is_for(receiver, place));
                assert_eq!(
                    index % load.stride(),
                    load.first_for(receiver, number) % load.stride()
                );
            }
        }
        assert_eq!(load.place_of_frame(b"{}"), None);
        assert_eq!(load.place_of_id(b"short"), None);
    }

    #[test]
    fn an_id_is_found_wherever_it_stands() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let json = format!(r#"{{"payload":{{"last":"{id}"}},"msg_id" : "{id}"}}"#);
        let parsed = format!(
            r#"{{"msg_id":"{id}","msg_type":"heartbeat","timestamp":"2026-01-03T12:41:00Z","source":"a","payload":{{"status":"s","timestamp":"2026-01-03T12:41:00Z"}}}}"#
        )
        .into_bytes();
        let header = Parser::new(Validation::Payload).parse(&parsed).unwrap();
        assert_eq!(
            position_of(json.as_bytes(), header.msg_id),
            json.rfind(id).unwrap()
        );
    }

    #[test]
    fn acks_get_no_answer_and_are_not_broadcast() {
        let addressed = load(&Selection::Mix, 1, 1);
        let lane = &addressed.lanes[0];
        assert_eq!(lane.answered[6..9], [6, 8, 9]);
        assert_eq!(lane.answered_of(8), 7);
        let round = lane.messages() as u64;
        assert_eq!(lane.answered_of(round + 8), lane.answered.len() as u64 + 7);
        let everyone = Load::new(&Selection::Mix, &named("tx", 1), &named("rx", 3), true);
        let lane = &everyone.lanes[0];
        assert_eq!(lane.answered.len(), lane.messages());
    }

    #[test]
    fn knows_where_its_messages_lie() {
        let load = load(&Selection::One(Example::Order), 1, 1);
        let lane = &load.lanes[0];
        let first = lane.ends[0] as u64;
        let round = lane.bytes.len() as u64;
        let messages = lane.messages() as u64;
        assert_eq!(lane.messages_before(0), 0);
        assert_eq!(lane.messages_before(1), 1);
        assert_eq!(lane.messages_before(first), 1);
        assert_eq!(lane.messages_before(first + 1), 2);
        assert_eq!(lane.messages_before(round), messages);
        assert_eq!(lane.messages_before(round + first + 1), messages + 2);
        assert_eq!(lane.bytes_of(0), 0);
        assert_eq!(lane.bytes_of(1), first);
        assert_eq!(lane.bytes_of(messages), round);
        assert_eq!(lane.bytes_of(messages + 2), round + lane.ends[1] as u64);
    }
}
