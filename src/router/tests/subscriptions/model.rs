//! Sessions that come, subscribe, broadcast, fall behind and leave, held
//! against a slow and plain model. It decides with serde_json, message by
//! message and receiver by receiver, which messages each must get and in which
//! order.

mod receiver;

use std::collections::HashMap;

use super::*;
use receiver::{Item, Receiver, Wanted, holds, key_of};

const CLOSE: &str = "/payload/payload_json/close";
const STEPS: usize = 60;
const KEYS: [&str; 2] = [SYMBOL, CLOSE];

/// How many seeds are run; more by `TICKWIRE_SEEDS`.
fn seeds() -> u64 {
    let wanted = std::env::var("TICKWIRE_SEEDS").ok();
    wanted.and_then(|seeds| seeds.parse().ok()).unwrap_or(200)
}

/// The same for every run of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// Each with its value and its sender's number.
type Kept = Vec<(String, Value, usize)>;

struct Model {
    router: Router,
    receivers: Vec<Receiver>,
    room: usize,
    /// By pointer: the last message for each value, the least lately updated
    /// first.
    kept: HashMap<&'static str, Kept>,
    numbers: usize,
    conflated: u64,
}

impl Model {
    fn join(&mut self, random: &mut Random) {
        let number = self.next_number();
        let name = (random.below(2) == 0).then(|| format!("peer {number}"));
        let mut client = match &name {
            Some(name) => TestClient::named(&self.router, name),
            None => TestClient::anonymous(&self.router),
        };
        client.read();
        self.receivers.push(Receiver {
            client,
            number,
            name,
            wants_none: false,
            wanted: Vec::new(),
            conflates: false,
            queue: Vec::new(),
        });
    }

    /// Several broadcasts in one read.
    fn broadcast(&mut self, random: &mut Random, sender: usize) {
        let by = self.receivers[sender].number;
        let source = (self.receivers[sender].name.clone()).unwrap_or_else(|| "tool".to_owned());
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..1 + random.below(6) {
            let number = self.next_number();
            let symbol = random.pick(&[json!("A"), json!("B\u{e9}"), json!("C\"x"), json!(null)]);
            let close = random.pick(&[json!(1), json!(1.0), json!(2.5), json!(true), json!([1])]);
            let mut message = bar(number, &source, symbol, close);
            if random.below(8) == 0 {
                message["payload"]["payload_json"] = json!({"other": 1});
            }
            let mut dropped = 0;
            for (index, receiver) in self.receivers.iter_mut().enumerate() {
                if index != sender {
                    let (had_room, replaced) = receiver.put(number, &message, Some(self.room));
                    dropped += usize::from(!had_room);
                    self.conflated += replaced;
                }
            }
            for (pointer, kept) in &mut self.kept {
                if let Some(key) = key_of(&message, pointer) {
                    kept.retain(|(known, ..)| *known != key);
                    kept.push((key, message.clone(), by));
                }
            }
            expected.push((id(number), dropped as u64));
            frames.push(message);
        }
        let sender = &mut self.receivers[sender];
        let _ = sender.client.say_all(&frames);
        let answers = messages(&sender.client.session.take_answers());
        let told: Vec<(String, u64)> = (answers.iter())
            .map(|ack| {
                let payload = &ack["payload"];
                let id = payload["acknowledged_msg_id"].as_str().unwrap().to_owned();
                (id, payload["dropped"].as_u64().unwrap_or(0))
            })
            .collect();
        assert_eq!(told, expected);
    }

    fn subscribe(&mut self, random: &mut Random, index: usize) {
        let receiver = &mut self.receivers[index];
        let conditions = [
            json!({"field": SYMBOL, "op": "eq", "value": "A"}),
            json!({"field": SYMBOL, "op": "in", "value": ["B\u{e9}", null, "A"]}),
            json!({"field": SYMBOL, "op": "prefix", "value": "C"}),
            json!({"field": CLOSE, "op": "eq", "value": 1}),
            json!({"field": CLOSE, "op": "eq", "value": true}),
            json!({"field": CLOSE, "op": "ge", "value": 1}),
            json!({"field": CLOSE, "op": "exists", "value": random.below(2) == 0}),
            json!({"field": "source", "op": "eq", "value": "tool"}),
            json!({"field": "msg_type", "op": "eq", "value": "ingest_event"}),
        ];
        let filter: Value = (0..random.below(3))
            .map(|_| random.pick(&conditions))
            .collect();
        let key = random.pick(&KEYS);
        let is_latest = random.below(2) == 0;
        let is_snapshot = random.below(3) == 0;
        let id = random.pick(&["one", "two", "three"]).to_owned();
        let serial = self.numbers;
        self.numbers += 1;
        let mode = if is_latest { "latest" } else { "all" };
        let options = json!({"where": filter, "key": key, "mode": mode, "snapshot": is_snapshot});
        let _ = receiver.client.say(&subscribe(serial, &id, options));
        let answers = messages(&receiver.client.session.take_answers());
        assert_eq!(kinds(&answers), ["ack"]);
        let wanted = Wanted {
            id,
            filter,
            latest: is_latest.then_some(key),
            serial,
        };
        if is_latest && !receiver.conflates {
            receiver.conflates = true;
            // Waiting messages are in the other queue.
            for item in &mut receiver.queue {
                if let Item::Message { takes_room, .. } = item {
                    *takes_room = false;
                }
            }
        }
        match receiver
            .wanted
            .iter_mut()
            .find(|known| known.id == wanted.id)
        {
            Some(known) => *known = wanted.clone(),
            None => receiver.wanted.push(wanted.clone()),
        }
        if is_snapshot {
            let kept = self.kept.entry(key).or_default();
            for (value, message, sender) in kept.iter() {
                let conditions = wanted.filter.as_array().unwrap();
                let matches = conditions.iter().all(|condition| holds(condition, message));
                if !receiver.wants_none && *sender != receiver.number && matches {
                    let own = is_latest.then(|| (serial, value.clone()));
                    let number = number_of(message);
                    receiver.append(number, message, own.into_iter().collect(), None);
                }
            }
        }
    }

    fn unsubscribe(&mut self, random: &mut Random, index: usize) {
        let receiver = &mut self.receivers[index];
        let id = random.pick(&["one", "two", "three"]);
        let _ = receiver.client.say(&unsubscribe(1, id));
        let answers = messages(&receiver.client.session.take_answers());
        let before = receiver.wanted.len();
        receiver.wanted.retain(|wanted| wanted.id != id);
        let expected = match receiver.wanted.len() < before {
            true => "ack",
            false => "INVALID_PAYLOAD",
        };
        assert_eq!(kinds(&answers), [expected]);
    }

    fn say_hello(&mut self, random: &mut Random, index: usize) {
        let receiver = &mut self.receivers[index];
        receiver.wants_none = random.below(3) == 0;
        let broadcasts = if receiver.wants_none { "none" } else { "all" };
        let _ = receiver
            .client
            .say(&hello("x", json!({"broadcasts": broadcasts})));
        let answers = messages(&receiver.client.session.take_answers());
        assert_eq!(kinds(&answers), ["welcome"]);
    }

    /// Reads all that waits, or the first messages of it.
    fn read(&mut self, random: &mut Random, index: usize, all: bool) {
        let receiver = &mut self.receivers[index];
        let is_message = |item: &&Item| matches!(item, Item::Message { .. });
        let count = match all {
            true => receiver.queue.len(),
            false => {
                let whole = receiver.queue.iter().take_while(is_message).count();
                random.below(whole + 1)
            }
        };
        let expected: Vec<Item> = receiver.queue.drain(..count).collect();
        let bytes = expected.iter().map(|item| match item {
            Item::Message { bytes, .. } => *bytes,
            Item::DropNotice { .. } => 0,
        });
        receiver.client.write_up_to(match all {
            true => usize::MAX,
            false => bytes.sum(),
        });
        let seen = messages(&std::mem::take(&mut receiver.client.written));
        let seen = seen.iter().map(outline);
        let expected = expected.iter().map(|item| match item {
            Item::Message { number, .. } => (*number, *number, 0),
            Item::DropNotice { count, first, last } => (*first, *last, *count),
        });
        assert_eq!(joined(seen), joined(expected));
    }

    fn next_number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }
}

/// The first and the last message that something stands for, and how many are
/// missing.
type Outline = (usize, usize, usize);

/// Joins drops that follow each other: a receiver with two queues is told of
/// those of each by itself.
fn joined(outlines: impl Iterator<Item = Outline>) -> Vec<Outline> {
    let mut joined: Vec<Outline> = Vec::new();
    for (first, last, missing) in outlines {
        match joined.last_mut() {
            Some(before) if before.2 > 0 && missing > 0 => {
                before.1 = last;
                before.2 += missing;
            }
            _ => joined.push((first, last, missing)),
        }
    }
    joined
}

fn outline(message: &Value) -> Outline {
    if message["msg_type"] != "error" {
        return (number_of(message), number_of(message), 0);
    }
    let details = &message["payload"]["details"];
    let number = |field: &str| number_in(details[field].as_str().unwrap());
    let count = details["count"].as_u64().unwrap() as usize;
    (number("first_msg_id"), number("last_msg_id"), count)
}

fn number_of(message: &Value) -> usize {
    number_in(message["msg_id"].as_str().unwrap())
}

fn number_in(id: &str) -> usize {
    usize::from_str_radix(&id[24..], 16).unwrap()
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    // With little room everything is read at once: the charge of a partly
    // written run is no concern of this model.
    let is_small = random.below(2) == 0;
    let room = if is_small {
        1 + random.below(8)
    } else {
        65_536
    };
    let keeps = random.below(2) == 0;
    let mut model = Model {
        router: Router::new(RouterConfig {
            queue_messages: room,
            snapshot_keys: match keeps {
                true => KEYS.map(str::to_owned).to_vec(),
                false => Vec::new(),
            },
            ..RouterConfig::default()
        }),
        receivers: Vec::new(),
        room,
        kept: match keeps {
            true => KEYS.map(|key| (key, Vec::new())).into(),
            false => HashMap::new(),
        },
        numbers: 1_000,
        conflated: 0,
    };
    for _ in 0..3 {
        model.join(&mut random);
    }
    for _ in 0..STEPS {
        let index = random.below(model.receivers.len());
        match random.below(20) {
            0 => model.join(&mut random),
            1 if model.receivers.len() > 2 => {
                model.receivers.swap_remove(index);
            }
            2..=5 => model.subscribe(&mut random, index),
            6 => model.unsubscribe(&mut random, index),
            7 => model.say_hello(&mut random, index),
            8..=10 => {
                let all = is_small || random.below(2) == 0;
                model.read(&mut random, index, all);
            }
            _ => model.broadcast(&mut random, index),
        }
    }
    for index in 0..model.receivers.len() {
        model.read(&mut random, index, true);
    }
    assert_eq!(model.router.stats().conflated, model.conflated);
}

#[test]
fn everybody_gets_what_a_plain_model_says() {
    for seed in 0..seeds() {
        let outcome = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = outcome {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
