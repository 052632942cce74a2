//! What is measured, and what tickwire is held to.

use tickwire_load::protocol::Acks;
use tickwire_load::statistics::Limit;

use crate::figures::{Metric, grouped};
use crate::server::Kind;

/// Messages a second that are sent at a fixed rate.
pub const PACED_PER_SECOND: u32 = 46_500;
/// Connections of which each has sent one message, whose memory is measured.
pub const IDLE_CONNECTIONS: usize = 5_000;
/// Idle connections beside one that is busy.
pub const NEIGHBOURS: usize = 10_000;
/// The copy loop must be so much faster than NATS, or the load is what is
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
}

/// A server, and how it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contestant {
    /// Which server.
    pub kind: Kind,
    /// Which answers its sender asks for.
    pub acks: Acks,
    /// Whether many idle connections are open beside.
    pub crowded: bool,
}

impl Contestant {
    /// A server without answers to ask for.
    pub const fn of(kind: Kind) -> Self {
        Self {
            kind,
            acks: Acks::None,
            crowded: false,
        }
    }

    const fn tickwire(acks: Acks) -> Self {
        Self {
            kind: Kind::Tickwire,
            acks,
            crowded: false,
        }
    }

    /// What it is called in tables.
    pub fn label(self) -> String {
        let label = self.kind.label();
        match (self.kind, self.acks) {
            _ if self.crowded => format!("{label}, with neighbours"),
            (Kind::Tickwire | Kind::OtherTickwire, Acks::Each) => format!("{label}, acks each"),
            (Kind::Tickwire | Kind::OtherTickwire, Acks::Batch) => format!("{label}, acks batch"),
            _ => label.to_owned(),
        }
    }
}

/// What a bound compares tickwire with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// Nothing: the figure itself is held to it.
    Itself,
    /// Another contestant of the same rounds.
    One(Contestant),
    /// The faster of two peers in each round.
    FasterOf(Contestant, Contestant),
}

/// What tickwire is held to in a row.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// What the figure, or its ratio to the reference, may be.
    pub limit: Limit,
    /// What it is compared with.
    pub reference: Reference,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// By which it is asked for.
    pub id: String,
    /// The work in words.
    pub work: String,
    /// In whose rounds it is measured.
    pub experiment: Experiment,
    /// What of them it shows.
    pub metric: Metric,
    /// Whom the bounds are about.
    pub subject: Contestant,
    /// What it is held to.
    pub bounds: Vec<Bound>,
    /// Who else is shown.
    pub shown: Vec<Contestant>,
}

const COPY_LOOP: Contestant = Contestant::of(Kind::CopyLoop);
const NATS: Contestant = Contestant::of(Kind::Nats);
const REDIS: Contestant = Contestant::of(Kind::Redis);
const RUMQTTD: Contestant = Contestant::of(Kind::Rumqttd);
const MOSQUITTO: Contestant = Contestant::of(Kind::Mosquitto);
const CROWDED: Contestant = Contestant {
    crowded: true,
    ..Contestant::tickwire(Acks::None)
};

/// All rows, those of an experiment side by side.
pub fn all() -> Vec<Row> {
    let mut rows = throughput();
    rows.extend(one_at_a_time());
    for connections in [10, 1_000] {
        rows.push(Row {
            id: format!("paced/{connections}"),
            work: format!(
                "{} orders a second over {} connections to one receiver, no acks: server CPU",
                grouped(f64::from(PACED_PER_SECOND), 0),
                grouped(connections as f64, 0)
            ),
            experiment: Experiment::Paced(connections),
            metric: Metric::CpuMicros,
            subject: Contestant::tickwire(Acks::None),
            bounds: vec![at_most(0.75, Reference::One(NATS))],
            shown: vec![],
        });
    }
    for receivers in [10, 100] {
        rows.push(Row {
            id: format!("fan-out/{receivers}"),
            work: format!("a bar of market data to {receivers} receivers, nothing dropped"),
            experiment: Experiment::FanOut(receivers),
            metric: Metric::PerSecond,
            subject: Contestant::tickwire(Acks::None),
            bounds: vec![at_least(1.3, Reference::FasterOf(NATS, REDIS))],
            shown: vec![],
        });
    }
    rows.extend(idle());
    rows
}

fn throughput() -> Vec<Row> {
    let row = |id: &str, work: &str, experiment, acks, bounds| Row {
        id: id.to_owned(),
        work: work.to_owned(),
        experiment,
        metric: Metric::PerSecond,
        subject: Contestant::tickwire(acks),
        bounds,
        shown: vec![COPY_LOOP],
    };
    let nats = |factor| at_least(factor, Reference::One(NATS));
    let mut none = row(
        "throughput/none",
        "1 → 1, order events, no acks",
        Experiment::Throughput,
        Acks::None,
        vec![nats(2.8), at_least(0.7, Reference::One(COPY_LOOP))],
    );
    none.shown.extend([REDIS, RUMQTTD, MOSQUITTO]);
    vec![
        row(
            "throughput/each",
            "1 → 1, order events, an ack each",
            Experiment::Throughput,
            Acks::Each,
            vec![nats(2.4)],
        ),
        row(
            "throughput/batch",
            "1 → 1, order events, acks in batches",
            Experiment::Throughput,
            Acks::Batch,
            vec![nats(2.7)],
        ),
        none,
        row(
            "mix",
            "1 → 1, the eleven kinds of messages in turns, an ack each",
            Experiment::Mix,
            Acks::Each,
            vec![nats(2.0)],
        ),
        row(
            "escaped",
            "1 → 1, order events with escapes and non-ASCII text, an ack each",
            Experiment::Escaped,
            Acks::Each,
            vec![nats(0.85)],
        ),
    ]
}

fn one_at_a_time() -> [Row; 2] {
    [
        ("p50", Metric::P50Micros, 1.2),
        ("p99", Metric::P99Micros, 1.3),
    ]
    .map(|(name, metric, factor)| Row {
        id: format!("one-at-a-time/{name}"),
        work: format!("1 → 1, one order at a time, no acks: {name}"),
        experiment: Experiment::OneAtATime,
        metric,
        subject: Contestant::tickwire(Acks::None),
        bounds: vec![at_most(factor, Reference::One(COPY_LOOP))],
        shown: vec![NATS, REDIS, RUMQTTD, MOSQUITTO],
    })
}

fn idle() -> [Row; 2] {
    [
        Row {
            id: "idle-memory".to_owned(),
            work: format!(
                "memory for each of {} connections that have sent one message",
                grouped(IDLE_CONNECTIONS as f64, 0)
            ),
            experiment: Experiment::IdleMemory,
            metric: Metric::BytesPerConnection,
            subject: Contestant::tickwire(Acks::None),
            bounds: vec![at_most(4096.0, Reference::Itself)],
            shown: vec![NATS, REDIS],
        },
        Row {
            id: "idle-neighbours".to_owned(),
            work: format!(
                "1 → 1, order events, no acks, beside {} idle connections",
                grouped(NEIGHBOURS as f64, 0)
            ),
            experiment: Experiment::IdleNeighbours,
            metric: Metric::PerSecond,
            subject: CROWDED,
            bounds: vec![at_least(
                0.95,
                Reference::One(Contestant::tickwire(Acks::None)),
            )],
            shown: vec![],
        },
    ]
}

fn at_least(factor: f64, reference: Reference) -> Bound {
    Bound {
        limit: Limit::AtLeast(factor),
        reference,
    }
}

fn at_most(factor: f64, reference: Reference) -> Bound {
    Bound {
        limit: Limit::AtMost(factor),
        reference,
    }
}

impl Row {
    /// Whether a word on the command line means it.
    pub fn is_meant_by(&self, word: &str) -> bool {
        (self.id.strip_prefix(word)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Those without whom nothing can be judged: they run in every round.
    pub fn judged(&self) -> Vec<Contestant> {
        let mut judged = vec![self.subject];
        for bound in &self.bounds {
            match bound.reference {
                Reference::Itself => {}
                Reference::One(one) => judged.push(one),
                Reference::FasterOf(one, other) => judged.extend([one, other]),
            }
        }
        // What shows that the load outruns the servers.
        if self.experiment == Experiment::Throughput {
            judged.extend([COPY_LOOP, NATS]);
        }
        judged
    }

    /// Everybody that it shows, tickwire first.
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
