//! The real binary, killed at any moment under load and started again on the same folder.
//! A plain ledger of all that was sent, answered, received and settled is held against the
//! promises of durable names.
//!
//! A seed decides the load and the moments; which comes first is left to the machine, so
//! a seed that failed may have to be tried more than once:
//! `TICKWIRE_SEED=7 cargo test --test it crashes`. More kills by `TICKWIRE_CRASHES=2000`.

mod ledger;
mod newcomer;
mod orders;
mod receiver;
mod refused_starts;
mod sender;
mod tools;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::hostile::Random;
use crate::process::{Serve, tickwire};
use ledger::{Ledger, Sums};

/// The name of the receiver.
const STORE: &str = "store";
/// The connections that send to it, each with a source of its own.
const SENDERS: usize = 3;
/// The kills that one journal outlives before the next seed begins with an empty folder.
const CRASHES_PER_JOURNAL: u64 = 50;

/// The kills of a run that nobody asked more of.
const CRASHES: u64 = 15;

/// What the peers of one life of the server share.
#[derive(Debug, Clone)]
struct Stage {
    seed: u64,
    server: SocketAddr,
    ledger: Arc<Mutex<Ledger>>,
    /// Messages acknowledged and received in this life.
    events: Arc<watch::Sender<Events>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Events {
    acknowledged: u64,
    received: u64,
}

impl Stage {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no check has failed")
    }
}

/// The folder of a journal. It stays, and is named, if the run fails.
struct Run {
    seed: u64,
    crashes: u64,
    folder: Option<TempDir>,
}

impl Run {
    fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is there").path()
    }

    /// The folder of the journal.
    fn journal(&self) -> PathBuf {
        self.folder().join("journal")
    }

    fn command(&self) -> tokio::process::Command {
        let journal = self.journal().display().to_string();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder().join("log"));
        let address = ["serve", "--listen", "127.0.0.1:0"];
        let durable = ["--data-dir", &journal, "--durable", STORE];
        let mut command = tickwire(&[&address[..], &durable].concat());
        command.stderr(Stdio::from(log.expect("a log")));
        command
    }

    async fn start(&self) -> Serve {
        Serve::spawn_logging(&mut self.command()).await
    }

    /// The number of the journal's last segment.
    fn segments(&self) -> u64 {
        let entries = std::fs::read_dir(self.journal()).expect("a journal");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let last = names.filter_map(|name| {
            let number = name.to_str()?.strip_suffix(".segment")?.to_owned();
            number.parse().ok()
        });
        last.max().unwrap_or(0)
    }

    /// The lines of the servers' logs that have `words` in them.
    fn logged(&self, words: &str) -> usize {
        let log = std::fs::read_to_string(self.folder().join("log"));
        let log = log.unwrap_or_default();
        log.lines().filter(|line| line.contains(words)).count()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let folder = self.folder.take().map(TempDir::keep);
            eprintln!(
                "to repeat it: TICKWIRE_SEED={} TICKWIRE_CRASHES={} cargo test --test it \
                 crashes; the journal and the log are in {folder:?}",
                self.seed, self.crashes
            );
        }
    }
}

/// Kills the server so many times on one journal, and goes through all its promises.
async fn run(seed: u64, crashes: u64) -> Sums {
    let run = Run {
        seed,
        crashes,
        folder: Some(tempfile::tempdir().expect("a temporary folder")),
    };
    let mut random = Random::of(seed, 0);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for life in 0..crashes {
        if random.below(5) == 0 {
            kill_while_starting(&run, &mut random).await;
        } else {
            live(&run, &ledger, life, &mut random).await;
        }
    }
    finish(&run, &ledger).await;
    assert_eq!(run.logged(" ERROR "), 0, "seed {seed}: an error was logged");
    let mut sums = ledger.lock().expect("no check has failed").sums();
    sums.torn_tails = run.logged("in the middle of a record");
    (sums.crashes, sums.segments) = (crashes, run.segments());
    sums
}

/// Kills a server that has just been started, and may not be ready yet.
async fn kill_while_starting(run: &Run, random: &mut Random) {
    let mut child = run.command().spawn().expect("it starts");
    tokio::time::sleep(Duration::from_millis(random.below(40))).await;
    spend_micros(random.below(1000));
    child.kill().await.expect("it ran until now");
}

/// Starts a server, and kills it at some moment under load.
async fn live(run: &Run, ledger: &Arc<Mutex<Ledger>>, life: u64, random: &mut Random) {
    let mut server = run.start().await;
    ledger.lock().expect("no check has failed").begin_life();
    let (events, mut moment) = watch::channel(Events::default());
    let stage = Stage {
        seed: run.seed,
        server: server.address,
        ledger: Arc::clone(ledger),
        events: Arc::new(events),
    };
    let mut peers = JoinSet::new();
    for number in 0..SENDERS {
        let of_its_own = Random::of(run.seed, (life + 1) * 16 + number as u64);
        peers.spawn(sender::run(stage.clone(), number, of_its_own));
    }
    // Now and then the messages wait on the disk for a later life.
    if random.below(8) > 0 {
        let of_its_own = Random::of(run.seed, (life + 1) * 16 + SENDERS as u64);
        peers.spawn(receiver::run(stage.clone(), of_its_own));
    }
    let count = random.below(3_000);
    let by_receptions = random.below(2) == 0;
    // Without any load at times, and at most this long.
    let at_most = Duration::from_millis(
        [random.below(30), 100 + random.below(700)][usize::from(random.below(5) > 0)],
    );
    let reached = moment.wait_for(|events| match by_receptions {
        true => events.received >= count,
        false => events.acknowledged >= count,
    });
    tokio::select! {
        _ = tokio::time::timeout(at_most, reached) => {}
        // Peers go on until the server is gone.
        Some(ended) = peers.join_next() => {
            ended.unwrap_or_else(rethrow);
            panic!("seed {}: a peer ended before its server", run.seed);
        }
    }
    spend_micros(random.below(1500));
    server.kill().await;
    while let Some(ended) = peers.join_next().await {
        ended.unwrap_or_else(rethrow);
    }
}

/// A pause that is shorter than those of timers.
fn spend_micros(micros: u64) {
    std::thread::sleep(Duration::from_micros(micros));
}

fn rethrow(error: JoinError) {
    resume_unwind(error.into_panic());
}

/// Lets a server deliver everything that is due, and looks whether that is all.
async fn finish(run: &Run, ledger: &Arc<Mutex<Ledger>>) {
    for is_first in [true, false] {
        let mut server = run.start().await;
        ledger.lock().expect("no check has failed").begin_life();
        let stage = Stage {
            seed: run.seed,
            server: server.address,
            ledger: Arc::clone(ledger),
            events: Arc::new(watch::channel(Events::default()).0),
        };
        if is_first {
            let last = sender::send_last(&stage).await;
            receiver::drain(&stage, &last).await;
            let due = stage.ledger().due();
            assert!(due.is_empty(), "seed {}: never came: {due:?}", run.seed);
        }
        receiver::expect_nothing(&stage).await;
        server.kill().await;
    }
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let parsed = text.parse();
    Some(parsed.unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_kill_and_what_was_settled_stays_settled() {
    let mut left = number("TICKWIRE_CRASHES").unwrap_or(CRASHES);
    let mut seed = number("TICKWIRE_SEED").unwrap_or(0);
    let mut all = Sums::default();
    while left > 0 {
        let crashes = left.min(CRASHES_PER_JOURNAL);
        let sums = run(seed, crashes).await;
        eprintln!("seed {seed}: {sums:?}");
        all.add(&sums);
        (left, seed) = (left - crashes, seed + 1);
    }
    eprintln!("all: {all:?}");
    assert!(all.acknowledged > all.crashes, "hardly any load: {all:?}");
    assert!(
        all.fenced > all.crashes,
        "hardly anything was settled: {all:?}"
    );
}
