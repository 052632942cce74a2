//! A receiver that is a client of the library: it owns its names again after
//! each connection that the network cuts.

use std::collections::HashSet;

use tickwire::client::{ClientConfig, Event, Receiver as Events};
use tickwire::wire::ErrorCode;
use tokio::sync::{mpsc, watch};

use super::super::ledger::{Life, Receiver, Seen, key_of};
use super::super::receiver::{News, gap};
use super::super::{Phase, Stage};
use super::Network;
use crate::hostile::Random;
use crate::raw_client::{Received, within};

/// Owns `names` until the stage ends.
pub async fn run(
    mut stage: Stage,
    number: u64,
    names: &'static [&'static str],
    news: mpsc::Sender<News>,
) -> Receiver {
    let mut random = Random::of(stage.seed, 400 + number);
    let weather = Random(random.next().max(1));
    let network = Network::to(stage.server, weather, 0, false);
    let config = ClientConfig::new(names[0]).names(names.iter().copied());
    let (client, events) = network.connect(config).await;
    let mut notes = Notes {
        events,
        lives: vec![Life::default()],
        farewells: HashSet::new(),
    };
    while notes.watch(&mut stage.phase, random.below(150)).await {
        network.cut();
        notes.await_reconnection().await;
    }
    news.send(News::Settled).await.expect("the stage goes on");
    notes.stay(&mut stage.phase, names).await;
    let closed = within("the client to close", client.close()).await;
    closed.expect("it sent nothing");
    notes.read_to_end().await;
    network.passed().await;
    Receiver {
        names: names.to_vec(),
        stays: false,
        lives: notes.lives,
    }
}

/// The frames that the client hears. Each of its connections is a life.
struct Notes {
    events: Events,
    lives: Vec<Life>,
    /// Ids that belong to no sender: the last words of the stage.
    farewells: HashSet<String>,
}

impl Notes {
    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("there is one from the start")
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Message(inbound) => {
                let received = Received::new(inbound.into_json());
                let id = received.text("/msg_id").to_owned();
                match key_of(&id) {
                    Some(key) => self.life().seen.push(Seen {
                        key,
                        frame: received.frame,
                    }),
                    None => {
                        self.farewells.insert(id);
                    }
                }
            }
            Event::Notice(report) if report.known_code() == Some(ErrorCode::MessagesDropped) => {
                let details = report.details.expect("which");
                let details = details.read().expect("an object");
                let place = self.life().seen.len();
                self.life().gaps.push(gap(&details, place));
            }
            Event::Reconnected(_) => self.lives.push(Life::default()),
            Event::Disconnected(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Until `due` messages are seen over this connection, which gives `true`,
    /// or the senders have ended.
    async fn watch(&mut self, phase: &mut watch::Receiver<Phase>, due: u64) -> bool {
        while matches!(*phase.borrow_and_update(), Phase::Load) {
            if self.life().seen.len() as u64 >= due {
                return true;
            }
            tokio::select! {
                event = self.events.receive() => self.note(event.expect("it goes on")),
                changed = phase.changed() => changed.expect("the stage goes on"),
            }
        }
        false
    }

    async fn await_reconnection(&mut self) {
        let lives = self.lives.len();
        while self.lives.len() == lives {
            let event = within("another connection", self.events.receive()).await;
            self.note(event.expect("it goes on"));
        }
    }

    /// Until the last words have come.
    async fn stay(&mut self, phase: &mut watch::Receiver<Phase>, names: &[&str]) {
        loop {
            if let Phase::Farewell(last) = &*phase.borrow_and_update() {
                let mut last = last
                    .iter()
                    .filter(|(name, _)| name.is_empty() || names.contains(name));
                if last.all(|(_, id)| self.farewells.contains(id)) {
                    return;
                }
            }
            tokio::select! {
                event = within("a last word", self.events.receive()) => {
                    self.note(event.expect("it goes on"));
                }
                changed = phase.changed() => changed.expect("the stage goes on"),
            }
        }
    }

    async fn read_to_end(&mut self) {
        while let Some(event) = within("the end of the events", self.events.receive()).await {
            self.note(event);
        }
        // It was told to close, and saw all that was written to it.
        self.life().whole = true;
    }
}
