//! NATS through async-nats, its makers' Rust library: one client that publishes and one
//! that subscribes, driven and counted as `tickwire bench --client` drives tickwire's.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use async_nats::{ConnectOptions, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Map, json};
use tickwire_load::clients::{self, Outcome, Work};
use tickwire_load::drive::Extent;
use tickwire_load::messages::{DISTINCT, Example, Selection, Target, variants};
use tickwire_load::process::{Cpu, CpuClock, Process};
use tickwire_load::protocol::IO_TIMEOUT;

/// The hidden argument by which this program becomes the clients, with a [`Mode`], the
/// server's address and seconds behind it.
pub const ARGUMENT: &str = "--nats-clients";

/// Names as long as those of `tickwire bench`, so that messages are too.
const SOURCE: &str = "bench-tx-0000";
const SUBJECT: &str = "bench-rx-0000";
/// The messages that JetStream keeps, in memory: none is written to a disk.
const KEPT: i64 = 10_000;

/// The use of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Published, and answered by nobody.
    Publish,
    /// A request, which the subscriber answers.
    Request,
    /// Published to JetStream, which acknowledges.
    JetStream,
}

impl Mode {
    const ALL: [(Self, &str); 3] = [
        (Self::Publish, "publish"),
        (Self::Request, "request"),
        (Self::JetStream, "jetstream"),
    ];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(mode, _)| *mode == self);
        found.expect("all stand there").1
    }
}

struct Publisher {
    client: async_nats::Client,
    jetstream: Option<jetstream::Context>,
    subject: Subject,
    messages: Vec<Bytes>,
}

impl Publisher {
    fn next(&self, number: u64) -> Bytes {
        self.messages[(number % self.messages.len() as u64) as usize].clone()
    }
}

impl clients::Sender for Publisher {
    async fn post(&mut self, number: u64) -> Result<usize, String> {
        let message = self.next(number);
        let bytes = message.len();
        let posted = self.client.publish(self.subject.clone(), message).await;
        posted.map(|()| bytes).map_err(in_words)
    }

    async fn send(&mut self, number: u64) -> Result<usize, String> {
        let (message, subject) = (self.next(number), self.subject.clone());
        let bytes = message.len();
        match &self.jetstream {
            Some(jetstream) => {
                let ack = jetstream.publish(subject, message).await;
                ack.map_err(in_words)?.await.map_err(in_words)?;
            }
            None => {
                let reply = self.client.request(subject, message).await;
                reply.map_err(in_words)?;
            }
        }
        Ok(bytes)
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.client.flush().await.map_err(in_words)
    }
}

struct Answering {
    client: async_nats::Client,
    subscriber: Subscriber,
    answers: bool,
}

impl clients::Receiver for Answering {
    async fn receive(&mut self) -> Result<usize, String> {
        let message = self.subscriber.next().await;
        let message = message.ok_or("the subscription has ended")?;
        if let Some(reply) = message.reply.filter(|_| self.answers) {
            let sent = self.client.publish(reply, Bytes::new()).await;
            sent.map_err(in_words)?;
        }
        Ok(message.payload.len())
    }
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Measures as the arguments say, and prints the figures in the form of `tickwire bench
/// --json`.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [mode, address, seconds] = arguments else {
        return Err("a mode, an address and seconds are needed".to_owned());
    };
    let mode = Mode::ALL.iter().find(|(_, word)| word == mode);
    let &(mode, _) = mode.ok_or("there is no such mode")?;
    let address: SocketAddr = address.parse().map_err(in_words)?;
    let seconds: u64 = seconds.parse().map_err(in_words)?;
    let server = server_process(address).map_err(in_words)?;
    let runtime = clients::runtime().map_err(in_words)?;
    let ends = runtime.block_on(connect(mode, address))?;
    let work = match mode {
        Mode::Publish => Work::Throughput,
        Mode::Request | Mode::JetStream => Work::OneAtATime,
    };
    let extent = Extent::Time(Duration::from_secs(seconds));
    let clock = CpuClock::start(server);
    let outcome = clients::run(&runtime, ends, work, extent, |_, _| {});
    println!("{}", result(work, &outcome, clock.stop()));
    Ok(())
}

/// Finds the server's process.
fn server_process(address: SocketAddr) -> io::Result<Option<Process>> {
    let mut probe = TcpStream::connect(address)?;
    probe.set_read_timeout(Some(IO_TIMEOUT))?;
    // The connection is the process's once it has greeted.
    probe.read_exact(&mut [0; 1])?;
    Ok(Process::behind(&probe))
}

async fn connect(mode: Mode, address: SocketAddr) -> Result<(Publisher, Answering), String> {
    let url = address.to_string();
    let open = || ConnectOptions::new().connect(url.as_str());
    let client = open().await.map_err(in_words)?;
    let subscriber = client.subscribe(SUBJECT).await.map_err(in_words)?;
    // The server has the subscription once this is back.
    client.flush().await.map_err(in_words)?;
    let answering = Answering {
        client,
        subscriber,
        answers: mode == Mode::Request,
    };
    let client = open().await.map_err(in_words)?;
    let jetstream = match mode {
        Mode::JetStream => Some(jetstream::new(client.clone())),
        Mode::Publish | Mode::Request => None,
    };
    if let Some(jetstream) = &jetstream {
        let stream = stream::Config {
            name: "orders".to_owned(),
            subjects: vec![SUBJECT.into()],
            storage: stream::StorageType::Memory,
            max_messages: KEPT,
            ..stream::Config::default()
        };
        let opened = jetstream.get_or_create_stream(stream).await;
        opened.map_err(in_words)?;
    }
    let orders = Selection::One(Example::Order);
    let messages = variants(&orders, DISTINCT, Some(SOURCE), Target::Name(SUBJECT));
    let publisher = Publisher {
        client,
        jetstream,
        subject: Subject::from_static(SUBJECT),
        messages: messages.into_iter().map(Bytes::from).collect(),
    };
    Ok((publisher, answering))
}

fn result(work: Work, outcome: &Outcome, cpu: Cpu) -> serde_json::Value {
    let delivered = outcome.delivered as f64;
    let micros = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e6 / delivered);
    let mut latency = Map::new();
    if work == Work::OneAtATime {
        let percentiles = outcome.answer.percentiles_us().into_iter();
        let percentiles = percentiles.map(|(name, us)| (name.to_owned(), us.into()));
        latency.insert(
            "answer".to_owned(),
            percentiles.collect::<Map<_, _>>().into(),
        );
    }
    json!({
        "figures": {
            "messages_per_second": delivered / outcome.delivering.as_secs_f64(),
            "server_cpu_us_per_message": micros(cpu.server),
            "load_cpu_us_per_message": micros(cpu.load),
        },
        "latency_us": latency,
        "faults": outcome.faults,
    })
}
