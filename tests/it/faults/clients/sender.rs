//! A sender that is a client of the library: each of its sends has one answer,
//! or its fate is unknown.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tickwire::client::{Client, ClientConfig, Event, Receiver, SendError};
use tickwire::wire::{ErrorCode, Message};
use tokio::sync::mpsc;

use super::super::ledger::{Fate, Key, Kind, SenderLife, Sent, Undelivered, Way};
use super::super::sender::{Habit, MESSAGES, Queued, message, source, undelivered};
use super::super::{Phase, Stage};
use super::Network;
use crate::hostile::Random;
use crate::raw_client::within;

/// Whether a client asks for being remembered, so that it can send its
/// unanswered messages again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumable(pub bool);

/// Sends everything, over as many connections as it takes, and reports the
/// queued messages as soon as all are answered.
pub async fn run(
    mut stage: Stage,
    number: u64,
    habit: Habit,
    resumable: Resumable,
    queued: mpsc::Sender<Queued>,
) -> Vec<SenderLife> {
    let mut random = Random::of(stage.seed, 300 + number);
    let endings = match habit {
        Habit::Stays => 0,
        Habit::ComesAndGoes => 4 + random.below(12),
    };
    let weather = Random(random.next().max(1));
    let network = Network::to(stage.server, weather, endings, stage.cuts_greetings);
    let config = config(number, resumable, &mut random);
    let (client, receiver) = network.connect(config).await;
    let hearing = tokio::spawn(hear(receiver));

    let mut sent = draw(number, resumable, &mut random);
    send_all(&client, &mut sent, &mut random).await;
    let is_queued = sent.iter().filter(|sent| sent.fate.is_queued());
    let all = is_queued.filter_map(|sent| Some((sent.target?, sent.key)));
    queued.send(all.collect()).await.expect("the stage goes on");
    drop(queued);

    let ended = stage.phase.wait_for(|phase| matches!(phase, Phase::Ended));
    ended.await.expect("the run goes on");
    let closed = within("the client to close", client.close()).await;
    closed.expect("all was answered");
    let heard = within("the end of the events", hearing).await;
    let heard = heard.expect("it only notes");
    network.passed().await;
    let unknown = sent.iter().filter(|sent| sent.fate == Fate::Unknown);
    assert_eq!(unknown.count(), heard.fate_unknown, "as it was told");
    let stayed = heard.reconnections == 0;
    assert!(
        stayed || habit == Habit::ComesAndGoes || heard.timed_out,
        "nothing cut it off"
    );
    let way = match resumable {
        _ if stayed => Way::Once,
        Resumable(false) => Way::Several,
        Resumable(true) => Way::Resumed,
    };
    vec![SenderLife {
        sender: number,
        life: 0,
        way,
        sent,
        reports: heard.reports,
        resent: heard.resent,
        in_order: stayed,
        stayed,
    }]
}

fn config(number: u64, Resumable(resumable): Resumable, random: &mut Random) -> ClientConfig {
    let mut config = ClientConfig::new(source(number))
        .busy_poll(number == 0)
        .resumable(resumable)
        .batch_acks(random.below(2) == 0);
    if random.below(2) == 0 {
        config = config.unanswered_max(1 + usize::try_from(random.below(200)).expect("small"));
    }
    // Without a name there is no memory.
    if !resumable && random.below(2) == 0 {
        config = config.register(false);
    }
    config
}

/// The messages to send. A client that is remembered sends orders to names
/// only: an ack that is repeated doesn't say once more that something was
/// dropped, and other kinds may have been refused at a full queue.
fn draw(sender: u64, resumable: Resumable, random: &mut Random) -> Vec<Sent> {
    let one_large_in = [8, 40][usize::try_from(random.below(2)).expect("small")];
    let fits = |sent: &Sent| match resumable {
        Resumable(true) => sent.kind == Kind::Order && sent.target.is_some(),
        // An `ack` has no answer.
        Resumable(false) => sent.kind != Kind::Ack,
    };
    let mut all = Vec::new();
    while (all.len() as u64) < MESSAGES {
        let number = all.len() as u64;
        let key = Key {
            sender,
            life: 0,
            number,
        };
        let mut sent = message(key, one_large_in, random);
        // As the library writes it, without its length.
        sent.frame = read(&sent).to_frame().slice(4..);
        all.extend(fits(&sent).then_some(sent));
    }
    all
}

fn read(sent: &Sent) -> Message {
    Message::from_json(&sent.frame).expect("a valid message")
}

/// Sends in bursts. Before the next one, few or all are answered.
async fn send_all(client: &Client, sent: &mut [Sent], random: &mut Random) {
    let mut answers = FuturesUnordered::new();
    let mut next = 0;
    while next < sent.len() {
        let burst = usize::try_from(1 + random.below(120)).expect("small");
        let end = sent.len().min(next + burst);
        for (place, sent) in sent.iter().enumerate().take(end).skip(next) {
            let message = read(sent);
            answers.push(async move { (place, client.send(message).await) });
        }
        next = end;
        let may_be_out = match random.below(3) {
            _ if next == sent.len() => 0,
            0 => 0,
            _ => answers.len() / 2,
        };
        while answers.len() > may_be_out {
            let answer = within("an answer, or that none comes", answers.next()).await;
            let (place, answer) = answer.expect("some are out");
            let sent = &mut sent[place];
            sent.fate = match answer {
                Ok(ack) => {
                    let id = ack.acknowledged_msg_id.to_string();
                    assert_eq!(id, sent.key.to_string(), "another's ack");
                    let dropped = ack.dropped();
                    Fate::Accepted { dropped }
                }
                Err(SendError::Refused(report)) => Fate::Refused(report.code),
                Err(SendError::FateUnknown) => Fate::Unknown,
                Err(error) => panic!("{}: {error}", sent.key),
            };
        }
    }
}

/// The client's events beside the answers.
#[derive(Debug, Default)]
struct Heard {
    reports: Vec<Undelivered>,
    /// The server had to wait for the rest of a frame for too long: the machine
    /// stood still, for no link holds anything up that long.
    timed_out: bool,
    reconnections: usize,
    resent: usize,
    fate_unknown: usize,
}

async fn hear(mut receiver: Receiver) -> Heard {
    let mut heard = Heard::default();
    while let Some(event) = receiver.receive().await {
        match event {
            // A broadcast of another, for an owner of a name.
            Event::Message(_) | Event::Disconnected(_) => {}
            Event::Reconnected(reconnection) => {
                heard.reconnections += 1;
                heard.resent += reconnection.resent;
                heard.fate_unknown += reconnection.fate_unknown;
            }
            Event::Notice(report) => match report.known_code() {
                Some(ErrorCode::Undelivered) => {
                    let details = report.details.expect("which");
                    let details = details.read().expect("an object");
                    heard.reports.push(undelivered(&details));
                }
                Some(ErrorCode::FrameTimeout) => heard.timed_out = true,
                // Of its broadcasts.
                Some(ErrorCode::MessagesDropped) => {}
                _ => panic!("unexpected: {report:?}"),
            },
            other => panic!("a client that goes on ended: {other:?}"),
        }
    }
    heard
}
