//! A client with connections that are cut at random, held to its promise: each
//! message is delivered once, and acknowledged at least once.

use std::collections::{HashMap, VecDeque};

use super::*;

const MESSAGES: usize = 60;

/// A connection of the client that it gave up, and that the server hasn't.
struct Late {
    client: TestClient,
    /// The bytes still on their way.
    bytes: Vec<u8>,
}

struct Client {
    seed: u64,
    random: u64,
    was_here: bool,
    /// Not acknowledged as far as the client knows, in order.
    unanswered: VecDeque<usize>,
    next: usize,
    late: Vec<Late>,
}

impl Client {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn message(number: usize) -> Value {
        match number % 7 {
            0 => heartbeat(number, "me", "gateway"),
            1 => order(number, "me", Value::Null),
            2 => order(number, "you", "other"),
            _ => order(number, "me", "gateway"),
        }
    }

    /// Lives one connection: says hello, sends the unanswered messages and then
    /// new ones, and is cut somewhere.
    fn live(&mut self, router: &Router) {
        let mut client = TestClient::new(router);
        let acks = ["each", "batch"][self.below(2)];
        let options = json!({"resumable": true, "resume": self.was_here, "acks": acks});
        let _ = client.say(&hello("me", options));
        let told = client.read();
        let granted = granted(told.last().unwrap());
        assert_eq!(granted, (true, self.was_here), "seed {}", self.seed);
        self.was_here = true;
        let news = (self.below(12)).min(MESSAGES + 1 - self.next);
        self.unanswered.extend(self.next..self.next + news);
        self.next += news;
        let sent = self.unanswered.iter().map(|&n| framed(&Self::message(n)));
        let mut bytes = sent.collect::<Vec<_>>().concat();
        let is_cut = self.below(4) > 0;
        let whole = bytes.len();
        if is_cut {
            bytes.truncate(self.below(whole + 1));
        }
        while !bytes.is_empty() {
            let arrives = (1 + self.below(2_000)).min(bytes.len());
            let step = client.arrive(&bytes[..arrives]);
            assert!(step.halt.is_none());
            bytes.drain(..arrives);
            if self.below(8) == 0 {
                self.late_input();
            }
            if is_cut && self.below(8) == 0 {
                break;
            }
        }
        let room = if is_cut {
            self.below(9_000)
        } else {
            usize::MAX
        };
        let _ = client.handle_reports();
        let _ = client.write_up_to(room);
        self.answered(&whole_frames(&client.written));
        match self.below(3) {
            0 => self.late.push(Late { client, bytes }),
            1 => client.session.end_input(),
            _ => {}
        }
    }

    fn answered(&mut self, answers: &[Value]) {
        for answer in answers.iter().filter(|answer| answer["msg_type"] == "ack") {
            let payload = &answer["payload"];
            let alone = std::slice::from_ref(&payload["acknowledged_msg_id"]);
            let acked = payload["acknowledged_msg_ids"].as_array();
            let acked = acked.map_or(alone, Vec::as_slice);
            self.unanswered.retain(|&n| !acked.contains(&id(n).into()));
        }
    }

    /// The server reads more of an earlier connection's input, or learns that
    /// it is gone.
    fn late_input(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let index = self.below(self.late.len());
        let arrives = self.below(self.late[index].bytes.len() + 1);
        let late = &mut self.late[index];
        let part: Vec<u8> = late.bytes.drain(..arrives).collect();
        let _ = late.client.arrive(&part);
        if late.bytes.is_empty() {
            self.late.swap_remove(index);
        }
    }
}

/// The messages of a stream, but for one that is cut.
fn whole_frames(bytes: &[u8]) -> Vec<Value> {
    let whole = crate::wire::frames(bytes).last().map_or(0, |last| last.end);
    messages(&bytes[..whole])
}

fn holds_for(seed: u64) {
    let router = router();
    let mut receivers = ["gateway", "other"].map(|name| TestClient::named(&router, name));
    let mut client = Client {
        seed,
        random: seed,
        was_here: false,
        unanswered: VecDeque::new(),
        next: 1,
        late: Vec::new(),
    };
    let mut lives = 0;
    while client.next <= MESSAGES || !client.unanswered.is_empty() {
        lives += 1;
        assert!(
            lives < TRIES_MAX,
            "seed {seed}: some are never acknowledged"
        );
        client.live(&router);
        client.late_input();
        // The time passes, but not for long enough.
        router.expire(at_ms(0));
    }
    while !client.late.is_empty() {
        client.late_input();
    }
    let mut delivered: HashMap<String, usize> = HashMap::new();
    for receiver in &mut receivers {
        for id in ids(&receiver.read()) {
            *delivered.entry(id).or_default() += 1;
        }
    }
    for number in 1..=MESSAGES {
        let times = if number % 7 == 1 { 2 } else { 1 };
        assert_eq!(
            delivered.remove(&id(number)),
            Some(times),
            "seed {seed}: {number}"
        );
    }
    assert!(delivered.is_empty(), "seed {seed}: {delivered:?}");
}

#[test]
fn each_message_is_delivered_once_and_acknowledged_however_it_is_cut() {
    let wanted = std::env::var("TICKWIRE_SEEDS").ok();
    let seeds = wanted.and_then(|count| count.parse().ok()).unwrap_or(2_000);
    for seed in 0..seeds {
        holds_for(seed);
    }
}
