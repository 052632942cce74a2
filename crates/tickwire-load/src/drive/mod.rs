//! A load on its way: the threads that write it, receive it and read its
//! answers, and the caller's thread, which watches them.
//!
//! Flat out, some threads serve the senders and others the receivers. At a
//! rate, one thread serves all, so that only the server stands between a
//! message's due time and its arrival.

use std::io;
use std::time::{Duration, Instant};

use crate::count::{Arrivals, Counting, Replies};
use crate::load::Load;
use crate::protocol::{Acks, AnswerForm, Party};

use self::driver::Driver;
use self::ends::{Receiver, Sender};
use self::shared::{Flow, Shared};

mod driver;
mod ends;
mod gauge;
mod outcome;
mod schedule;
mod shared;

pub use self::gauge::Window;
pub use self::outcome::{Outcome, Totals};
pub use self::schedule::Schedule;

/// The time without an arrival after which none is expected.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time without an arrival after which, once all is answered, none is
/// expected.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// The time in which bytes that were not sent may still arrive.
const EXCESS_TIME: Duration = Duration::from_millis(10);
/// The interval at which the threads look around while nothing arrives.
const TICK: Duration = Duration::from_millis(50);
/// Bytes that senders stay ahead of a receiver at most: well below the size of a
/// server's queue, so that nothing is dropped or refused.
const AHEAD_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Times that a sender may write before its thread looks at its sockets: as many
/// as tickwire reads before it writes.
const WRITES_PER_TURN: usize = 4;

/// The end of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// After so many messages.
    Messages(u64),
    /// After so long.
    Time(Duration),
}

/// The speed of a load.
#[derive(Debug, Clone)]
pub enum Pace {
    /// As fast as the server takes it.
    FlatOut(Extent),
    /// At the times of a schedule.
    Scheduled {
        /// The times.
        schedule: Schedule,
        /// Whether short waits may keep a core busy; sleeping is coarse.
        may_spin: bool,
        /// Whether messages of a sender that are late together are written
        /// together.
        joins_late: bool,
    },
}

/// The way in which a load is driven.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its speed.
    pub pace: Pace,
    /// The answers that senders get.
    pub answers: AnswerForm,
    /// The way in which arrivals are counted.
    pub counting: Counting,
    /// Bytes that senders stay ahead of a receiver at most.
    pub ahead_bytes_max: Option<u64>,
    /// Messages of a sender that wait for their answers at most; each must be answered.
    pub in_flight_max: Option<u64>,
    /// The time without an arrival after which the load is given up.
    pub patience: Duration,
    /// The part in which the rate is taken, if it is.
    pub window: Option<Window>,
}

impl Plan {
    /// Recognises every message of a load for tickwire.
    pub fn exact(pace: Pace, acks: Acks) -> Self {
        let is_flat_out = matches!(pace, Pace::FlatOut(_));
        Self {
            pace,
            answers: AnswerForm::Acks(acks),
            counting: Counting::Messages,
            ahead_bytes_max: is_flat_out.then_some(AHEAD_BYTES_MAX),
            in_flight_max: None,
            patience: STALL_TIMEOUT,
            window: None,
        }
    }
}

/// The connections of a load.
#[derive(Debug, Default)]
pub struct Parties {
    /// The senders, in the order of the load's streams.
    pub senders: Vec<Party>,
    /// The receivers.
    pub receivers: Vec<Party>,
}

/// Drives `load` as `plan` says, to the receivers if there are any, and calls `watch` with the units delivered so
/// far from time to time.
pub fn run<'a>(
    load: &'a Load,
    parties: Parties,
    plan: &Plan,
    watch: impl FnMut(u64, Duration),
) -> io::Result<Outcome<'a>> {
    let flow = plan.ahead_bytes_max.map(|ahead| Flow::new(load, ahead));
    let shared = Shared::new(parties.senders.len(), flow);
    let mut senders = Vec::new();
    for (number, party) in parties.senders.into_iter().enumerate() {
        let replies = Replies::new(&plan.answers, load, number, &party);
        let stream = &load.streams[number];
        let sender = Sender::new(party, number, stream, replies, plan.in_flight_max);
        senders.push(sender?);
    }
    let mut receivers = Vec::new();
    for (number, party) in parties.receivers.into_iter().enumerate() {
        let arrivals = Arrivals::new(plan.counting, load, number, &party);
        receivers.push(Receiver::new(party, number, arrivals)?);
    }
    let mut drivers = Vec::new();
    let mut end = None;
    match &plan.pace {
        Pace::FlatOut(extent) => {
            end = allow(&mut senders, *extent);
            let groups = std::thread::available_parallelism().map_or(1, usize::from) / 4;
            for group in grouped(senders, groups) {
                drivers.push(Driver::new(&shared, plan, load, group, Vec::new())?);
            }
            for group in grouped(receivers, groups) {
                drivers.push(Driver::new(&shared, plan, load, Vec::new(), group)?);
            }
        }
        Pace::Scheduled { .. } => {
            drivers.push(Driver::new(&shared, plan, load, senders, receivers)?);
        }
    }
    Ok(drive(
        &shared,
        drivers,
        end,
        plan,
        Outcome::new(load, plan),
        watch,
    ))
}

/// Lets senders write, and returns when they are to be ended.
fn allow(senders: &mut [Sender<'_>], extent: Extent) -> Option<Duration> {
    match extent {
        Extent::Messages(messages) => {
            let count = senders.len() as u64;
            for (number, sender) in senders.iter_mut().enumerate() {
                sender.allow_in_all((messages + count - 1 - number as u64) / count);
            }
            None
        }
        Extent::Time(time) => {
            senders.iter_mut().for_each(Sender::allow_all);
            Some(time)
        }
    }
}

/// Deals `all` out in so many groups, and at least one.
fn grouped<T>(all: Vec<T>, groups: usize) -> Vec<Vec<T>> {
    let groups = groups.clamp(1, all.len().max(1));
    let mut grouped: Vec<Vec<T>> = (0..groups).map(|_| Vec::new()).collect();
    for (number, one) in all.into_iter().enumerate() {
        grouped[number % groups].push(one);
    }
    grouped
}

fn drive<'a>(
    shared: &Shared,
    drivers: Vec<Driver<'a, '_>>,
    end: Option<Duration>,
    plan: &Plan,
    mut outcome: Outcome<'a>,
    mut watch: impl FnMut(u64, Duration),
) -> Outcome<'a> {
    let start = Instant::now();
    let mut vigil = Vigil::new(plan);
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
    outcome.stalled = vigil.stalled;
    for driver in drivers {
        driver.add_to(&mut outcome, start);
    }
    outcome
}

/// Notices that nothing moves any more, and then ends the threads.
struct Vigil {
    /// The time without an arrival, before and after all is answered.
    patience: Duration,
    settle: Duration,
    seen: (u64, u64),
    since: Instant,
    /// Whether it was given up while answers were still to come.
    stalled: bool,
}

impl Vigil {
    fn new(plan: &Plan) -> Self {
        let pause = match &plan.pace {
            Pace::FlatOut(_) => Duration::ZERO,
            Pace::Scheduled { schedule, .. } => schedule.interval(),
        };
        Self {
            patience: plan.patience + pause,
            settle: match plan.counting {
                // Refused messages will not be delivered.
                Counting::Messages => SETTLE_TIME,
                // Where nothing is answered, delivery may still go on.
                Counting::Bytes => plan.patience,
            },
            seen: (0, 0),
            since: Instant::now(),
            stalled: false,
        }
    }

    fn look(&mut self, shared: &Shared) {
        let now = (shared.delivered(), shared.answered());
        if now != self.seen {
            self.seen = now;
            self.since = Instant::now();
        }
        let patience = match shared.all_answered() {
            true => self.settle,
            false => self.patience,
        };
        if self.since.elapsed() > patience && !shared.is_stopped() {
            self.stalled = !shared.all_answered();
            shared.stop();
        }
    }
}
