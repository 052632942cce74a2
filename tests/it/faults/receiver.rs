//! A receiver behind a bad network: it owns names, notes the messages it sees,
//! and stays, leaves, is cut off, or takes its names over from itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::ledger::{Gap, Key, Life, Receiver, Seen, key_of};
use super::proxy::{Ending, Link, Plan};
use super::{Phase, Stage};
use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::{RawClient, Reader, Received, Writer};

/// How a receiver's connections end before the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// There is one connection only.
    Stays,
    /// It ends its input, and reads on to the end.
    Leaves,
    /// Its next connection takes the names over while it goes on reading.
    TakesOver,
    /// The network ends it.
    IsCutOff,
}

/// A receiver's word to the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It owns its names by a connection that stays from now on.
    Settled,
    /// It has seen all that is due to it.
    SawAll,
}

/// Owns `names` until the stage ends.
pub async fn run(
    stage: Stage,
    number: u64,
    habit: Habit,
    names: &'static [&'static str],
    news: mpsc::Sender<News>,
) -> Receiver {
    let mut random = Random::of(stage.seed, 200 + number);
    let mut ending: Vec<JoinHandle<Life>> = Vec::new();
    loop {
        // Looked at before the connection begins: one that begins in time may
        // still end.
        let is_last = habit == Habit::Stays || !matches!(*stage.phase.borrow(), Phase::Load);
        let mut life = Living::begin(&stage, names, &mut random, habit, is_last).await;
        if is_last {
            news.send(News::Settled).await.expect("the stage goes on");
            ending.push(tokio::spawn(life.stay(stage.phase, habit, names, news)));
            break;
        }
        let due = random.below(150);
        life.watch(stage.phase.clone(), due).await;
        let next = match habit {
            Habit::TakesOver => tokio::spawn(life.read_to_end()),
            _ => {
                let ended = life.leave().await;
                tokio::spawn(async { ended })
            }
        };
        ending.push(next);
    }
    let mut lives = Vec::new();
    for life in ending {
        lives.push(life.await.expect("a life only notes"));
    }
    Receiver {
        names: names.to_vec(),
        stays: habit == Habit::Stays,
        lives,
    }
}

/// A connection of a receiver.
struct Living {
    reader: Reader,
    writer: Writer,
    link: Link,
    seen: Vec<Seen>,
    gaps: Vec<Gap>,
    /// Ids that belong to no sender: the last words of the stage.
    farewells: HashSet<String>,
    ended: Option<bool>,
}

impl Living {
    async fn begin(
        stage: &Stage,
        names: &[&str],
        random: &mut Random,
        habit: Habit,
        is_last: bool,
    ) -> Self {
        let plan = Plan {
            seed: random.next(),
            rough_percent: random.below(25),
            buffer_bytes: (16 * 1024) << random.below(3),
            ending: (habit == Habit::IsCutOff && !is_last).then(|| ending(random)),
        };
        let mut link = Link::to(stage.server, plan).await;
        let mut peer = match random.below(2) {
            0 => RawClient::connect(link.address).await,
            _ => RawClient::connect_narrow(link.address).await,
        };
        let hello = Draft::hello(names[0]).payload("names", names);
        peer.greet(&hello).await;
        // Not before the names are its own: a receiver that is cut off before
        // it has its answer can't tell when it will have had them.
        link.arm();
        Self {
            reader: peer.reader,
            writer: peer.writer,
            link,
            seen: Vec::new(),
            gaps: Vec::new(),
            farewells: HashSet::new(),
            ended: None,
        }
    }

    fn note(&mut self, received: Received) {
        if received.text("/source") == "tickwire" {
            match received.code() {
                "NAME_TAKEN_OVER" => {}
                "MESSAGES_DROPPED" => {
                    let details = &received.json["payload"]["details"];
                    self.gaps.push(gap(details, self.seen.len()));
                }
                _ => panic!("unexpected: {received:?}"),
            }
            return;
        }
        match key_of(received.text("/msg_id")) {
            Some(key) => self.seen.push(Seen {
                key,
                frame: received.frame,
            }),
            None => {
                self.farewells.insert(received.text("/msg_id").to_owned());
            }
        }
    }

    /// Notes the next frame, and returns whether there was any.
    async fn step(&mut self) -> bool {
        match self.reader.receive_or_fault().await {
            Ok(Some(received)) => {
                self.note(received);
                return true;
            }
            Ok(None) => self.ended = Some(true),
            Err(_) => self.ended = Some(false),
        }
        false
    }

    /// Until `due` messages are seen, the connection ends, or the senders have.
    async fn watch(&mut self, mut phase: watch::Receiver<Phase>, due: u64) {
        while self.ended.is_none() && (self.seen.len() as u64) < due {
            tokio::select! {
                _ = self.step() => {}
                changed = phase.wait_for(|phase| !matches!(phase, Phase::Load)) => {
                    changed.expect("the stage goes on");
                    return;
                }
            }
        }
    }

    /// Until all that the stage had to say is seen.
    async fn stay(
        mut self,
        mut phase: watch::Receiver<Phase>,
        habit: Habit,
        names: &[&str],
        news: mpsc::Sender<News>,
    ) -> Life {
        let mut announced = habit != Habit::Stays;
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Settling(due) if !announced && self.saw_all(names, &due) => {
                    announced = true;
                    news.send(News::SawAll).await.expect("the stage goes on");
                }
                Phase::Farewell(last) if self.heard_farewells(names, &last) => break,
                _ => {}
            }
            tokio::select! {
                came = self.step() => assert!(came, "a connection that stays ended"),
                changed = phase.changed() => changed.expect("the stage goes on"),
            }
        }
        self.leave().await
    }

    fn saw_all(&self, names: &[&str], due: &HashMap<&'static str, HashSet<Key>>) -> bool {
        let seen: HashSet<Key> = self.seen.iter().map(|seen| seen.key).collect();
        let mut due = due.iter().filter(|(name, _)| names.contains(name));
        due.all(|(_, keys)| keys.is_subset(&seen))
    }

    fn heard_farewells(&self, names: &[&str], last: &HashMap<&'static str, String>) -> bool {
        let mut last = last
            .iter()
            .filter(|(name, _)| name.is_empty() || names.contains(name));
        last.all(|(_, id)| self.farewells.contains(id))
    }

    async fn leave(mut self) -> Life {
        self.writer.end().await;
        self.read_to_end().await
    }

    async fn read_to_end(mut self) -> Life {
        while self.ended.is_none() {
            self.step().await;
        }
        drop((self.reader, self.writer));
        Life {
            seen: self.seen,
            gaps: self.gaps,
            whole: self.link.passed().await.down && self.ended == Some(true),
        }
    }
}

/// The details of a `MESSAGES_DROPPED` that came behind so many messages.
pub fn gap(details: &Value, place: usize) -> Gap {
    let key = |key: &str| details[key].as_str().and_then(key_of);
    Gap {
        place,
        name: details["name"].as_str().map(str::to_owned),
        count: details["count"].as_u64().expect("a count"),
        first: key("first_msg_id"),
        last: key("last_msg_id"),
    }
}

fn ending(random: &mut Random) -> (Ending, u64) {
    let ending = match random.below(8) {
        0..3 => Ending::Cut,
        3..6 => Ending::CutOff(Duration::from_millis(random.below(400))),
        6 => Ending::NoMoreUp,
        _ => Ending::NoMoreDown,
    };
    (ending, 2_000 + random.below(300_000))
}
