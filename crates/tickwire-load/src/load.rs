//! The messages of all senders, ready to be written, and the way to recognise
//! each of them.

use std::collections::{BTreeSet, HashMap};

use crate::messages::{DISTINCT, Selection, Target, Variants};
use crate::protocol::Protocol;
use crate::stream::{ID_BYTES, Stream};

/// Bytes at either end of an id that are compared.
const KEY_BYTES: usize = 8;
/// The number of different messages that a sender has at least, however many
/// senders share the distinct ones.
const PER_STREAM_MIN: usize = 20;
/// Bytes of a load, about, at which it has fewer different messages: large ones
/// leave every cache soon enough.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// The messages of all senders.
#[derive(Debug)]
pub struct Load {
    /// Each sender's stream.
    pub streams: Vec<Stream>,
    /// The number of receivers.
    pub receivers: usize,
    /// Whether each message goes to all receivers, or to one after the other.
    pub is_broadcast: bool,
    /// The place of each message, by its id.
    places: HashMap<Key, Place>,
    /// The places in a message where ids stand.
    id_positions: Vec<usize>,
}

/// A message of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The stream that has it.
    pub stream: usize,
    /// Its index in a round.
    pub index: usize,
}

/// Enough of an id to tell it from all others.
type Key = [u8; 2 * KEY_BYTES];

fn key_of(id: &[u8]) -> Option<Key> {
    let id = id.get(..ID_BYTES)?;
    let mut key = Key::default();
    key[..KEY_BYTES].copy_from_slice(&id[..KEY_BYTES]);
    key[KEY_BYTES..].copy_from_slice(&id[ID_BYTES - KEY_BYTES..]);
    Some(key)
}

/// The receivers of a load.
#[derive(Debug, Clone, Copy)]
pub enum Receivers<'a> {
    /// These names in turn.
    InTurn(&'a [String]),
    /// So many connections, each of which gets everything.
    All(usize),
    /// One connection that gets everything, whatever the target.
    One(Target<'a>),
}

impl Load {
    /// Makes the messages of `sources`, a stream each; `None` leaves the source
    /// as it is. A broadcast must not consist of acks only.
    pub fn new(
        protocol: &dyn Protocol,
        selection: &Selection,
        sources: &[Option<&str>],
        receivers: Receivers<'_>,
    ) -> Self {
        let mut variants = Variants::new(selection);
        let count = match receivers {
            Receivers::InTurn(names) => names.len(),
            Receivers::All(count) => count,
            Receivers::One(_) => 1,
        };
        let per_stream = messages_per_stream(sources.len(), count, variants.bytes_expected());
        let mut load = Self {
            streams: Vec::with_capacity(sources.len()),
            receivers: count,
            is_broadcast: matches!(receivers, Receivers::All(_)),
            places: HashMap::with_capacity(per_stream * sources.len()),
            id_positions: Vec::new(),
        };
        let mut id_positions = BTreeSet::new();
        for (number, source) in sources.iter().enumerate() {
            let mut stream = Stream::default();
            while stream.messages() < per_stream {
                let index = stream.messages();
                let target = match receivers {
                    Receivers::InTurn(names) => Target::Name(&names[(index + number) % count]),
                    Receivers::All(_) => Target::Broadcast,
                    Receivers::One(target) => target,
                };
                let message = variants.next_for(*source, target);
                if load.is_broadcast && message.is_ack {
                    continue;
                }
                id_positions.insert(message.id_at);
                let key = key_of(&message.json[message.id_at..]).expect("an id is that long");
                let stream_index = Place {
                    stream: number,
                    index,
                };
                // The same id twice could not be told apart; chance alone makes
                // one in 10^19 pairs.
                if load.places.insert(key, stream_index).is_none() {
                    stream.push(protocol, &message);
                }
            }
            load.streams.push(stream);
        }
        load.id_positions = id_positions.into_iter().collect();
        load
    }

    /// Finds the message that `json` is.
    pub fn place_of(&self, json: &[u8]) -> Option<Place> {
        self.id_positions.iter().find_map(|at| {
            let place = self.place_of_id(json.get(*at..)?)?;
            let mark = &self.streams[place.stream].marks[place.index];
            mark.fits(json).then_some(place)
        })
    }

    /// Finds the message with this id.
    pub fn place_of_id(&self, id: &[u8]) -> Option<Place> {
        self.places.get(&key_of(id)?).copied()
    }

    /// The distance from one message of a stream to the next for the same
    /// receiver.
    pub fn stride(&self) -> usize {
        if self.is_broadcast { 1 } else { self.receivers }
    }

    /// The number of receivers that get each message.
    pub fn copies(&self) -> u64 {
        if self.is_broadcast {
            self.receivers as u64
        } else {
            1
        }
    }

    /// The first message of `stream` that is for `receiver`.
    pub fn first_for(&self, receiver: usize, stream: usize) -> usize {
        match self.is_broadcast {
            true => 0,
            false => (receiver + self.receivers - stream % self.receivers) % self.receivers,
        }
    }

    /// Returns whether the message at `place` is for `receiver`.
    pub fn is_for(&self, receiver: usize, place: Place) -> bool {
        self.is_broadcast || (place.index + place.stream) % self.receivers == receiver
    }

    /// Bytes of the longest message's JSON.
    pub fn json_bytes_max(&self) -> usize {
        let marks = self.streams.iter().flat_map(|stream| &stream.marks);
        marks.map(|mark| mark.len as usize).max().unwrap_or(0)
    }

    /// Bytes that arrive for a message in the mean.
    pub fn arrived_bytes_mean(&self) -> f64 {
        let streams = self.streams.iter();
        let messages: usize = streams.clone().map(Stream::messages).sum();
        let bytes: u64 = streams.map(|s| s.arrived_of(s.messages() as u64)).sum();
        bytes as f64 / messages as f64
    }
}

/// The number of different messages that each sender has.
fn messages_per_stream(senders: usize, receivers: usize, bytes_expected: usize) -> usize {
    let wanted = DISTINCT.div_ceil(senders).max(PER_STREAM_MIN);
    let most = (BYTES_MAX / senders / bytes_expected).max(2);
    // Whole turns, so that a stream's next round goes on where this one ends.
    wanted.min(most).next_multiple_of(receivers)
}

/// Makes names that no other load has, so that two at once don't take them from
/// each other: `bench-tx-1a2b-0` …
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
pub(crate) mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::messages::Example;
    use crate::protocol::Framed;

    pub(crate) fn load(
        selection: &Selection,
        senders: usize,
        receivers: usize,
        is_broadcast: bool,
    ) -> Load {
        let named = |role, count| -> Vec<String> {
            (0..count)
                .map(|number| format!("bench-{role}-1a2b-{number}"))
                .collect()
        };
        let senders = named("tx", senders);
        let sources: Vec<_> = senders.iter().map(|name| Some(&**name)).collect();
        let names = named("rx", receivers);
        let receivers = match is_broadcast {
            true => Receivers::All(receivers),
            false => Receivers::InTurn(&names),
        };
        Load::new(&Framed::Tickwire, selection, &sources, receivers)
    }

    pub(crate) fn frame(load: &Load, stream: usize, index: usize) -> &[u8] {
        &load.streams[stream].published(index as u64)[4..]
    }

    #[test]
    fn all_senders_together_have_ten_thousand_messages_or_more() {
        for (senders, receivers) in [(1, 1), (3, 1), (1, 3), (7, 4), (600, 1)] {
            let load = load(&Selection::One(Example::Order), senders, receivers, false);
            let mut distinct = HashSet::new();
            for (number, stream) in load.streams.iter().enumerate() {
                assert!(stream.messages() >= 16);
                distinct.extend((0..stream.messages()).map(|index| frame(&load, number, index)));
            }
            assert!(distinct.len() >= DISTINCT, "{senders}: {}", distinct.len());
            assert!((415.0..440.0).contains(&load.arrived_bytes_mean()));
        }
    }

    #[test]
    fn large_messages_are_fewer_and_turns_are_whole() {
        assert_eq!(messages_per_stream(1, 1, 423), DISTINCT);
        assert_eq!(messages_per_stream(3, 4, 423), 3_336);
        assert_eq!(messages_per_stream(1, 1, 1 << 20), 512);
        assert_eq!(messages_per_stream(40, 3, 8 << 20), 3);
        assert_eq!(messages_per_stream(1_000_000, 1, 423), 2);
    }

    #[test]
    fn finds_its_own_messages_and_no_others() {
        let load = load(&Selection::Mix, 2, 3, false);
        for (number, stream) in load.streams.iter().enumerate() {
            for index in [0, 1, stream.messages() - 1] {
                let frame = frame(&load, number, index);
                let place = load.place_of(frame).unwrap();
                assert_eq!((place.stream, place.index), (number, index));
                assert!(stream.marks[index].fits(frame));
                assert!(!stream.marks[(index + 1) % stream.messages()].fits(frame));
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
        assert_eq!(load.place_of(b"{}"), None);
        assert_eq!(load.place_of_id(b"short"), None);
    }

    #[test]
    fn acks_are_not_broadcast() {
        let everyone = load(&Selection::Mix, 1, 3, true);
        let stream = &everyone.streams[0];
        assert_eq!(stream.answered.len(), stream.messages());
    }
}
