//! Lost messages: they are told, and hold nothing up once the loss is accepted.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{ID, OwnedRun, append, open_small, runs, small};
use crate::journal::testing::{Fault, Files, SimDisk};
use crate::journal::{
    Content, Damage, DamagedPart, Fate, Inspection, Ledger, Lsn, OpenError, Options, Settled,
    Writer, inspect, open,
};

fn accepting() -> Options {
    Options {
        accept_loss: true,
        ..small()
    }
}

fn name(number: u64) -> String {
    format!("{number:012}.segment")
}

/// Settles the frame `frame` of a run.
fn settle(writer: &mut Writer<SimDisk>, lsn: Lsn, sequence: u64, run: &OwnedRun, frame: usize) {
    let start = sequence + frame as u64;
    let settled = Settled {
        messages: start..start + 1,
        lsn,
        bytes: run.frames[frame].len() as u64,
    };
    let target = run.target.as_bytes();
    writer.settle(target, &[settled], 1_000).expect("appended");
}

/// A journal of many segments, without anything settled.
fn unsettled() -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    for number in 0..30 {
        append(&mut writer, &OwnedRun::new(number, 1));
        writer.commit(1_000).expect("committed");
    }
    disk
}

/// Removes the first segments.
fn remove_first(disk: &SimDisk, count: u64) {
    disk.damage(|files| {
        for number in 1..=count {
            files.remove(&name(number)).expect("there");
        }
    });
}

fn refused(disk: &SimDisk) -> Inspection {
    let before = disk.contents();
    let refused = open_small(disk).map(|_| ());
    let Err(OpenError::Corrupt(corruption)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(disk.contents(), before, "changed");
    *corruption.0
}

/// The messages that the ledger has as unsettled are those of the records: by their names
/// the number and the bytes.
fn check_ledger(why: &str, disk: &SimDisk, ledger: &Ledger) {
    let mut there: BTreeMap<Vec<u8>, (u64, u64)> = BTreeMap::new();
    inspect(disk, |record| {
        let Content::Run(run) = &record.content else {
            return;
        };
        for (frame, sequence) in run.index.frames().zip(run.sequence..) {
            if !ledger.is_settled(run.target, record.header.lsn, sequence) {
                let sum = there.entry(run.target.to_vec()).or_default();
                *sum = (sum.0 + 1, sum.1 + frame.0.len() as u64);
            }
        }
    })
    .expect("readable");
    let told: BTreeMap<Vec<u8>, (u64, u64)> = (ledger.backlogs())
        .map(|(name, backlog)| (name.to_vec(), (backlog.frames(), backlog.bytes())))
        .collect();
    assert_eq!(told, there, "{why}");
}

/// A journal with an accepted loss is sound; all of it can be settled and deleted.
fn settles_and_deletes(why: &str, disk: &SimDisk) {
    let (mut writer, recovery) = open_small(disk).unwrap_or_else(|e| panic!("{why}: {e}"));
    assert_eq!(recovery.mended, [], "{why}");
    check_ledger(why, disk, writer.ledger());
    let ledger = writer.ledger().clone();
    let mut runs = Vec::new();
    // Where all is settled, there may be damage that a start doesn't look at.
    inspect(disk, |record| {
        if let Content::Run(run) = &record.content {
            runs.push((record.header.lsn, run.sequence, OwnedRun::of(run)));
        }
    })
    .expect("readable");
    let third = runs.len() / 3 + 1;
    for runs in runs.chunks(third) {
        for (lsn, sequence, run) in runs {
            for frame in 0..run.frames.len() {
                let own = sequence + frame as u64;
                if !ledger.is_settled(run.target.as_bytes(), *lsn, own) {
                    settle(&mut writer, *lsn, *sequence, run, frame);
                }
            }
        }
        writer = delete_and_open(why, disk, writer);
    }
    assert_eq!(*writer.ledger(), Ledger::default(), "{why}");
    // A last one, in a segment that begins with a checkpoint.
    let last = OwnedRun::new(99, 1);
    for _ in 0..8 {
        append(&mut writer, &last);
    }
    delete_and_open(why, disk, writer);
    let names = disk.contents().into_keys();
    let segments = names.filter(|name| !name.contains("damaged")).count();
    assert!(segments < 4, "{why}: {segments}");
}

/// Deletes all that is settled. The next start knows as much as this writer.
fn delete_and_open(why: &str, disk: &SimDisk, mut writer: Writer<SimDisk>) -> Writer<SimDisk> {
    writer.commit(1_000).expect("committed");
    writer.delete_settled(0).expect("deleted");
    let ledger = writer.ledger().clone();
    drop(writer);
    let (writer, recovery) = open_small(disk).unwrap_or_else(|e| panic!("{why}: {e}"));
    assert_eq!(recovery.mended, [], "{why}");
    assert_eq!(*writer.ledger(), ledger, "{why}");
    writer
}

#[test]
fn a_missing_oldest_segment_with_unsettled_messages_is_told() {
    for count in 1..4 {
        let disk = unsettled();
        remove_first(&disk, count);
        let found = inspect(&disk, |_| ()).expect("readable");
        let [damage] = found.damages[..] else {
            panic!("{:?}", found.damages);
        };
        let begin = found.segments[0].first;
        assert_eq!((damage.segment, damage.part), (count, DamagedPart::Oldest));
        assert_eq!((damage.first, damage.next), (Lsn(1), Some(begin)));
        assert_eq!(found.fate(&damage), Fate::Corruption);
        let words = format!(
            "segment {count} is missing, and maybe others before it (records 1 to {})",
            begin.0 - 1
        );
        assert_eq!(damage.to_string(), words);
        assert_eq!(refused(&disk).damages, [damage]);
    }
}

#[test]
fn messages_of_a_missing_oldest_segment_hold_nothing_up() {
    for count in 1..4 {
        let why = format!("{count} missing");
        let disk = unsettled();
        remove_first(&disk, count);
        let kept = inspect(&disk, |_| ()).expect("readable").frames;
        let (writer, recovery) = open(disk.clone(), &accepting(), ID, 1_000).expect("accepted");
        assert_eq!(recovery.mended.len(), 1);
        check_ledger(&why, &disk, writer.ledger());
        let told = writer.ledger().backlogs();
        assert_eq!(told.map(|(_, backlog)| backlog.frames()).sum::<u64>(), kept);
        drop(writer);
        settles_and_deletes(&why, &disk);
    }
}

#[test]
fn messages_of_other_lost_records_hold_nothing_up() {
    type Change = fn(&mut Files);
    let changes: [(&str, Change); 3] = [
        ("a missing segment", |files| {
            files.remove(&name(3));
        }),
        ("a lost sector", |files| {
            files.get_mut(&name(3)).expect("there")[512..].fill(0);
        }),
        ("a lost run in the last segment with records", |files| {
            let file = files.values_mut().next_back().expect("there");
            file[64..128].fill(b'x');
        }),
    ];
    for (why, change) in changes {
        let disk = unsettled();
        disk.damage(change);
        refused(&disk);
        let (writer, _) = open(disk.clone(), &accepting(), ID, 1_000).expect("accepted");
        check_ledger(why, &disk, writer.ledger());
        drop(writer);
        settles_and_deletes(why, &disk);
    }
}

/// Where no checkpoint fits, none tells which messages are settled.
#[test]
fn a_missing_oldest_segment_is_told_without_a_checkpoint() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    for number in 0..5 {
        let mut run = OwnedRun::new(number, 1);
        run.frames[0].resize(750, b'x');
        append(&mut writer, &run);
    }
    writer.commit(1_000).expect("committed");
    drop(writer);
    remove_first(&disk, 2);
    let damages = refused(&disk).damages;
    assert_eq!(damages.len(), 1);
    assert_eq!(damages[0].part, DamagedPart::Oldest);
    let (writer, _) = open(disk.clone(), &accepting(), ID, 1_000).expect("accepted");
    assert_eq!(runs(&disk, writer.durable()).len(), 3);
    drop(writer);
    let (writer, recovery) = open_small(&disk).expect("opens");
    assert_eq!(recovery.mended, []);
    check_ledger("no checkpoint", &disk, writer.ledger());
}

/// A journal of segments with settled messages.
fn settled(segments: usize) -> (SimDisk, Writer<SimDisk>) {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    while disk.contents().len() < segments {
        let run = OwnedRun::new(3, 1);
        let lsn = append(&mut writer, &run);
        settle(&mut writer, lsn, 1, &run, 0);
    }
    writer.commit(1_000).expect("committed");
    (disk, writer)
}

#[test]
fn segments_that_were_deleted_are_not_missing() {
    let (disk, mut writer) = settled(6);
    assert_eq!(writer.delete_settled(2 * 1024).expect("deleted"), 4);
    drop(writer);
    assert_eq!(inspect(&disk, |_| ()).expect("readable").damages, []);
    open_small(&disk).expect("opens");
}

/// The checkpoint has a message as unsettled, that was settled and deleted afterwards.
#[test]
fn a_lost_settlement_is_no_missing_segment() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let first = OwnedRun::new(1, 1);
    let lsn = append(&mut writer, &first);
    while disk.contents().len() < 4 {
        let run = OwnedRun::new(3, 1);
        let lsn = append(&mut writer, &run);
        settle(&mut writer, lsn, 1, &run, 0);
    }
    settle(&mut writer, lsn, 1, &first, 0);
    let settlement = writer.commit(1_000).expect("committed");
    append(&mut writer, &OwnedRun::new(2, 1));
    writer.commit(1_000).expect("committed");
    assert_eq!(writer.delete_settled(0).expect("deleted"), 3);
    drop(writer);
    let mut at = 64;
    inspect(&disk, |record| {
        if record.header.lsn < settlement {
            at += record.padded();
        }
    })
    .expect("readable");
    disk.damage(|files| files.get_mut(&name(4)).expect("there")[at + 20] ^= 1);

    let found = refused(&disk);
    let parts: Vec<_> = found.damages.iter().map(|damage| damage.part).collect();
    assert_eq!(parts, [DamagedPart::Records]);
    assert_eq!(found.damages[0].first, settlement);
    let (writer, recovery) = open(disk.clone(), &accepting(), ID, 1_000).expect("accepted");
    assert_eq!(recovery.mended, [(found.damages[0], Fate::Corruption)]);
    assert_eq!(writer.ledger().backlog(b"target-1"), None);
    drop(writer);
    settles_and_deletes("a lost settlement", &disk);
}

/// A journal with one unsettled message, the record of which is damaged.
fn one_lost() -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    append(&mut writer, &OwnedRun::new(1, 1));
    while disk.contents().len() < 5 {
        let run = OwnedRun::new(3, 1);
        let lsn = append(&mut writer, &run);
        settle(&mut writer, lsn, 1, &run, 0);
    }
    writer.commit(1_000).expect("committed");
    disk.damage(|files| files.get_mut(&name(1)).expect("there")[100] ^= 1);
    disk
}

/// Nothing is deleted before a checkpoint tells which messages were given up.
#[test]
fn without_room_for_a_checkpoint_the_next_start_knows_as_much() {
    let disk = one_lost();
    let bytes: usize = disk.contents().values().map(Vec::len).sum();
    // Room for the copy of the damaged segment, and for no other.
    disk.set_capacity(Some(bytes as u64 + 1024));
    let (mut writer, _) = open(disk.clone(), &accepting(), ID, 1_000).expect("accepted");
    assert_eq!(*writer.ledger(), Ledger::default());
    assert_eq!(writer.delete_settled(0).expect("none"), 0);
    drop(writer);
    let (writer, _) = open_small(&disk).expect("opens");
    assert_eq!(*writer.ledger(), Ledger::default());
    drop(writer);
    disk.set_capacity(None);
    settles_and_deletes("full", &disk);
}

#[test]
fn the_segment_of_a_lost_message_can_be_deleted_at_once() {
    let disk = one_lost();
    let (mut writer, _) = open(disk.clone(), &accepting(), ID, 1_000).expect("accepted");
    assert_eq!(writer.delete_settled(0).expect("deleted"), 5);
    drop(writer);
    let (writer, recovery) = open_small(&disk).expect("opens");
    assert_eq!(recovery.mended, []);
    assert_eq!(*writer.ledger(), Ledger::default());
}

#[test]
fn a_missing_oldest_segment_is_told_beside_other_damage() {
    let disk = unsettled();
    remove_first(&disk, 1);
    disk.damage(|files| files.get_mut(&name(3)).expect("there")[900] ^= 1);
    let damages = refused(&disk).damages;
    let parts: Vec<_> = damages.iter().map(|damage| damage.part).collect();
    assert_eq!(parts, [DamagedPart::Oldest, DamagedPart::Records]);
}

/// A journal with much settled, by chance.
fn random(rng: &mut StdRng) -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let settles = rng.random_range(0.2..1.0);
    let mut open_messages = Vec::new();
    for number in 0..rng.random_range(10..60) {
        let run = OwnedRun::new(number, rng.random_range(1..4));
        let sequence = writer.ledger().next_sequence(run.target.as_bytes());
        let lsn = append(&mut writer, &run);
        let frames = 0..run.frames.len();
        open_messages.extend(frames.map(|frame| (lsn, sequence, run.clone(), frame)));
        while rng.random_bool(settles) && !open_messages.is_empty() {
            let oldest = rng.random_bool(0.8);
            let at = rng.random_range(0..open_messages.len());
            let (lsn, sequence, run, frame) = open_messages.remove(if oldest { 0 } else { at });
            settle(&mut writer, lsn, sequence, &run, frame);
        }
        writer.commit(1_000).expect("committed");
        if rng.random_bool(0.1) {
            writer.delete_settled(3 * 1024).expect("deleted");
        }
    }
    disk
}

/// Damages the journal somewhere.
fn damage(rng: &mut StdRng, files: &mut Files) {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = &names[rng.random_range(0..names.len())];
    match rng.random_range(0..4) {
        0 => {
            files.remove(&names[0]);
        }
        1 => {
            files.remove(name);
        }
        _ => {
            let file = files.get_mut(name).expect("there");
            let from = rng.random_range(0..file.len() / 64) * 64;
            let to = (from + rng.random_range(1..5) * 64).min(file.len());
            file[from..to].fill(b'x');
        }
    }
}

/// Whatever is lost, the ledger has the messages that are there and no other, also after
/// failures and crashes while the journal is mended.
#[test]
fn no_lost_message_counts_as_unsettled() {
    let mut lost = 0;
    for seed in 0..400 {
        let why = format!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let mut files = random(&mut rng).contents();
        for _ in 0..rng.random_range(1..4) {
            damage(&mut rng, &mut files);
        }
        if files.is_empty() {
            continue;
        }
        disk.damage(|own| *own = files);
        for _ in 0..rng.random_range(0..3) {
            let fault = [Fault::Write, Fault::Sync, Fault::SyncFolder][rng.random_range(0..3)];
            disk.fail_after(fault, rng.random_range(0..6));
            let _ = open(disk.clone(), &accepting(), ID, 1_000);
            if rng.random_bool(0.5) {
                disk.crash();
            }
        }
        disk.heal();
        let (writer, recovery) = open(disk.clone(), &accepting(), ID, 1_000)
            .unwrap_or_else(|error| panic!("{why}: {error}"));
        let corrupt = |mended: &&(Damage, Fate)| mended.1 == Fate::Corruption;
        lost += recovery.mended.iter().filter(corrupt).count();
        check_ledger(&why, &disk, writer.ledger());
        drop(writer);
        settles_and_deletes(&why, &disk);
    }
    assert!(lost > 100, "{lost}");
}
