//! A sender behind a bad network: it sends bursts to names and to everyone,
//! notes its answers, and comes back when it is cut off.

use std::io;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::ledger::{Fate, Key, Kind, SenderLife, Sent, Undelivered, Way, key_of};
use super::proxy::{Ending, Link, Plan};
use super::{NAMES, Phase, Stage};
use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::{RawClient, Reader, Received, Writer, framed};

/// The number of messages of each sender, over all its connections.
pub const MESSAGES: u64 = 1_600;

/// Whether a sender's one connection stands to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Stays,
    ComesAndGoes,
}

/// The messages queued for names, as their sender was told.
pub type Queued = Vec<(&'static str, Key)>;

/// Sends everything, over as many connections as it takes. Reports the queued
/// messages of each connection as soon as all its answers are there.
pub async fn run(
    stage: Stage,
    sender: u64,
    habit: Habit,
    queued: mpsc::Sender<Queued>,
) -> Vec<SenderLife> {
    let mut queued = Some(queued);
    let mut random = Random::of(stage.seed, 100 + sender);
    let mut lives = Vec::new();
    let mut left = MESSAGES;
    while left > 0 {
        let life = lives.len() as u64;
        let count = match habit {
            Habit::Stays => left,
            Habit::ComesAndGoes => left.min(1 + random.below(400)),
        };
        left -= count;
        let mut sent = Vec::new();
        // Large ones fill the kernel's buffers, and then the queues.
        let one_large_in = [8, 40][usize::try_from(random.below(2)).expect("small")];
        for number in 0..count {
            let key = Key {
                sender,
                life,
                number,
            };
            sent.push(message(key, one_large_in, &mut random));
        }
        // Whoever hears of it waits until nobody has more to say.
        let queued = match habit {
            Habit::Stays => queued.take(),
            Habit::ComesAndGoes => queued.clone(),
        };
        lives.push(live(&stage, sent, &mut random, habit, queued).await);
    }
    lives
}

/// The name under which a sender speaks.
pub fn source(sender: u64) -> String {
    format!("sender-{sender}")
}

/// A message for one of the names, or for everyone.
pub fn message(key: Key, one_large_in: u64, random: &mut Random) -> Sent {
    let source = source(key.sender);
    let kind = match random.below(100) {
        0..70 => Kind::Order,
        70..80 => Kind::LogRecord,
        80..85 => Kind::Heartbeat,
        85..92 => Kind::Error,
        _ => Kind::Ack,
    };
    let everyone = kind == Kind::Order && random.below(10) == 0;
    let index = usize::try_from(random.below(NAMES.len() as u64)).expect("small");
    let target = (!everyone).then_some(NAMES[index]);
    let draft = match kind {
        Kind::Order => Draft::order(&source, target),
        Kind::LogRecord => Draft::log_record(&source, target),
        Kind::Heartbeat => Draft::heartbeat(&source, target),
        Kind::Error => Draft::error(&source, target),
        Kind::Ack => Draft::ack(&source, target),
    };
    let draft = draft.set("msg_id", key.to_string());
    let padding = match random.below(one_large_in) {
        0 => 20_000 + random.below(80_000),
        1 => 1_000 + random.below(7_000),
        _ => 20 + random.below(200),
    };
    let frame = draft
        .padded(usize::try_from(padding).expect("small"))
        .frame();
    Sent {
        key,
        target,
        kind,
        frame: frame.into(),
        fate: Fate::Unknown,
    }
}

/// One connection.
async fn live(
    stage: &Stage,
    sent: Vec<Sent>,
    random: &mut Random,
    habit: Habit,
    queued: Option<mpsc::Sender<Queued>>,
) -> SenderLife {
    let Key { sender, life, .. } = sent[0].key;
    let plan = Plan {
        seed: random.next(),
        rough_percent: random.below(20),
        buffer_bytes: (16 * 1024) << random.below(4),
        ending: match habit {
            Habit::Stays => None,
            Habit::ComesAndGoes => ending(random),
        },
    };
    let mut link = Link::to(stage.server, plan).await;
    let peer = RawClient::connect(link.address).await;
    let (reader, mut writer) = (peer.reader, peer.writer);
    let hello = hello(sender, random);
    // Refused links break already here.
    writer.try_send_bytes(&framed(&hello.frame())).await;
    link.arm();

    let (answered, answered_up_to) = watch::channel(0);
    let writing = tokio::spawn(write(
        writer,
        sent.iter()
            .map(|sent| (sent.kind, sent.frame.clone()))
            .collect(),
        Random(random.next().max(1)),
        answered_up_to,
        (habit == Habit::Stays).then(|| stage.phase.clone()),
    ));
    let mut told = Told {
        hello: hello.id,
        sent,
        next: 0,
        reports: Vec::new(),
        answered,
        queued,
    };
    let ended = told.listen(reader).await;
    told.say_what_is_queued().await;
    let Told {
        mut sent,
        next,
        reports,
        answered,
        ..
    } = told;
    // Nothing more will be answered.
    drop(answered);
    writing.await.expect("it only writes");
    let passed = link.passed().await;
    let in_order = ended.is_ok() && passed.up && passed.down;
    if in_order {
        // Messages behind the last answer had none because they are `ack`s.
        accept_silent(&mut sent[next..]);
    }
    SenderLife {
        sender,
        life,
        way: Way::Once,
        sent,
        reports,
        resent: 0,
        in_order,
        stayed: habit == Habit::Stays,
    }
}

fn ending(random: &mut Random) -> Option<(Ending, u64)> {
    let ending = match random.below(6) {
        0..3 => Ending::Cut,
        3 => Ending::NoMoreUp,
        4 => Ending::NoMoreDown,
        _ => return None,
    };
    Some((ending, 1_000 + random.below(2_000_000)))
}

fn hello(sender: u64, random: &mut Random) -> Draft {
    let hello = Draft::hello(&source(sender));
    let hello = match random.below(2) {
        0 => hello,
        _ => hello.payload("acks", "batch").payload("ack_details", true),
    };
    // An owner of a name gets broadcasts beside its answers.
    match random.below(2) {
        0 => hello,
        _ => hello.payload("register", false),
    }
}

/// Writes in bursts, and waits now and then until all is answered. A sender
/// that is to stay leaves when the receivers have.
async fn write(
    mut writer: Writer,
    messages: Vec<(Kind, Bytes)>,
    mut random: Random,
    mut answered_up_to: watch::Receiver<usize>,
    stay: Option<watch::Receiver<Phase>>,
) {
    let mut written = 0;
    while written < messages.len() {
        let burst = usize::try_from(1 + random.below(120)).expect("small");
        let end = messages.len().min(written + burst);
        let mut bytes = Vec::new();
        for (_, frame) in &messages[written..end] {
            bytes.extend(framed(frame));
        }
        if !writer.try_send_bytes(&bytes).await {
            return;
        }
        written = end;
        if random.below(3) == 0 {
            let quiet = wait_for_answers(&messages[..written], &mut answered_up_to);
            if !quiet.await {
                return;
            }
        }
    }
    if let Some(mut phase) = stay {
        if !wait_for_answers(&messages, &mut answered_up_to).await {
            return;
        }
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended)).await;
        ended.expect("the run goes on");
    }
    writer.end().await;
}

/// Waits until all but `ack`s, which have no answer, are answered; `false` if
/// that will never be.
async fn wait_for_answers(
    written: &[(Kind, Bytes)],
    answered_up_to: &mut watch::Receiver<usize>,
) -> bool {
    let last = written.iter().rposition(|(kind, _)| *kind != Kind::Ack);
    let due = last.map_or(0, |last| last + 1);
    answered_up_to.wait_for(|&up_to| up_to >= due).await.is_ok()
}

/// The answers to one connection's messages.
struct Told {
    hello: String,
    sent: Vec<Sent>,
    /// The first message that isn't answered.
    next: usize,
    reports: Vec<Undelivered>,
    /// The same as `next`, for the writer.
    answered: watch::Sender<usize>,
    /// Takes the list of queued messages, once it is complete.
    queued: Option<mpsc::Sender<Queued>>,
}

impl Told {
    /// Notes everything until the stream ends.
    ///
    /// # Errors
    /// It didn't end in order.
    async fn listen(&mut self, mut reader: Reader) -> io::Result<()> {
        while let Some(received) = reader.receive_or_fault().await? {
            self.note(&received);
            self.answered.send_replace(self.next);
            if self.sent[self.next..]
                .iter()
                .all(|sent| sent.kind == Kind::Ack)
            {
                self.say_what_is_queued().await;
            }
        }
        Ok(())
    }

    async fn say_what_is_queued(&mut self) {
        let Some(queued) = self.queued.take() else {
            return;
        };
        let all = self.sent.iter().filter(|sent| sent.fate.is_queued());
        let all = all.filter_map(|sent| Some((sent.target?, sent.key)));
        queued.send(all.collect()).await.expect("the stage goes on");
    }

    fn note(&mut self, received: &Received) {
        // Broadcasts of others, for an owner of a name.
        if received.text("/source") != "tickwire" {
            assert!(
                received.json["target"].is_null(),
                "not for us: {received:?}"
            );
            return;
        }
        match (received.kind(), received.code()) {
            ("welcome", _) => assert_eq!(received.text("/payload/hello_msg_id"), self.hello),
            ("ack", _) => self.note_ack(received),
            (_, "UNDELIVERED") => {
                let details = &received.json["payload"]["details"];
                self.reports.push(undelivered(details));
            }
            // Of its name, by its next connection; of its broadcasts.
            (_, "NAME_TAKEN_OVER" | "MESSAGES_DROPPED") => {}
            (_, code) => {
                let fate = Fate::Refused(code.to_owned());
                self.settle(received.about(), fate, received);
            }
        }
    }

    fn note_ack(&mut self, ack: &Received) {
        let Some(Value::Array(ids)) = ack.json.pointer("/payload/acknowledged_msg_ids") else {
            let dropped = ack.dropped();
            return self.settle(ack.acknowledged(), Fate::Accepted { dropped }, ack);
        };
        for (index, id) in ids.iter().enumerate() {
            let dropped = &ack.json["payload"]["dropped"][index];
            let dropped = dropped
                .as_u64()
                .expect("a count for each: details are asked for");
            let id = id.as_str().expect("an id");
            self.settle(id, Fate::Accepted { dropped }, ack);
        }
    }

    /// Answers come in the order of the messages; only an `ack` has none.
    fn settle(&mut self, id: &str, fate: Fate, answer: &Received) {
        let key = key_of(id).unwrap_or_else(|| panic!("an answer to no message: {answer:?}"));
        let place = usize::try_from(key.number).expect("small");
        let skipped = self.sent.get_mut(self.next..place);
        let skipped = skipped.unwrap_or_else(|| panic!("an answer too many: {answer:?}"));
        if let Some(passed_over) = skipped.iter().find(|sent| sent.kind != Kind::Ack) {
            panic!("{} was not answered before {answer:?}", passed_over.key);
        }
        accept_silent(skipped);
        let answered = self.sent.get_mut(place).filter(|sent| sent.key == key);
        let answered = answered.unwrap_or_else(|| panic!("not sent here: {answer:?}"));
        let silent = answered.kind == Kind::Ack && matches!(fate, Fate::Accepted { .. });
        assert!(!silent, "an ack of an ack: {answer:?}");
        answered.fate = fate;
        self.next = place + 1;
    }
}

/// An `ack` in front of something that was answered was accepted.
fn accept_silent(passed_over: &mut [Sent]) {
    for sent in passed_over {
        if sent.kind == Kind::Ack {
            sent.fate = Fate::Accepted { dropped: 0 };
        }
    }
}

/// The details of an `UNDELIVERED`.
pub fn undelivered(details: &Value) -> Undelivered {
    let text = |key: &str| details[key].as_str().unwrap_or_default();
    Undelivered {
        target: text("target").to_owned(),
        count: details["count"].as_u64().expect("a count"),
        first: key_of(text("first_msg_id")).expect("one of ours"),
    }
}
