//! Senders and receivers that speak through a bad network: connections are
//! delayed, handed on a byte at a time, half closed and cut while messages flow
//! and queues are full. The answers to each are held against the messages that
//! each saw.
//!
//! A seed decides everything that senders, receivers and the network do; which
//! comes first is left to the machine, so a seed that failed may have to be
//! tried more than once: `TICKWIRE_SEED=7 cargo test --test it faults`. More of
//! them by `TICKWIRE_SEEDS=1000`.

#[cfg(feature = "client")]
mod clients;
mod ledger;
mod proxy;
mod receiver;
mod sender;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::{RawClient, start_server_with, within};
#[cfg(feature = "client")]
use clients::sender::Resumable;
use ledger::{Key, Ledger, Receiver, SenderLife, Sums};
use proxy::{Link, Plan};
use receiver::News;

/// The names that senders address.
const NAMES: [&str; 6] = [
    "stays",
    "stays-too",
    "leaves",
    "takes-over",
    "is-cut",
    "is-cut-too",
];

const RECEIVERS: [(receiver::Habit, &[&str]); 5] = [
    (receiver::Habit::Stays, &[NAMES[0]]),
    (receiver::Habit::Stays, &[NAMES[1]]),
    (receiver::Habit::Leaves, &[NAMES[2]]),
    (receiver::Habit::TakesOver, &[NAMES[3]]),
    (receiver::Habit::IsCutOff, &[NAMES[4], NAMES[5]]),
];

const SENDERS: [sender::Habit; 5] = [
    sender::Habit::Stays,
    sender::Habit::Stays,
    sender::Habit::Stays,
    sender::Habit::ComesAndGoes,
    sender::Habit::ComesAndGoes,
];

/// Seeds that run side by side.
const RUNS_AT_ONCE: usize = 2;

/// The client that speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Peers,
    /// All senders, and the receiver that is cut off.
    #[cfg(feature = "client")]
    Clients(Resumable),
}

/// The stage of a run.
#[derive(Debug, Clone)]
enum Phase {
    /// Senders send, receivers come and go.
    Load,
    /// Nothing is sent any more, and the receivers stay. Those that always
    /// stayed get all that is due to them without another push.
    Settling(Arc<HashMap<&'static str, HashSet<Key>>>),
    /// One more to each name, and to everyone (the name ""), behind which
    /// nothing comes.
    Farewell(Arc<HashMap<&'static str, String>>),
    /// All receivers are gone.
    Ended,
}

/// The knowledge that all in a run share.
#[derive(Debug, Clone)]
struct Stage {
    seed: u64,
    server: SocketAddr,
    /// Whether clients may be cut off before they are welcomed.
    #[cfg(feature = "client")]
    cuts_greetings: bool,
    phase: watch::Receiver<Phase>,
}

/// Says how to repeat a run that failed.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "to repeat it: TICKWIRE_SEED={} cargo test --test it faults",
                self.0
            );
        }
    }
}

async fn run(seed: u64, who: Who) -> Sums {
    let _replay = Replay(seed);
    let mut random = Random::of(seed, 0);
    // With the long one a wake-up that is lost hangs; with the short one
    // senders are refused.
    let mut stall_ms = [3_600_000, 60][usize::try_from(random.below(2)).expect("small")];
    #[cfg(feature = "client")]
    if who == Who::Clients(Resumable(true)) {
        // A message that is refused without the sender's hearing of it, and
        // accepted when it is sent again, arrives out of order.
        stall_ms = 3_600_000;
    }
    // Queues end with their owners, soon after them, or wait for the next.
    let linger_ms = [0, 100, 30_000][usize::try_from(random.below(3)).expect("small")];
    let server = start_server_with(|server| {
        server
            // Some look at their sockets without pause.
            .busy_poll(usize::from(seed.is_multiple_of(4)))
            .linger(Duration::from_millis(linger_ms))
            .queue_messages(16 << random.below(4))
            .queue_bytes(64 * 1024)
            .stall_timeout(Duration::from_millis(stall_ms))
    })
    .await;
    let (phase, stage_phase) = watch::channel(Phase::Load);
    let stage = Stage {
        seed,
        server: server.local_addr(),
        #[cfg(feature = "client")]
        cuts_greetings: random.below(2) == 0,
        phase: stage_phase,
    };
    let (news, mut heard) = mpsc::channel(RECEIVERS.len());
    let mut receivers = Vec::new();
    for (number, (habit, names)) in RECEIVERS.into_iter().enumerate() {
        let (stage, number, news) = (stage.clone(), number as u64, news.clone());
        receivers.push(match who {
            #[cfg(feature = "client")]
            Who::Clients(_) if habit == receiver::Habit::IsCutOff => {
                tokio::spawn(clients::receiver::run(stage, number, names, news))
            }
            _ => tokio::spawn(receiver::run(stage, number, habit, names, news)),
        });
    }
    // A receiver that stays is there before the first message.
    let stays = |(habit, _): &&(receiver::Habit, _)| *habit == receiver::Habit::Stays;
    let staying = RECEIVERS.iter().filter(stays).count();
    hear(&mut heard, staying, 0).await;

    let (queued, mut all_queued) = mpsc::channel(SENDERS.len());
    let mut senders = Vec::new();
    for (number, habit) in SENDERS.into_iter().enumerate() {
        let (stage, number, queued) = (stage.clone(), number as u64, queued.clone());
        senders.push(match who {
            Who::Peers => tokio::spawn(sender::run(stage, number, habit, queued)),
            #[cfg(feature = "client")]
            Who::Clients(resumable) => tokio::spawn(clients::sender::run(
                stage, number, habit, resumable, queued,
            )),
        });
    }
    drop(queued);
    let mut due: HashMap<&'static str, HashSet<Key>> = HashMap::new();
    while let Some(queued) = within("the answers to senders", all_queued.recv()).await {
        for (name, key) in queued {
            due.entry(name).or_default().insert(key);
        }
    }
    phase.send_replace(Phase::Settling(Arc::new(due)));
    hear(&mut heard, RECEIVERS.len() - staying, staying).await;
    converse(&stage).await;
    let farewells = say_farewell(stage.server).await;
    phase.send_replace(Phase::Farewell(Arc::new(farewells)));
    let receivers: Vec<Receiver> = join(receivers).await;
    phase.send_replace(Phase::Ended);
    let senders: Vec<SenderLife> = join(senders).await.into_iter().flatten().collect();
    server.shutdown().await;
    let sums = Ledger::check(&senders, &receivers);
    let sums = sums.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    #[cfg(feature = "client")]
    if who == Who::Clients(Resumable(true)) && linger_ms == 30_000 && !stage.cuts_greetings {
        assert_eq!(sums.unknown, 0, "seed {seed}: not sent again: {sums:?}");
    }
    sums
}

/// Waits until so many receivers are settled, and so many have seen all.
async fn hear(heard: &mut mpsc::Receiver<News>, mut settled: usize, mut saw_all: usize) {
    while settled + saw_all > 0 {
        let what = format!("{settled} receivers to settle, {saw_all} to see what is due");
        match within(&what, heard.recv()).await.expect("receivers go on") {
            News::Settled => settled -= 1,
            News::SawAll => saw_all -= 1,
        }
    }
}

/// One message at a time while nothing else is sent: a receiver that isn't
/// woken for one isn't woken by another either.
async fn converse(stage: &Stage) {
    const MESSAGES: usize = 400;
    let plan = Plan {
        seed: stage.seed,
        rough_percent: 3,
        buffer_bytes: 64 * 1024,
        ending: None,
    };
    let (near, far) = (
        Link::to(stage.server, plan).await,
        Link::to(stage.server, plan).await,
    );
    let mut receiver = RawClient::owning(near.address, &["alone"]).await;
    let mut sender = RawClient::speaking_for_others(far.address).await;
    for _ in 0..MESSAGES {
        let order = Draft::order("sender", "alone");
        sender.ask_acked(&order).await;
        assert_eq!(receiver.receive().await.frame, order.frame());
    }
    sender.leave().await;
    receiver.leave().await;
    near.passed().await;
    far.passed().await;
}

/// Sends one more message to each name and to everyone, behind all others. Gives
/// their ids.
async fn say_farewell(server: SocketAddr) -> HashMap<&'static str, String> {
    let mut peer = RawClient::speaking_for_others(server).await;
    let mut farewells = HashMap::new();
    for name in NAMES.into_iter().chain([""]) {
        let target = (!name.is_empty()).then_some(name);
        // The queue may be full yet.
        let id = loop {
            let order = Draft::order("stage", target);
            let answer = peer.ask(&order).await;
            if answer.acknowledged() == order.id && answer.dropped() == 0 {
                break order.id;
            }
            let is_full = answer.dropped() > 0 || answer.code() == "QUEUE_FULL";
            assert!(is_full, "{answer:?}");
            tokio::task::yield_now().await;
        };
        farewells.insert(name, id);
    }
    farewells
}

async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(
            within("a peer's end", task)
                .await
                .expect("a peer only notes"),
        );
    }
    all
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// Runs every seed, so many if nothing else is asked for; says how many messages were
/// sent again, and of how many the fate is unknown.
async fn run_all(who: Who, seeds: u64) -> (usize, usize) {
    let seeds = match number("TICKWIRE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TICKWIRE_SEEDS").unwrap_or(seeds),
    };
    let seeds: Vec<u64> = seeds.collect();
    let (mut resent, mut unknown) = (0, 0);
    // Each mostly waits.
    for seeds in seeds.chunks(RUNS_AT_ONCE) {
        let runs = seeds.iter().map(|&seed| tokio::spawn(run(seed, who)));
        for (seed, run) in seeds.iter().zip(runs.collect::<Vec<_>>()) {
            let sums = run
                .await
                .unwrap_or_else(|failed| resume_unwind(failed.into_panic()));
            eprintln!("seed {seed}: {sums:?}");
            assert!(
                sums.accepted > sums.sent / 4,
                "hardly anything was accepted: {sums:?}"
            );
            resent += sums.resent;
            unknown += sums.unknown;
        }
    }
    (resent, unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_bad_network_every_message_arrives_in_order_or_somebody_is_told() {
    run_all(Who::Peers, 4).await;
}

#[cfg(feature = "client")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_send_again_through_a_bad_network_arrives_once() {
    let (resent, _) = run_all(Who::Clients(Resumable(true)), 3).await;
    assert!(resent > 0, "nothing was sent again");
}

#[cfg(feature = "client")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_not_remembered_say_that_a_fate_is_unknown_and_double_nothing() {
    let (resent, unknown) = run_all(Who::Clients(Resumable(false)), 3).await;
    assert_eq!(resent, 0, "something was sent again");
    assert!(unknown > 0, "everything was answered");
}
