//! The messages that a load consists of, ready to be written.

use std::fmt::Write;

use tickwire::wire::write_frame;
use uuid::Uuid;

use crate::cli::random::SplitMix;

/// How many different messages there are; a longer load repeats them.
pub const DISTINCT: usize = 10_000;
/// Digits of a message's id by which it is told from its neighbours.
pub const TAG_BYTES: usize = 8;
/// What stands before the id in each message.
const BEFORE_ID: &str = "{\"msg_id\":\"";

/// Frames side by side, as they are written, and what to tell them by.
#[derive(Debug)]
pub struct Load {
    /// All frames, length prefixes included.
    pub bytes: Vec<u8>,
    /// Where each frame ends in `bytes`.
    pub ends: Vec<usize>,
    /// Each frame's mark.
    pub marks: Vec<Mark>,
}

/// What a frame is recognised by at the cost of one comparison: its length and
/// the beginning of its id, which stand together at its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Bytes without the prefix.
    pub len: usize,
    /// The first digits of the id.
    pub tag: [u8; TAG_BYTES],
}

impl Mark {
    /// The mark of a message of a load; something else has another.
    #[inline]
    pub fn of(frame: &[u8]) -> Self {
        let at = BEFORE_ID.len();
        let tag = frame
            .get(at..at + TAG_BYTES)
            .and_then(|t| t.try_into().ok());
        Self {
            len: frame.len(),
            tag: tag.unwrap_or_default(),
        }
    }
}

impl Load {
    /// Order events of about 423 bytes from `source` to `target`, all with
    /// other ids and numbers of varying length; the same for the same names but
    /// for the time.
    pub fn orders(source: &str, target: &str, time: &str) -> Self {
        let mut load = Self {
            bytes: Vec::with_capacity(DISTINCT * 430),
            ends: Vec::with_capacity(DISTINCT),
            marks: Vec::with_capacity(DISTINCT),
        };
        let mut random = SplitMix::new(0x7411);
        let mut json = String::new();
        for _ in 0..DISTINCT {
            json.clear();
            write_order(&mut json, &mut random, source, target, time);
            write_frame(&mut load.bytes, json.as_bytes()).expect("an order fits a frame");
            load.ends.push(load.bytes.len());
            load.marks.push(Mark::of(json.as_bytes()));
        }
        load
    }

    /// Bytes of a frame in the mean, prefix included.
    pub fn frame_bytes_mean(&self) -> f64 {
        self.bytes.len() as f64 / self.ends.len() as f64
    }

    /// Bytes of the first `messages` of the load, repeated as often as needed.
    pub fn bytes_of(&self, messages: u64) -> u64 {
        let rounds = messages / DISTINCT as u64;
        let rest = (messages % DISTINCT as u64) as usize;
        let rest_bytes = rest.checked_sub(1).map_or(0, |last| self.ends[last]);
        rounds * self.bytes.len() as u64 + rest_bytes as u64
    }

    /// How many messages of one round begin before the byte `at`.
    pub fn messages_before(&self, at: usize) -> usize {
        match at {
            0 => 0,
            _ => self.ends.partition_point(|end| *end < at) + 1,
        }
    }
}

fn write_order(out: &mut String, random: &mut SplitMix, source: &str, target: &str, time: &str) {
    let id = Uuid::from_u64_pair(random.next(), random.next());
    // Numbers of any length, as real ones have: most are long.
    let order = random.next() % 10u64.pow(3 + (random.next() % 4) as u32);
    let (symbol, price) = match random.next() % 4 {
        0 => ("BTCUSDT", 45_000.0),
        1 => ("ETHUSDT", 2_800.0),
        2 => ("SOLUSDT", 140.0),
        _ => ("DOGEUSDT", 0.31),
    };
    let side = ["BUY", "SELL"][(random.next() % 2) as usize];
    let price = price * (0.9 + (random.next() % 2_000) as f64 / 10_000.0);
    let quantity = (1 + random.next() % 100_000) as f64 / 1_000.0;
    let run = random.next() % 100;
    write!(
        out,
        "{BEFORE_ID}{id}\",\"msg_type\":\"ingest_event\",\"timestamp\":\"{time}\",\
         \"source\":\"{source}\",\"target\":\"{target}\",\"payload\":{{\"run_id\":\"run-{run}\",\
         \"event_type\":\"order\",\"event_utc\":\"{time}\",\"payload_json\":{{\
         \"order_id\":\"ord-{order}\",\"symbol\":\"{symbol}\",\"side\":\"{side}\",\
         \"order_type\":\"LIMIT\",\"quantity\":{quantity},\"price\":{price:.2}}},\
         \"received_utc\":\"{time}\"}}}}"
    )
    .expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn load() -> Load {
        Load::orders("bench-tx-1a2b", "bench-rx-1a2b", "2026-01-03T12:41:00.000Z")
    }

    #[test]
    fn messages_are_distinct_valid_and_of_the_size_that_is_compared() {
        let load = load();
        let mean = load.frame_bytes_mean();
        assert!((418.0..=428.0).contains(&mean), "{mean}");
        let mut ids = HashSet::new();
        let mut lengths = HashSet::new();
        let mut start = 0;
        for (end, mark) in load.ends.iter().zip(&load.marks) {
            let json = &load.bytes[start + 4..*end];
            let value: serde_json::Value = serde_json::from_slice(json).unwrap();
            assert!(ids.insert(value["msg_id"].as_str().unwrap().to_owned()));
            assert_eq!(Mark::of(json), *mark);
            lengths.insert(mark.len);
            start = *end;
        }
        assert_eq!(ids.len(), DISTINCT);
        assert!(lengths.len() > 8);
    }

    #[test]
    fn neighbours_differ_in_their_marks() {
        let marks = load().marks;
        let tags: HashSet<_> = marks.iter().map(|mark| mark.tag).collect();
        assert!(tags.len() > DISTINCT - 10);
    }

    #[test]
    fn knows_where_its_messages_lie() {
        let load = load();
        assert_eq!(load.messages_before(0), 0);
        assert_eq!(load.messages_before(1), 1);
        assert_eq!(load.messages_before(load.ends[0]), 1);
        assert_eq!(load.messages_before(load.ends[0] + 1), 2);
        assert_eq!(load.messages_before(load.bytes.len()), DISTINCT);
        assert_eq!(load.bytes_of(0), 0);
        assert_eq!(load.bytes_of(1), load.ends[0] as u64);
        let round = load.bytes.len() as u64;
        assert_eq!(load.bytes_of(DISTINCT as u64), round);
        assert_eq!(
            load.bytes_of(DISTINCT as u64 + 2),
            round + load.ends[1] as u64
        );
    }
}
