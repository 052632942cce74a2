//! The servers of an experiment, started when they are needed, and the loads that
//! drive them.

use std::collections::HashMap;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tickwire_load::count::Counting;
use tickwire_load::drive::{self, Extent, Pace as Tempo, Parties, Plan, Schedule, Window};
use tickwire_load::load::{Load, Receivers};
use tickwire_load::messages::{Example, Selection, Target};
use tickwire_load::one_at_a_time::{self, Waiting};
use tickwire_load::process::CpuClock;
use tickwire_load::protocol::{Acks, IO_TIMEOUT, Protocol, SUBJECT};

use crate::clients;
use crate::durable;
use crate::figures::{Figures, Metric};
use crate::machine::Cores;
use crate::options::Pace;
use crate::rows::{
    ClientWork, Contestant, Experiment, IDLE_CONNECTIONS, NEIGHBOURS, PACED_PER_SECOND,
    POLLED_NEIGHBOURS,
};
use crate::server::{self, Found, Kind, Running};

/// The names to which the eleven messages go.
const TARGETS: [&str; 4] = [
    SUBJECT,
    "quantower-connector",
    "log-aggregator",
    "health-monitor",
];

/// Bytes that the sender of messages that may be dropped is ahead of the slowest
/// receiver at most. One receiver's messages may fill the kernel's buffers, as
/// orders do, but not tickwire's queue, which holds 8 MiB; many receivers'
/// together would fill the caches, whatever the server does.
const AHEAD_OF_ONE_MAX: u64 = 6 * 1024 * 1024;
const AHEAD_OF_MANY_MAX: u64 = 2 * 1024 * 1024;

/// The shortest run of a server that syncs each message before its answer.
const DURABLE_MIN: Duration = Duration::from_secs(1);

/// The time in which a server does the rest of its work after its last message.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// The place of an experiment.
#[derive(Debug)]
pub struct Arena<'a> {
    experiment: Experiment,
    found: &'a [Found],
    cores: Cores,
    pace: Pace,
    servers: HashMap<Contestant, Place>,
    loads: HashMap<Kind, Load>,
}

/// A server and its idle connections.
#[derive(Debug)]
struct Place {
    server: Running,
    _neighbours: Vec<TcpStream>,
}

impl<'a> Arena<'a> {
    /// No server runs yet.
    pub fn new(experiment: Experiment, found: &'a [Found], cores: Cores, pace: Pace) -> Self {
        Self {
            experiment,
            found,
            cores,
            pace,
            servers: HashMap::new(),
            loads: HashMap::new(),
        }
    }

    /// Makes one run of a contestant. After a failed run its server is ended: its
    /// state is unknown.
    pub fn run(&mut self, contestant: Contestant) -> Result<Figures, String> {
        let outcome = self.try_run(contestant);
        // One that polls for its neighbours would take the core from the others.
        if outcome.is_err() || contestant.polls || contestant.kind.keeps() {
            self.servers.remove(&contestant.place());
        }
        if contestant.kind.keeps() {
            server::settle_disk().map_err(|error| error.to_string())?;
            thread::sleep(SETTLE_TIME);
        }
        outcome
    }

    fn try_run(&mut self, contestant: Contestant) -> Result<Figures, String> {
        let kind = contestant.kind;
        if self.experiment == Experiment::IdleMemory {
            return idle_memory(&self.start(contestant)?);
        }
        if kind == Kind::Disk {
            return durable::run_disk(self.cores, self.pace);
        }
        let place = contestant.place();
        if !self.servers.contains_key(&place) {
            let server = self.start(contestant)?;
            let neighbours = match (contestant.crowded, contestant.polls) {
                (true, true) => open_idle(&server, POLLED_NEIGHBOURS)?,
                (true, false) => open_idle(&server, NEIGHBOURS)?,
                (false, _) => Vec::new(),
            };
            let opened = Place {
                server,
                _neighbours: neighbours,
            };
            self.servers.insert(place, opened);
        }
        let server = &self.servers[&place].server;
        if let Experiment::Clients(work) = self.experiment {
            let tickwire = &Self::found(self.found, Kind::Tickwire)?.program;
            return clients::run(server, contestant, work, tickwire, self.cores, self.pace);
        }
        let load = (self.loads)
            .entry(kind)
            .or_insert_with(|| load(self.experiment, kind.protocol()));
        let plan = plan(self.experiment, self.pace, contestant, load);
        match self.experiment {
            Experiment::Durable(ClientWork::OneAtATime) => {
                durable::run_one_at_a_time(server, load, &plan, contestant.acks)
            }
            Experiment::Durable(ClientWork::Throughput) => {
                durable::run_stream(server, load, &plan, contestant.acks)
            }
            Experiment::OneAtATime => run_one_at_a_time(server, load, &plan, contestant),
            experiment => run_stream(server, load, &plan, experiment, contestant.acks),
        }
    }

    fn start(&self, contestant: Contestant) -> Result<Running, String> {
        let kind = contestant.kind;
        match self.experiment {
            _ if contestant.polls => Self::found(self.found, kind)?.start_polling(self.cores),
            Experiment::Clients(_) => {
                Self::found(self.found, kind)?.start_beside_clients(self.cores)
            }
            _ => Self::start_one(self.found, kind, self.cores),
        }
    }

    /// Starts one of the servers that were found.
    pub fn start_one(found: &[Found], kind: Kind, cores: Cores) -> Result<Running, String> {
        Self::found(found, kind)?.start(cores)
    }

    fn found(found: &[Found], kind: Kind) -> Result<&Found, String> {
        let found = found.iter().find(|found| found.kind == kind);
        found.ok_or_else(|| format!("{} is not on this machine", kind.label()))
    }
}

/// The messages of an experiment, the same JSON for every server.
fn load(experiment: Experiment, protocol: &dyn Protocol) -> Load {
    let orders = Selection::One(Example::Order);
    let to_subject = Receivers::One(Target::Name(SUBJECT));
    let (selection, senders, receivers) = match experiment {
        Experiment::Mix => (Selection::Mix, 1, Receivers::One(Target::Keep)),
        Experiment::Escaped => (Selection::EscapedOrder, 1, to_subject),
        Experiment::FanOut(count) => {
            let bars = Selection::One(Example::MarketData);
            (bars, 1, Receivers::All(count))
        }
        Experiment::Paced(connections) => (orders, connections, to_subject),
        _ => (orders, 1, to_subject),
    };
    Load::new(protocol, &selection, &vec![None; senders], receivers)
}

fn plan(experiment: Experiment, pace: Pace, contestant: Contestant, load: &Load) -> Plan {
    let protocol = contestant.kind.protocol();
    let window = |measured| Window {
        warm_up: pace.warm_up,
        measured,
    };
    let flat_out = |measured| Tempo::FlatOut(Extent::Time(pace.warm_up + measured));
    let measured = pace.measured;
    let (tempo, window) = match experiment {
        Experiment::Paced(connections) => {
            let messages = pace.measured_paced.as_secs_f64() * f64::from(PACED_PER_SECOND);
            let rate = u64::from(PACED_PER_SECOND);
            let tempo = Tempo::Scheduled {
                schedule: Schedule::new(rate, messages as u64, connections),
                // The load has its core alone, and a sleep would be late by more
                // than the time between two messages.
                may_spin: true,
                joins_late: false,
            };
            (tempo, None)
        }
        Experiment::OneAtATime => (flat_out(measured / 2), Some(window(measured / 2))),
        // Long enough for several syncs of all that is in flight, and for files to grow.
        Experiment::Durable(ClientWork::Throughput) => {
            let measured = pace.measured_paced.max(DURABLE_MIN);
            (flat_out(measured), Some(window(measured)))
        }
        _ => (flat_out(measured), Some(window(measured))),
    };
    Plan {
        pace: tempo,
        answers: protocol.answers(contestant.acks, load.receivers),
        counting: Counting::Bytes,
        // Messages that a full queue drops must not meet a full queue.
        ahead_bytes_max: match experiment {
            Experiment::Mix => Some(AHEAD_OF_ONE_MAX),
            Experiment::FanOut(_) => Some(AHEAD_OF_MANY_MAX),
            _ => None,
        },
        in_flight_max: match experiment {
            Experiment::Durable(_) => Some(durable::IN_FLIGHT),
            _ => None,
        },
        patience: IO_TIMEOUT,
        window,
    }
}

/// Connects receivers and senders, in this order.
fn connect(
    server: &Running,
    load: &Load,
    experiment: Experiment,
    acks: Acks,
) -> Result<Parties, String> {
    let (protocol, address) = (server.protocol(), server.address());
    let receiver = |number| match experiment {
        Experiment::Mix => protocol.receiver(address, &TARGETS),
        Experiment::FanOut(_) => protocol.receiver(address, &[&format!("receiver-{number}")]),
        _ => protocol.receiver(address, &[SUBJECT]),
    };
    let receivers = (0..load.receivers).map(receiver).collect::<Result<_, _>>();
    let receivers = receivers.map_err(|error| format!("connecting: {error}"))?;
    let senders = load.streams.iter().map(|_| protocol.sender(address, acks));
    let senders = senders.collect::<Result<_, _>>();
    Ok(Parties {
        receivers,
        senders: senders.map_err(|error| format!("connecting: {error}"))?,
    })
}

fn run_stream(
    server: &Running,
    load: &Load,
    plan: &Plan,
    experiment: Experiment,
    acks: Acks,
) -> Result<Figures, String> {
    let parties = connect(server, load, experiment, acks)?;
    let clock = CpuClock::start(Some(server.process()));
    let outcome = drive::run(load, parties, plan, |_, _| {}).map_err(|error| error.to_string())?;
    let cpu = clock.stop();
    let faults = outcome.faults(&outcome.totals());
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    let stray = server.protocol().stray_bytes().len() as u64;
    if let Some(wrong) = outcome.wrong_bytes(stray) {
        return Err(wrong);
    }
    let deliveries = (outcome.sent * load.copies()) as f64;
    let micros = |time: Duration| time.as_nanos() as f64 / deliveries / 1e3;
    let server_time = cpu.server.ok_or("the server has ended")?;
    let mut figures = vec![(Metric::CpuMicros, micros(server_time))];
    if plan.window.is_some() {
        let rate = outcome.bytes_per_second / load.arrived_bytes_mean();
        figures.push((Metric::PerSecond, rate));
        if let Some(time) = cpu.load.filter(|_| !load.is_broadcast) {
            figures.push((Metric::LoadMicros, micros(time)));
        }
    }
    Ok(figures)
}

fn run_one_at_a_time(
    server: &Running,
    load: &Load,
    plan: &Plan,
    contestant: Contestant,
) -> Result<Figures, String> {
    let waiting = match contestant.polls {
        true => Waiting::Polling,
        false => Waiting::Asleep,
    };
    let mut parties = connect(server, load, Experiment::OneAtATime, Acks::None)?;
    let ends = parties.senders.pop().zip(parties.receivers.pop());
    let (sender, receiver) = ends.expect("there is one of each");
    let run = one_at_a_time::run(load, sender, Some(receiver), plan, waiting, |_, _| {});
    let (outcome, stop) = run.map_err(|error| error.to_string())?;
    match stop {
        Some(stop) => Err(stop.to_string()),
        None => Ok(vec![
            (Metric::P50Micros, outcome.arrival.percentile_us(50.0)),
            (Metric::P99Micros, outcome.arrival.percentile_us(99.0)),
        ]),
    }
}

/// Opens connections that have sent one message each, and stay.
fn open_idle(server: &Running, count: usize) -> Result<Vec<TcpStream>, String> {
    let open = |index| {
        let opened = server.protocol().idler(server.address(), index);
        opened.map_err(|error| format!("idle connection {}: {error}", index + 1))
    };
    (0..count).map(open).collect()
}

/// Takes the memory that each idle connection costs a server that has just been
/// started.
fn idle_memory(server: &Running) -> Result<Figures, String> {
    let resident = || {
        thread::sleep(SETTLE_TIME);
        let bytes = server.process().resident_bytes();
        bytes.ok_or_else(|| "the server has ended".to_owned())
    };
    // The cost of the first few is the server's own.
    let first = open_idle(server, 10)?;
    let before = resident()?;
    let connections = open_idle(server, IDLE_CONNECTIONS)?;
    let after = resident()?;
    drop((first, connections));
    let grown = after.saturating_sub(before) as f64;
    let per_connection = grown / IDLE_CONNECTIONS as f64;
    Ok(vec![(Metric::BytesPerConnection, per_connection)])
}
