//! `tickwire demo`: the server and the platform's participants, to be looked at.
//!
//! The participants are real clients over TCP. The story decides on the next
//! message; the gateway and the connector react to those they receive.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tickwire::client::{Client, ClientConfig, Event, Receiver, SendError};
use tickwire::ids::MsgId;
use tickwire::server::Server;
use tickwire::wire::{DomainEvent, Message, Payload};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::line::{line, line_saying};
use self::story::{CONNECTOR, GATEWAY, PARTICIPANTS, Story};
use self::tally::Tally;
use super::stop::StopSignal;
use super::{DIM, ERROR, Failure, Outcome, say, write_out};

mod line;
mod story;
mod tally;

const EXAMPLES: &str = "\
Examples:
  tickwire demo
  tickwire demo --count 200          all message types show, then it ends
  tickwire demo --rate 50

While it runs, look at it from another terminal, at the address it prints:
  tickwire listen my-desk --to ADDR              the broadcasts
  tickwire send order.json --to ADDR             a message of your own

Each line is a message: how long its acknowledgment took, from whom to whom, \
what it is, and what it says. For an ack between participants the time is that \
since the order was sent. Ctrl-c ends it with a summary.";

/// See it work: a server and nine participants exchanging messages
///
/// Starts a server on a free port of this machine and the platform's nine
/// participants as TCP clients, which exchange the eleven kinds of example
/// messages.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Stop after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 8,
        value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    match runtime.block_on(demonstrate(arguments)) {
        // Nobody looks any more.
        Err(DemoError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        Err(error) => Err(Failure::failed(error)),
        Ok(()) => Ok(Outcome::Done),
    }
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("can't watch for ctrl-c: {0}")]
    Signal(io::Error),
    #[error(transparent)]
    Start(#[from] tickwire::server::StartError),
    #[error(transparent)]
    Connect(#[from] tickwire::client::ConnectError),
    #[error("{0} lost its connection")]
    Lost(String),
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
}

async fn demonstrate(arguments: &Arguments) -> Result<(), DemoError> {
    let mut stop = StopSignal::new().map_err(DemoError::Signal)?;
    let server = Server::builder().listen("127.0.0.1:0").start().await?;
    let address = server.local_addr().to_string();
    let mut stage = Stage::open(&address).await?;
    print(&format!(
        "A server on {address} and {} participants, each on its own connection. \
         Ctrl-c ends it.\n{DIM}See the broadcasts from another terminal: \
         tickwire listen my-desk --to {address}{DIM:#}\n",
        PARTICIPANTS.len()
    ))?;

    let start = Instant::now();
    let mut tally = Tally::default();
    let result = tokio::select! {
        result = stage.play(arguments, &mut tally) => result,
        () = stop.received(|| say(format_args!("SIGHUP ignored: there is no terminal"))) => Ok(()),
    };
    let elapsed = start.elapsed();
    let deliveries = stage.deliveries.load(Ordering::Relaxed);
    drop(stage);
    // A second ctrl-c does not wait for the server.
    tokio::select! {
        () = server.shutdown() => {}
        () = stop.received_again() => {}
    }
    result?;
    print(&format!("\n{}", tally.summary(deliveries, elapsed)))
}

struct Stage {
    clients: HashMap<&'static str, Client>,
    orders: HashMap<MsgId, OpenOrder>,
    news: mpsc::UnboundedReceiver<News>,
    deliveries: Arc<AtomicU64>,
}

/// An order that waits for its confirmation.
struct OpenOrder {
    order_id: String,
    sent_at: Instant,
}

#[derive(Debug)]
enum News {
    /// The connector got an ack for one of its orders.
    Confirmed(Box<Message>, Instant),
    /// The server had something to say.
    Notice(&'static str, String),
    Lost(&'static str),
}

impl Stage {
    async fn open(address: &str) -> Result<Self, DemoError> {
        let (tell, news) = mpsc::unbounded_channel();
        let deliveries = Arc::new(AtomicU64::new(0));
        let mut clients = HashMap::new();
        for name in PARTICIPANTS {
            let (client, receiver) = Client::connect(address, ClientConfig::new(name)).await?;
            let participant = Participant {
                name,
                client: client.clone(),
                tell: tell.clone(),
                deliveries: Arc::clone(&deliveries),
            };
            tokio::spawn(participant.receive(receiver));
            clients.insert(name, client);
        }
        Ok(Self {
            clients,
            orders: HashMap::new(),
            news,
            deliveries,
        })
    }

    /// Lets the participants speak, one message a beat.
    async fn play(&mut self, arguments: &Arguments, tally: &mut Tally) -> Result<(), DemoError> {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let mut story = Story::new(seed);
        let mut beat = tokio::time::interval(Duration::from_secs(1) / arguments.rate as u32);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while arguments.count.is_none_or(|count| tally.messages() < count) {
            tokio::select! {
                _ = beat.tick() => self.say(story.next(), tally).await?,
                Some(news) = self.news.recv() => self.take(news, tally)?,
            }
        }
        Ok(())
    }

    /// Sends a message and prints its fate.
    async fn say(&mut self, message: Message, tally: &mut Tally) -> Result<(), DemoError> {
        let source = message.source.as_str();
        let client = self.clients.get(source).expect("the story knows them all");
        let sent_at = Instant::now();
        if let Some(order_id) = order_of_connector(&message) {
            let order = OpenOrder { order_id, sent_at };
            self.orders.insert(message.msg_id, order);
        }
        match client.send(message.clone()).await {
            Ok(_) => {
                let round_trip = sent_at.elapsed();
                tally.acknowledged(&message, round_trip);
                print(&line(&message, round_trip))
            }
            Err(SendError::Refused(report)) => {
                let round_trip = sent_at.elapsed();
                tally.refused(&message);
                print(&format!(
                    "{}\n          {ERROR}{}{ERROR:#}: {}",
                    line(&message, round_trip),
                    report.code,
                    report.message
                ))
            }
            Err(_) => Err(DemoError::Lost(source.to_owned())),
        }
    }

    fn take(&mut self, news: News, tally: &mut Tally) -> Result<(), DemoError> {
        match news {
            News::Confirmed(message, at) => {
                let Payload::Ack(ack) = &message.payload else {
                    return Ok(());
                };
                let Some(order) = self.orders.remove(&ack.acknowledged_msg_id) else {
                    return Ok(());
                };
                tally.confirmed(&message);
                let since = at.duration_since(order.sent_at);
                let summary = format!("confirms {}", order.order_id);
                print(&line_saying(&message, since, &summary))
            }
            News::Notice(name, text) => print(&format!("{DIM}{name} is told: {text}{DIM:#}")),
            News::Lost(name) => Err(DemoError::Lost(name.to_owned())),
        }
    }
}

struct Participant {
    name: &'static str,
    client: Client,
    tell: mpsc::UnboundedSender<News>,
    deliveries: Arc<AtomicU64>,
}

impl Participant {
    async fn receive(self, mut receiver: Receiver) {
        while let Some(event) = receiver.receive().await {
            let news = match event {
                Event::Message(inbound) => {
                    self.deliveries.fetch_add(1, Ordering::Relaxed);
                    let Ok(message) = inbound.message() else {
                        continue;
                    };
                    self.react(message).await
                }
                Event::Notice(report) => Some(News::Notice(
                    self.name,
                    format!("{}: {}", report.code, report.message),
                )),
                Event::Disconnected(_) | Event::Closed(_) => Some(News::Lost(self.name)),
                _ => None,
            };
            if let Some(news) = news {
                // Fails only when the demo is over.
                let _ = self.tell.send(news);
            }
        }
    }

    /// The gateway confirms orders, the connector takes note of it.
    async fn react(&self, message: Message) -> Option<News> {
        if self.name == GATEWAY && order_of_connector(&message).is_some() {
            let ack = Message::ack_of(GATEWAY, &message).expect("the gateway's name is a name");
            // If it can't be sent, the end of the connection is told anyway.
            let _ = self.client.post(ack).await;
            return None;
        }
        let is_ack = matches!(message.payload, Payload::Ack(_));
        (self.name == CONNECTOR && is_ack)
            .then(|| News::Confirmed(Box::new(message), Instant::now()))
    }
}

/// Returns the id of the order, if `message` is one that the connector sends.
fn order_of_connector(message: &Message) -> Option<String> {
    let Payload::IngestEvent(event) = &message.payload else {
        return None;
    };
    match event.domain() {
        Ok(DomainEvent::Order(order)) if message.source.as_str() == CONNECTOR => {
            Some(order.order_id)
        }
        _ => None,
    }
}

fn print(line: &str) -> Result<(), DemoError> {
    Ok(write_out(format_args!("{line}\n"))?)
}
