//! Crashes, failures and a full disk at random moments, beside a plain model:
//! acknowledged implies recovered.
//!
//! ```sh
//! TICKWIRE_SEEDS=100000 cargo test --release --lib journal::tests::crashes
//! ```

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{ID, OwnedRun, numbered, runs, small};
use crate::journal::testing::{Fault, SimDisk};
use crate::journal::{AppendError, Fate, Lsn, OpenError, Options, Recovery, Settled, Writer, open};

const SEEDS: u64 = 3_000;

fn seeds() -> u64 {
    let wanted = std::env::var("TICKWIRE_SEEDS").ok();
    wanted.map_or(SEEDS, |seeds| seeds.parse().expect("a number"))
}

/// What a journal must have.
struct Model {
    seed: u64,
    rng: StdRng,
    disk: SimDisk,
    /// Runs that were committed, and that a crash must not lose.
    committed: BTreeMap<Lsn, OwnedRun>,
    /// Runs that were appended and not committed: they may be there afterwards.
    appended: BTreeMap<Lsn, OwnedRun>,
    /// The numbers of the first frames of all these runs.
    sequences: BTreeMap<Lsn, u64>,
    /// Messages whose settlement was committed: the run, and the frame in it.
    settled: BTreeSet<(Lsn, usize)>,
    /// Messages whose settlement was appended, as the record's number.
    settling: BTreeMap<(Lsn, usize), Lsn>,
    deleted: usize,
    next_run: u64,
    now: u64,
    restarts: u32,
    torn: u32,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            disk: SimDisk::new(seed),
            committed: BTreeMap::new(),
            appended: BTreeMap::new(),
            sequences: BTreeMap::new(),
            settled: BTreeSet::new(),
            settling: BTreeMap::new(),
            deleted: 0,
            next_run: 0,
            now: 1_000,
            restarts: 0,
            torn: 0,
        }
    }

    /// Lives through some starts, with trouble in each.
    fn run(mut self) -> Self {
        for _ in 0..self.rng.random_range(2..6) {
            self.arm();
            match self.open() {
                Ok((writer, recovery)) => self.write(writer, &recovery),
                // The disk failed while the journal was opened.
                Err(OpenError::Storage(_)) => {}
                Err(error) => panic!("seed {}: {error}", self.seed),
            }
            self.end_life();
        }
        self.disk.heal();
        let (writer, recovery) = self.open().expect("a sound disk");
        self.compare(&writer, &recovery);
        self
    }

    fn arm(&mut self) {
        let fault = [Fault::Write, Fault::Sync, Fault::SyncFolder][self.rng.random_range(0..3)];
        if self.rng.random_bool(0.6) {
            let succeed = self.rng.random_range(0..20);
            self.disk.fail_after(fault, succeed);
        }
        let capacity = self.rng.random_range(1_024..8_192);
        let is_small = self.rng.random_bool(0.3);
        self.disk.set_capacity(is_small.then_some(capacity));
    }

    fn open(&self) -> Result<(Writer<SimDisk>, Recovery), OpenError> {
        open(self.disk.clone(), &small(), ID, self.now)
    }

    fn write(&mut self, mut writer: Writer<SimDisk>, recovery: &Recovery) {
        self.compare(&writer, recovery);
        for _ in 0..self.rng.random_range(0..40) {
            self.now += self.rng.random_range(0..8_000);
            let failed = match self.rng.random_range(0..20) {
                0..8 => self.append(&mut writer),
                8..12 => self.commit(&mut writer),
                12..18 => self.settle(&mut writer),
                18 => self.delete(&mut writer),
                _ => writer.mark(self.now).is_err(),
            };
            if failed && writer.failed().is_some() {
                let refused = OwnedRun::new(0, 1).lend(|run| writer.append(run, self.now));
                assert!(matches!(refused, Err(AppendError::Failed(_))));
                assert!(writer.commit(self.now).is_err());
                return;
            }
            self.acknowledge(writer.durable());
        }
    }

    /// Appends a run, and returns whether that failed.
    fn append(&mut self, writer: &mut Writer<SimDisk>) -> bool {
        let run = OwnedRun::new(self.next_run, self.rng.random_range(1..4));
        self.next_run += 1;
        let sequence = writer.ledger().next_sequence(run.target.as_bytes());
        let appended = run.lend(|run| writer.append(run, self.now));
        // A full segment is committed before the next is made, which may fail.
        self.acknowledge(writer.durable());
        match appended {
            Ok(lsn) => {
                self.sequences.insert(lsn, sequence);
                self.appended.insert(lsn, run);
                false
            }
            Err(_) => true,
        }
    }

    fn commit(&mut self, writer: &mut Writer<SimDisk>) -> bool {
        match writer.commit(self.now) {
            Ok(durable) => {
                assert_eq!(durable, Lsn(writer.next().0 - 1), "seed {}", self.seed);
                false
            }
            Err(_) => true,
        }
    }

    /// Settles some messages of a run that was committed, side by side.
    fn settle(&mut self, writer: &mut Writer<SimDisk>) -> bool {
        let is_open =
            |at: &(Lsn, usize)| !self.settled.contains(at) && !self.settling.contains_key(at);
        let all = self
            .committed
            .iter()
            .flat_map(|(lsn, run)| (0..run.frames.len()).map(|frame| (*lsn, frame)));
        let open: Vec<(Lsn, usize)> = all.filter(is_open).collect();
        if open.is_empty() {
            return false;
        }
        // The oldest more often, as receivers do it.
        let pick = self.rng.random_range(0..open.len());
        let pick = if self.rng.random_bool(0.7) { 0 } else { pick };
        let (lsn, first) = open[pick];
        let wanted = self.rng.random_range(1..4);
        let row = open[pick..].iter().take(wanted).zip(first..);
        let count = row.take_while(|(at, frame)| **at == (lsn, *frame)).count();
        let run = self.committed[&lsn].clone();
        let sequence = self.sequences[&lsn] + first as u64;
        let bytes = run.frames[first..first + count].iter().map(Vec::len);
        let settled = Settled {
            messages: sequence..sequence + count as u64,
            lsn,
            bytes: bytes.sum::<usize>() as u64,
        };
        let appended = writer.settle(run.target.as_bytes(), &[settled], self.now);
        self.acknowledge(writer.durable());
        if let Ok(settlement) = appended {
            let frames = (first..first + count).map(|frame| ((lsn, frame), settlement));
            self.settling.extend(frames);
        }
        appended.is_err()
    }

    /// Deletes segments without unsettled messages.
    fn delete(&mut self, writer: &mut Writer<SimDisk>) -> bool {
        let keep = self.rng.random_range(0..4_096);
        match writer.delete_settled(keep) {
            Ok(deleted) => self.deleted += deleted,
            // It is tried again some time.
            Err(_) => return false,
        }
        false
    }

    /// Notes that all up to `durable` was acknowledged.
    fn acknowledge(&mut self, durable: Lsn) {
        let later = self.appended.split_off(&Lsn(durable.0 + 1));
        self.committed.append(&mut self.appended);
        self.appended = later;
        self.settling.retain(|at, lsn| {
            let is_done = *lsn <= durable;
            if is_done {
                self.settled.insert(*at);
            }
            !is_done
        });
    }

    /// Ends the process, or the machine's power.
    fn end_life(&mut self) {
        self.restarts += 1;
        if self.rng.random_bool(0.7) {
            self.disk.crash();
        }
    }

    /// Compares the journal with the model, and takes over which runs have survived
    /// that need not.
    fn compare(&mut self, writer: &Writer<SimDisk>, recovery: &Recovery) {
        let seed = self.seed;
        for (damage, fate) in &recovery.mended {
            assert_eq!(*fate, Fate::TornTail, "seed {seed}: {damage}");
            self.torn += 1;
        }
        let mut found = BTreeMap::new();
        for (lsn, sequence, run) in numbered(&self.disk, writer.durable()) {
            assert_eq!(
                self.sequences.get(&lsn),
                Some(&sequence),
                "seed {seed}: {lsn}"
            );
            found.insert(lsn, run);
        }
        for (lsn, run) in &self.committed {
            let is_settled = |frame| self.settled.contains(&(*lsn, frame));
            let may_be_deleted = (0..run.frames.len()).all(is_settled);
            match found.get(lsn) {
                Some(own) => assert_eq!(own, run, "seed {seed}: {lsn}"),
                None => assert!(may_be_deleted, "seed {seed}: {lsn} was acknowledged"),
            }
        }
        let mut lost = false;
        for (lsn, run) in &self.appended {
            match found.get(lsn) {
                Some(own) => {
                    assert!(!lost, "seed {seed}: {lsn} is there, one before it is not");
                    assert_eq!(own, run, "seed {seed}: {lsn}");
                }
                None => lost = true,
            }
        }
        let known = |lsn: &Lsn| self.committed.contains_key(lsn) || self.appended.contains_key(lsn);
        assert!(found.keys().all(known), "seed {seed}: a run nobody wrote");
        self.committed = found;
        self.appended.clear();
        self.compare_ledger(writer);
    }

    /// Compares which messages are settled, and takes over which settlements have
    /// survived that need not.
    fn compare_ledger(&mut self, writer: &Writer<SimDisk>) {
        let seed = self.seed;
        let ledger = writer.ledger();
        let mut backlogs: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
        for (lsn, run) in &self.committed {
            let target = run.target.as_bytes();
            for (frame, bytes) in run.frames.iter().enumerate() {
                let at = (*lsn, frame);
                let sequence = self.sequences[lsn] + frame as u64;
                if ledger.is_settled(target, *lsn, sequence) {
                    let is_asked = self.settling.contains_key(&at) || self.settled.contains(&at);
                    assert!(is_asked, "seed {seed}: {at:?} was never settled");
                    self.settled.insert(at);
                } else {
                    assert!(
                        !self.settled.contains(&at),
                        "seed {seed}: {at:?} was settled"
                    );
                    let backlog = backlogs.entry(target).or_default();
                    backlog.0 += 1;
                    backlog.1 += bytes.len() as u64;
                }
            }
        }
        let found: BTreeMap<&[u8], (u64, u64)> = (ledger.backlogs())
            .map(|(name, backlog)| (name, (backlog.frames(), backlog.bytes())))
            .collect();
        assert_eq!(found, backlogs, "seed {seed}");
        self.settling.clear();
    }
}

#[test]
fn what_was_committed_survives_every_crash() {
    let mut happened = Vec::new();
    let (mut torn, mut deleted, mut settled) = (0, 0, 0);
    for seed in 0..seeds() {
        let model = Model::new(seed).run();
        torn += model.torn;
        deleted += model.deleted;
        settled += model.settled.len();
        happened.push(model.disk.happened());
    }
    // Each kind of trouble has happened.
    let sum = |of: fn(&crate::journal::testing::Happened) -> u32| -> u32 {
        happened.iter().map(of).sum()
    };
    let all = [
        ("failed writes", sum(|all| all.failed_writes)),
        ("failed syncs", sum(|all| all.failed_syncs)),
        (
            "failed syncs of the folder",
            sum(|all| all.failed_folder_syncs),
        ),
        ("full disks", sum(|all| all.full)),
        ("lost sectors", sum(|all| all.lost_sectors)),
        ("sectors out of order", sum(|all| all.out_of_order)),
        ("torn sectors", sum(|all| all.torn_sectors)),
        ("lost names", sum(|all| all.lost_names)),
        ("torn tails", torn),
        ("deleted segments", deleted as u32),
        ("settled messages", settled as u32),
    ];
    for (what, count) in all {
        assert!(count > 0, "no {what}: {all:?}");
    }
}

/// The tests notice a sync that is missing.
#[test]
fn a_disk_that_does_not_sync_loses_what_was_committed() {
    let loses = |seed: &u64| {
        let disk = SimDisk::new(*seed);
        disk.ignore_syncs();
        let Ok((mut writer, _)) = open(disk.clone(), &small(), ID, 1_000) else {
            return true;
        };
        let run = OwnedRun::new(1, 1);
        let lsn = run.lend(|run| writer.append(run, 1_000)).expect("appended");
        assert_eq!(writer.commit(1_000), Ok(lsn));
        drop(writer);
        disk.crash();
        let accepting = Options {
            accept_loss: true,
            ..small()
        };
        open(disk.clone(), &accepting, ID, 1_000)
            .map_or(true, |(writer, _)| runs(&disk, writer.durable()).is_empty())
    };
    let lost = (0..200).filter(loses).count();
    assert!(lost > 50, "{lost} of 200");
}
