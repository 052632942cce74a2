//! The servers of an experiment, started when they are needed, and what each is
//! driven with.

use std::collections::HashMap;
use std::net::TcpStream;

use crate::drive::flow::Schedule;
use crate::drive::{Figures, fan_out, idle, one_at_a_time, paced, throughput};
use crate::machine::Cores;
use crate::options::Pace;
use crate::protocol::SUBJECT;
use crate::rows::{Contestant, Experiment, IDLE_CONNECTIONS, NEIGHBOURS};
use crate::server::{Found, Kind, Server};
use crate::stream::Stream;
use crate::workload::Messages;

/// The names to which the eleven messages go.
const TARGETS: [&str; 4] = [
    SUBJECT,
    "quantower-connector",
    "log-aggregator",
    "health-monitor",
];

/// How far the sender of messages that may be dropped is ahead of the slowest
/// receiver at most, in bytes. One receiver's messages may fill what the kernel
/// holds on the way, as orders do, but not tickwire's queue, which holds 8 MiB;
/// many receivers' together would fill the caches, whatever the server does.
const AHEAD_OF_ONE_MAX: u64 = 6 * 1024 * 1024;
const AHEAD_OF_MANY_MAX: u64 = 2 * 1024 * 1024;

/// Where an experiment takes place.
#[derive(Debug)]
pub struct Arena<'a> {
    experiment: Experiment,
    found: &'a [Found],
    cores: Cores,
    pace: Pace,
    messages: Messages,
    servers: HashMap<(Kind, bool), Place>,
    streams: HashMap<Kind, Stream>,
}

/// A server and who else is connected to it.
#[derive(Debug)]
struct Place {
    server: Server,
    _neighbours: Vec<TcpStream>,
}

impl<'a> Arena<'a> {
    /// Nothing runs yet.
    pub fn new(experiment: Experiment, found: &'a [Found], cores: Cores, pace: Pace) -> Self {
        let messages = match experiment {
            Experiment::Mix => Messages::mix(),
            Experiment::Escaped => Messages::escaped(),
            Experiment::FanOut(_) => Messages::bars(),
            _ => Messages::orders(),
        };
        Self {
            experiment,
            found,
            cores,
            pace,
            messages,
            servers: HashMap::new(),
            streams: HashMap::new(),
        }
    }

    /// One run of a contestant. A server whose run fails is ended: who knows
    /// what state it is in.
    pub fn run(&mut self, contestant: Contestant) -> Result<Figures, String> {
        let outcome = self.try_run(contestant);
        if outcome.is_err() {
            self.servers.remove(&(contestant.kind, contestant.crowded));
        }
        outcome
    }

    fn try_run(&mut self, contestant: Contestant) -> Result<Figures, String> {
        let kind = contestant.kind;
        if self.experiment == Experiment::IdleMemory {
            return idle::memory(&self.start(kind)?, IDLE_CONNECTIONS);
        }
        let place = (kind, contestant.crowded);
        if !self.servers.contains_key(&place) {
            let server = self.start(kind)?;
            let neighbours = match contestant.crowded {
                true => idle::open(&server, NEIGHBOURS)?,
                false => Vec::new(),
            };
            let opened = Place {
                server,
                _neighbours: neighbours,
            };
            self.servers.insert(place, opened);
        }
        let server = &self.servers[&place].server;
        let stream = (self.streams)
            .entry(kind)
            .or_insert_with(|| Stream::new(kind.protocol(), &self.messages));
        let pace = self.pace;
        // What a full queue drops must not meet a full queue.
        let ahead_max = match self.experiment {
            Experiment::Mix => Some(AHEAD_OF_ONE_MAX),
            Experiment::FanOut(_) => Some(AHEAD_OF_MANY_MAX),
            _ => None,
        };
        let schedule = Schedule {
            warm_up: pace.warm_up,
            measured: pace.measured,
            ahead_max,
        };
        match self.experiment {
            Experiment::OneAtATime => {
                one_at_a_time::run(server, stream, pace.warm_up, pace.measured / 2)
            }
            Experiment::Paced(connections) => {
                let measured = pace.measured_paced;
                paced::run(server, stream, contestant.acks, connections, measured)
            }
            Experiment::FanOut(receivers) => fan_out::run(server, stream, receivers, schedule),
            _ => {
                let mixed = self.experiment == Experiment::Mix;
                let plan = throughput::Plan {
                    acks: contestant.acks,
                    names: if mixed { &TARGETS } else { &[SUBJECT] },
                    schedule,
                };
                throughput::run(server, stream, plan)
            }
        }
    }

    fn start(&self, kind: Kind) -> Result<Server, String> {
        Self::start_one(self.found, kind, self.cores)
    }

    /// Starts one of those that were found.
    pub fn start_one(found: &[Found], kind: Kind, cores: Cores) -> Result<Server, String> {
        let found = found.iter().find(|found| found.kind == kind);
        found
            .ok_or_else(|| format!("{} is not on this machine", kind.label()))?
            .start(cores)
    }
}
