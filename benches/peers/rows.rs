//! The rows that are measured, and the bounds of tickwire.

use tickwire_load::protocol::Acks;
use tickwire_load::statistics::Limit;

use crate::durable;
use crate::figures::{Metric, grouped};
use crate::server::Kind;

/// Messages a second that are sent at a fixed rate.
pub const PACED_PER_SECOND: u32 = 46_500;
/// Idle connections, after one message each, in the measurement of memory.
pub const IDLE_CONNECTIONS: usize = 5_000;
/// Idle connections beside one that is busy.
pub const NEIGHBOURS: usize = 10_000;
/// The same beside a server that polls.
pub const POLLED_NEIGHBOURS: usize = 1_000;
/// The copy loop must be so much faster than NATS, or the load itself is
/// measured.
pub const COPY_LOOP_BY_NATS_MIN: f64 = 3.5;

/// Runs that share their rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Experiment {
    /// Order events from one to one.
    Throughput,
    /// All eleven kinds of messages from one to one.
    Mix,
    /// Order events with escapes and text in another script.
    Escaped,
    /// The next is sent when the last has arrived.
    OneAtATime,
    /// At a fixed rate over so many connections.
    Paced(usize),
    /// To so many receivers.
    FanOut(usize),
    /// Many connections that do nothing.
    IdleMemory,
    /// One to one beside many that do nothing.
    IdleNeighbours,
    /// Order events from one client library to another.
    Clients(ClientWork),
    /// Order events to a name or stream that is kept on disk.
    Durable(ClientWork),
}

/// The way in which messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientWork {
    /// As fast as they may.
    Throughput,
    /// The next is sent when the last has been answered.
    OneAtATime,
}

/// A server and its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contestant {
    /// The server.
    pub kind: Kind,
    /// The acks that its sender asks for.
    pub acks: Acks,
    /// Whether many idle connections are open beside.
    pub crowded: bool,
    /// Whether it and its clients look at their sockets without pause.
    pub polls: bool,
}

impl Contestant {
    /// A server without answers to ask for.
    pub const fn of(kind: Kind) -> Self {
        Self {
            kind,
            acks: Acks::None,
            crowded: false,
            polls: false,
        }
    }

    /// The contestant without its acks: those that differ in acks alone share a server.
    pub const fn place(self) -> Self {
        Self {
            acks: Acks::None,
            ..self
        }
    }

    /// Its name in tables.
    pub fn label(self) -> String {
        let label = self.kind.label();
        match (self.kind, self.acks) {
            _ if self.polls && self.crowded => format!("{label}, polling, with neighbours"),
            _ if self.polls => format!("{label}, polling"),
            _ if self.crowded => format!("{label}, with neighbours"),
            (kind, Acks::Each) if kind.is_tickwire() => format!("{label}, acks each"),
            (kind, Acks::Batch) if kind.is_tickwire() => format!("{label}, acks batch"),
            _ => label.to_owned(),
        }
    }
}

/// The figure that a bound compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// Nothing: the figure itself is held to it.
    Itself,
    /// Another contestant of the same rounds.
    One(Contestant),
    /// The faster of two rivals in each round.
    FasterOf(Contestant, Contestant),
}

/// A bound of tickwire in a row.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// The limit of the figure, or of its ratio to the reference.
    pub limit: Limit,
    /// The reference.
    pub reference: Reference,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// The work in words.
    pub work: String,
    /// The experiment that it is of.
    pub experiment: Experiment,
    /// The figure that it shows.
    pub metric: Metric,
    /// The contestant that is judged.
    pub subject: Contestant,
    /// Its bounds.
    pub bounds: Vec<Bound>,
    /// The others that are shown.
    pub shown: Vec<Contestant>,
}

const COPY_LOOP: Contestant = Contestant::of(Kind::CopyLoop);
const NATS: Contestant = Contestant::of(Kind::Nats);
const JETSTREAM: Contestant = Contestant::of(Kind::JetStream);
const REDIS: Contestant = Contestant::of(Kind::Redis);
const RUMQTTD: Contestant = Contestant::of(Kind::Rumqttd);
const MOSQUITTO: Contestant = Contestant::of(Kind::Mosquitto);
const TICKWIRE: Contestant = Contestant::of(Kind::Tickwire);
const CROWDED: Contestant = Contestant {
    crowded: true,
    ..TICKWIRE
};
const POLLING: Contestant = Contestant {
    polls: true,
    ..TICKWIRE
};

/// All rows, those of an experiment side by side.
pub fn all() -> Vec<Row> {
    let mut rows = throughput();
    for (name, metric, factor) in [
        ("p50", Metric::P50Micros, 1.2),
        ("p99", Metric::P99Micros, 1.3),
    ] {
        let id = format!("one-at-a-time/{name}");
        let work = format!("1 → 1, one order at a time, no acks: {name}");
        rows.push(
            Row::new(&id, &work, Experiment::OneAtATime, metric)
                .at_most(factor, Reference::One(COPY_LOOP))
                .showing(&[NATS, REDIS, RUMQTTD, MOSQUITTO]),
        );
    }
    rows.extend(polling());
    for connections in [10, 1_000] {
        let work = format!(
            "{} orders a second over {} connections to one receiver, no acks: server CPU",
            grouped(f64::from(PACED_PER_SECOND), 0),
            grouped(connections as f64, 0)
        );
        let (id, paced) = (
            format!("paced/{connections}"),
            Experiment::Paced(connections),
        );
        let row = Row::new(&id, &work, paced, Metric::CpuMicros);
        rows.push(row.at_most(0.75, Reference::One(NATS)));
    }
    for receivers in [10, 100] {
        let work = format!("a bar of market data to {receivers} receivers, nothing dropped");
        let (id, fan_out) = (
            format!("fan-out/{receivers}"),
            Experiment::FanOut(receivers),
        );
        let row = Row::new(&id, &work, fan_out, Metric::PerSecond);
        rows.push(row.at_least(1.3, Reference::FasterOf(NATS, REDIS)));
    }
    rows.extend(idle());
    rows.extend(clients());
    rows.extend(durable::rows());
    rows
}

fn throughput() -> Vec<Row> {
    let row = |id, work, experiment, acks, factor| {
        let mut row = Row::new(id, work, experiment, Metric::PerSecond);
        row.subject.acks = acks;
        row.at_least(factor, Reference::One(NATS))
            .showing(&[COPY_LOOP])
    };
    let orders = Experiment::Throughput;
    let (each, batch, none) = (Acks::Each, Acks::Batch, Acks::None);
    let of_none = "1 → 1, order events, no acks";
    vec![
        row(
            "throughput/each",
            "1 → 1, order events, an ack each",
            orders,
            each,
            2.4,
        ),
        row(
            "throughput/batch",
            "1 → 1, order events, acks in batches",
            orders,
            batch,
            2.7,
        ),
        row("throughput/none", of_none, orders, none, 2.8)
            .at_least(0.7, Reference::One(COPY_LOOP))
            .showing(&[REDIS, RUMQTTD, MOSQUITTO]),
        row(
            "mix",
            "1 → 1, the eleven kinds of messages in turns, an ack each",
            Experiment::Mix,
            each,
            2.0,
        ),
        row(
            "escaped",
            "1 → 1, order events with escapes and non-ASCII text, an ack each",
            Experiment::Escaped,
            each,
            1.2,
        ),
    ]
}

/// The server and both ends look at their sockets without pause; the copy loop and
/// its ends sleep.
fn polling() -> [Row; 2] {
    let row = |subject: Contestant, id: &str, beside: &str| {
        let id = format!("one-at-a-time/{id}");
        let work = format!("1 → 1, one order at a time, no acks, busy polling{beside}: p50");
        let mut row = Row::new(&id, &work, Experiment::OneAtATime, Metric::P50Micros);
        row.subject = subject;
        row.at_most(0.5, Reference::One(COPY_LOOP))
    };
    let crowded = Contestant {
        crowded: true,
        ..POLLING
    };
    let beside = format!(
        ", beside {} idle connections",
        grouped(POLLED_NEIGHBOURS as f64, 0)
    );
    [
        row(POLLING, "polling", ""),
        row(crowded, "polling-neighbours", &beside),
    ]
}

fn idle() -> [Row; 2] {
    let memory = format!(
        "memory for each of {} connections that have sent one message",
        grouped(IDLE_CONNECTIONS as f64, 0)
    );
    let beside = format!(
        "1 → 1, order events, no acks, beside {} idle connections",
        grouped(NEIGHBOURS as f64, 0)
    );
    let idle = Metric::BytesPerConnection;
    let neighbours = Experiment::IdleNeighbours;
    let mut crowded = Row::new("idle-neighbours", &beside, neighbours, Metric::PerSecond);
    crowded.subject = CROWDED;
    [
        Row::new("idle-memory", &memory, Experiment::IdleMemory, idle)
            .at_most(4096.0, Reference::Itself)
            .showing(&[NATS, REDIS]),
        crowded.at_least(0.95, Reference::One(TICKWIRE)),
    ]
}

/// Client libraries: tickwire's own, and async-nats for NATS.
fn clients() -> [Row; 6] {
    let row = |id: &str, work: &str, clients, acks, metric| {
        let (id, work) = (format!("clients/{id}"), format!("client → client, {work}"));
        let mut row = Row::new(&id, &work, Experiment::Clients(clients), metric);
        row.subject.acks = acks;
        row
    };
    let (each, batch) = (Acks::Each, Acks::Batch);
    let (stream, single) = (ClientWork::Throughput, ClientWork::OneAtATime);
    let posted = "orders posted, an ack each";
    let in_batches = "orders posted, acks in batches";
    let awaited = "one order at a time, an ack, a reply or JetStream's ack awaited";
    let cpu = |work: &str| format!("{work}: CPU of server and clients");
    let nats = Reference::One(NATS);
    let p50 = row(
        "one-at-a-time/p50",
        &format!("{awaited}: p50"),
        single,
        each,
        Metric::P50Micros,
    );
    let p99 = row(
        "one-at-a-time/p99",
        &format!("{awaited}: p99"),
        single,
        each,
        Metric::P99Micros,
    );
    let shown = [NATS, JETSTREAM];
    [
        row("each", posted, stream, each, Metric::PerSecond).at_least(1.5, nats),
        row("batch", in_batches, stream, batch, Metric::PerSecond).at_least(2.0, nats),
        row("cpu", &cpu(posted), stream, each, Metric::BothMicros).showing(&[NATS]),
        p50.at_most(0.8, nats)
            .at_most(0.8, Reference::One(JETSTREAM)),
        p99.showing(&shown),
        row(
            "one-at-a-time/cpu",
            &cpu(awaited),
            single,
            each,
            Metric::BothMicros,
        )
        .showing(&shown),
    ]
}

impl Row {
    /// A row of tickwire without acks, and without bounds.
    pub fn new(id: &str, work: &str, experiment: Experiment, metric: Metric) -> Self {
        Self {
            id: id.to_owned(),
            work: work.to_owned(),
            experiment,
            metric,
            subject: TICKWIRE,
            bounds: Vec::new(),
            shown: Vec::new(),
        }
    }

    /// Adds a bound.
    pub fn at_least(mut self, factor: f64, reference: Reference) -> Self {
        let limit = Limit::AtLeast(factor);
        self.bounds.push(Bound { limit, reference });
        self
    }

    /// Adds a bound.
    pub fn at_most(mut self, factor: f64, reference: Reference) -> Self {
        let limit = Limit::AtMost(factor);
        self.bounds.push(Bound { limit, reference });
        self
    }

    /// Adds contestants that are shown.
    pub fn showing(mut self, contestants: &[Contestant]) -> Self {
        self.shown.extend(contestants);
        self
    }

    /// Returns whether a word on the command line means it.
    pub fn is_meant_by(&self, word: &str) -> bool {
        (self.id.strip_prefix(word)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The contestants without which nothing can be judged: they run in every
    /// round.
    pub fn judged(&self) -> Vec<Contestant> {
        let mut judged = vec![self.subject];
        for bound in &self.bounds {
            match bound.reference {
                Reference::Itself => {}
                Reference::One(one) => judged.push(one),
                Reference::FasterOf(one, other) => judged.extend([one, other]),
            }
        }
        // These show that the load outruns the servers.
        if self.experiment == Experiment::Throughput {
            judged.extend([COPY_LOOP, NATS]);
        }
        judged
    }

    /// All contestants that it shows, tickwire first.
    pub fn contestants(&self) -> Vec<Contestant> {
        let mut all: Vec<Contestant> = Vec::new();
        for contestant in self.judged().into_iter().chain(self.shown.iter().copied()) {
            if !all.contains(&contestant) {
                all.push(contestant);
            }
        }
        all
    }
}

impl Bound {
    /// In words, as `at least 2.4 × NATS`.
    pub fn text(&self) -> String {
        let (word, factor) = match self.limit {
            Limit::AtLeast(factor) => ("at least", factor),
            Limit::AtMost(factor) => ("at most", factor),
        };
        match self.reference {
            // Only memory is.
            Reference::Itself => format!("{word} {} KiB", factor / 1024.0),
            Reference::One(one) => {
                let other = match one.kind {
                    Kind::CopyLoop => "the copy loop",
                    Kind::Disk => "the bare disk",
                    Kind::Tickwire => "without them",
                    kind => kind.label(),
                };
                format!("{word} {factor:?} × {other}")
            }
            Reference::FasterOf(one, other) => {
                let (one, other) = (one.label(), other.label());
                format!("{word} {factor:?} × the better of {one} and {other}")
            }
        }
    }
}
