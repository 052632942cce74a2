//! Simulations: clients, a network with its whims, and a clock around one
//! router, all decided by a seed; and a plain model that knows the right
//! outcome.
//!
//! A failure names its seed. `TICKWIRE_SEED=n` replays that one and tells each
//! step, `TICKWIRE_SEEDS=n` tries that many, from `TICKWIRE_SEEDS_FROM` on:
//!
//! ```text
//! TICKWIRE_SEEDS=100000 cargo test --release --lib router::tests::sim
//! ```

mod messages;
mod model;
mod world;

use std::env;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::thread;

use self::model::Met;
use self::world::World;

/// Seeds that are tried unless told otherwise.
const SEEDS: u64 = 5_000;

/// Cases that so many runs must meet, or they test less than they seem to.
const CASES: [&str; 32] = [
    "a batch has several",
    "a broadcast is dropped",
    "a broadcast is not for a subscriber",
    "a conflated queue has no room",
    "a connection is resumed",
    "a frame is finished by the owner before",
    "a group and an owner exclude each other",
    "a group has several members",
    "a hello comes after that of a newer connection",
    "a member leaves a group",
    "a message is dropped for a name",
    "a message is released",
    "a message that is known is acknowledged again",
    "a name ends before what was reserved is queued",
    "a name is taken over",
    "a newer broadcast takes the place of an older one",
    "a pause ends by a wake-up",
    "a pause ends by its deadline",
    "a receiver is told MESSAGES_DROPPED",
    "a report is finished by the owner before",
    "a sender is told UNDELIVERED",
    "a window is granted",
    "a window is used up",
    "an event has waited long enough",
    "an event waits for room",
    "answers fill up",
    "something is gathered when a round ends",
    "there is nothing to resume",
    "too many are refused",
    "what lingers has an owner again",
    "what lingers is given up",
    "who has resumed is told UNDELIVERED",
];

/// Runs the simulation of `seed`, in a thread of its own: data that a thread
/// keeps for later would make a run depend on those before it.
fn run(seed: u64, trace: bool) -> Option<Met> {
    let simulation = thread::Builder::new()
        .name(format!("seed {seed}"))
        .spawn(move || World::new(seed, trace).run());
    simulation.expect("a thread").join().ok()
}

/// Runs the simulations of `seeds`, one on each processor at a time, and adds up
/// the cases that they met. The error is a seed that fails.
fn run_all(seeds: Range<u64>) -> Result<Met, u64> {
    let next = Mutex::new(seeds);
    let work = || -> Result<Met, u64> {
        let mut met = Met::new();
        loop {
            let seed = next.lock().unwrap().next();
            let Some(seed) = seed else { return Ok(met) };
            let Some(more) = run(seed, false) else {
                // The others end with the seed that they are at.
                *next.lock().unwrap() = 0..0;
                return Err(seed);
            };
            add(&mut met, more);
        }
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        let mut met = Met::new();
        for worker in workers {
            add(&mut met, worker.join().expect("only simulations fail")?);
        }
        Ok(met)
    })
}

fn add(met: &mut Met, more: Met) {
    for (what, times) in more {
        *met.entry(what).or_default() += times;
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn keeps_every_promise_whatever_the_network_does() {
    if let Some(seed) = number("TICKWIRE_SEED") {
        let met = run(seed, true);
        eprintln!("{met:#?}");
        assert!(met.is_some(), "seed {seed} fails");
        return;
    }
    let first = number("TICKWIRE_SEEDS_FROM").unwrap_or(0);
    let seeds = number("TICKWIRE_SEEDS").unwrap_or(SEEDS);
    let met = run_all(first..first + seeds).unwrap_or_else(|seed| {
        panic!("seed {seed} fails: TICKWIRE_SEED={seed} tells each step of it")
    });
    eprintln!("met in {seeds} runs: {met:#?}");
    let missing = CASES.iter().find(|case| !met.contains_key(*case));
    assert!(
        missing.is_none() || seeds < SEEDS,
        "no run meets {missing:?}"
    );
}
