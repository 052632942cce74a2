//! A load on its way: the threads that write it, receive it and read its
//! answers, and the caller's thread, which watches them.
//!
//! Flat out, some threads serve the senders and others the receivers. At a
//! rate, one thread serves all, so that nothing but the server stands between a
//! message's being due and its arrival.

use std::io;
use std::time::{Duration, Instant};

use super::count::{Acks, Answers, Deliveries};
use super::latency::Latency;
use super::load::Load;
use crate::cli::peer::{self, Claim, Peer};
use tickwire::ids::Name;

use self::driver::{Driver, Receiver, Sender};
use self::shared::{Flow, Shared};

mod driver;
mod schedule;
mod shared;

pub use self::schedule::Schedule;

/// Nothing arrived for so long: it won't any more.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Once all is answered, what will still be delivered arrives within this.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// How often the threads look around while nothing arrives.
const TICK: Duration = Duration::from_millis(50);
/// How far senders stay ahead of what has arrived at a receiver: well below
/// what a server's queue holds, so that nothing is dropped or refused.
const AHEAD_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// When a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// After so many messages.
    Messages(u64),
    /// After so long.
    Time(Duration),
}

/// Who sends, and who receives.
#[derive(Debug)]
pub struct Parties {
    /// The senders, in the order of the load's lanes.
    pub senders: Vec<(Name, Peer)>,
    /// The receivers.
    pub receivers: Vec<Peer>,
    /// What acks the senders have asked for.
    pub acks: Acks,
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Messages written.
    pub sent: u64,
    /// Of them, those that get an answer when they are accepted.
    pub answerable: u64,
    /// What arrived at each receiver.
    pub deliveries: Vec<Deliveries<'a>>,
    /// What arrived at each sender.
    pub answers: Vec<Answers<'a>>,
    /// From the first write to the last delivery.
    pub delivering: Duration,
    /// From the first write to the last answer.
    pub answering: Duration,
    /// From when a message was due to its arrival, if they were due.
    pub latency: Option<Latency>,
    /// How much later than due messages were written.
    pub late: Option<Latency>,
    /// Whether it was given up because nothing arrived any more.
    pub stalled: bool,
    /// What broke, if anything did.
    pub broken: Vec<String>,
}

/// Sends `load` flat out up to `extent`, and calls `watch` with the deliveries
/// so far from time to time.
pub fn flat_out<'a>(
    load: &'a Load,
    parties: Parties,
    extent: Extent,
    watch: impl FnMut(u64, Duration),
) -> io::Result<Outcome<'a>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = Shared::new(
        parties.senders.len(),
        Some(Flow::new(load, AHEAD_BYTES_MAX)),
    );
    let acks = parties.acks;
    let mut senders = Vec::new();
    for (lane, party) in parties.senders.into_iter().enumerate() {
        senders.push(sender(load, lane, party, acks)?);
    }
    let mut receivers = Vec::new();
    for (number, peer) in parties.receivers.into_iter().enumerate() {
        receivers.push(receiver(load, number, peer)?);
    }
    let end = match extent {
        Extent::Messages(messages) => {
            let lanes = senders.len() as u64;
            for (lane, sender) in senders.iter_mut().enumerate() {
                sender.allow_in_all((messages + lanes - 1 - lane as u64) / lanes);
            }
            None
        }
        Extent::Time(time) => {
            senders.iter_mut().for_each(Sender::allow_all);
            Some(time)
        }
    };
    let mut drivers = Vec::new();
    for group in grouped(senders, cores / 4) {
        drivers.push(Driver::new(&shared, group, Vec::new())?);
    }
    for group in grouped(receivers, cores / 4) {
        drivers.push(Driver::new(&shared, Vec::new(), group)?);
    }
    Ok(run(&shared, drivers, end, watch))
}

/// Sends `load` as `schedule` says.
pub fn paced<'a>(
    load: &'a Load,
    parties: Parties,
    schedule: Schedule,
    watch: impl FnMut(u64, Duration),
) -> io::Result<Outcome<'a>> {
    let shared = Shared::new(parties.senders.len(), None);
    let acks = parties.acks;
    let mut senders = Vec::new();
    for (lane, party) in parties.senders.into_iter().enumerate() {
        senders.push(sender(load, lane, party, acks)?);
    }
    let mut receivers = Vec::new();
    for (number, peer) in parties.receivers.into_iter().enumerate() {
        receivers.push(receiver(load, number, peer)?);
    }
    let driver = Driver::new(&shared, senders, receivers)?.with_schedule(schedule);
    Ok(run(&shared, vec![driver], None, watch))
}

fn sender(load: &Load, lane: usize, party: (Name, Peer), acks: Acks) -> io::Result<Sender<'_>> {
    let (name, peer) = party;
    let (fence_id, fence) = peer::hello(&name, Claim::Source);
    let answers = Answers::new(load, lane, &peer.server, acks, fence_id);
    Sender::new(peer, &load.lanes[lane], answers, fence)
}

fn receiver(load: &Load, number: usize, peer: Peer) -> io::Result<Receiver<'_>> {
    let deliveries = Deliveries::new(load, number, &peer.server);
    Receiver::new(peer, number, deliveries)
}

/// `all` in as many groups as are wanted, and at least one.
fn grouped<T>(all: Vec<T>, groups: usize) -> Vec<Vec<T>> {
    let groups = groups.clamp(1, all.len().max(1));
    let mut grouped: Vec<Vec<T>> = (0..groups).map(|_| Vec::new()).collect();
    for (number, one) in all.into_iter().enumerate() {
        grouped[number % groups].push(one);
    }
    grouped
}

fn run<'a>(
    shared: &Shared,
    drivers: Vec<Driver<'a, '_>>,
    end: Option<Duration>,
    mut watch: impl FnMut(u64, Duration),
) -> Outcome<'a> {
    let start = Instant::now();
    let mut vigil = Vigil::new();
    let drivers: Vec<Driver<'a, '_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = drivers
            .into_iter()
            .map(|driver| scope.spawn(move || driver.run(start, end)))
            .collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(TICK);
            watch(shared.delivered(), start.elapsed());
            vigil.look(shared);
        }
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|driver| driver.expect("a thread of the load doesn't panic"))
            .collect()
    });
    let mut outcome = Outcome {
        sent: 0,
        answerable: 0,
        deliveries: Vec::new(),
        answers: Vec::new(),
        delivering: Duration::ZERO,
        answering: Duration::ZERO,
        latency: None,
        late: None,
        stalled: vigil.given_up == Some(End::NotYet),
        broken: Vec::new(),
    };
    for driver in drivers {
        driver.add_to(&mut outcome, start);
    }
    outcome
}

/// What is still to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Messages are still being written, or wait for their answers.
    NotYet,
    /// All messages have been answered; refused ones will not be delivered.
    Answered,
}

/// Notices when nothing moves any more, and then ends the threads.
struct Vigil {
    seen: (u64, u64),
    since: Instant,
    /// How things stood when it was given up.
    given_up: Option<End>,
}

impl Vigil {
    fn new() -> Self {
        Self {
            seen: (0, 0),
            since: Instant::now(),
            given_up: None,
        }
    }

    fn look(&mut self, shared: &Shared) {
        let now = (shared.delivered(), shared.answered());
        if now != self.seen {
            self.seen = now;
            self.since = Instant::now();
        }
        let (end, patience) = match shared.all_answered() {
            false => (End::NotYet, STALL_TIMEOUT + shared.pause()),
            true => (End::Answered, SETTLE_TIME),
        };
        if self.given_up.is_none() && self.since.elapsed() > patience {
            self.given_up = Some(end);
            shared.stop();
        }
    }
}

#[cfg(test)]
mod tests;
