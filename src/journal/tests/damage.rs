//! Damage to a small journal: each flipped bit, each truncation, each lost block.

use std::collections::BTreeMap;

use super::{ID, OwnedRun, append, open_small, runs, small};
use crate::journal::record::ALIGN;
use crate::journal::testing::{Fault, SimDisk};
use crate::journal::{Content, Fate, Lsn, OpenError, Options, inspect, open};
use crate::limits::JOURNAL_SECTOR_BYTES;

type Files = BTreeMap<String, Vec<u8>>;

/// A journal of three segments, each commit of which is stated.
struct Built {
    files: Files,
    runs: Vec<(Lsn, OwnedRun)>,
    /// The number behind the marks at the end.
    next: Lsn,
}

impl Built {
    fn new() -> Self {
        let built = Self::of(9);
        assert_eq!(built.files.len(), 3);
        built
    }

    fn of(count: u64) -> Self {
        let disk = SimDisk::new(1);
        let (mut writer, _) = open_small(&disk).expect("a new journal");
        let mut kept = Vec::new();
        for number in 0..count {
            let run = OwnedRun::new(number, 1 + number as usize % 2);
            kept.push((append(&mut writer, &run), run));
        }
        writer.commit(1_000).expect("committed");
        writer.mark(100_000).expect("written");
        Self {
            files: disk.contents(),
            runs: kept,
            next: writer.next(),
        }
    }

    /// Checks everything that is promised of the journal with this damage. Returns
    /// whether it is corruption.
    fn check(&self, why: &str, damage: impl FnOnce(&mut Files)) -> bool {
        let disk = SimDisk::of(self.files.clone());
        disk.damage(damage);
        let before = disk.contents();
        if before == self.files {
            return false;
        }
        let (durable, is_corrupt) = match open_small(&disk) {
            Ok((writer, recovery)) => {
                // Marks at the end that are gone as a whole are no loss.
                let is_shorter = writer.next() < self.next;
                let is_noticed = !recovery.mended.is_empty();
                assert!(is_noticed || is_shorter, "{why}: not noticed");
                for (_, fate) in &recovery.mended {
                    assert_ne!(*fate, Fate::Corruption, "{why}");
                }
                assert_eq!(runs(&disk, writer.durable()), self.runs, "{why}");
                (writer.durable(), false)
            }
            Err(OpenError::Corrupt(corruption)) => {
                assert_eq!(disk.contents(), before, "{why}: changed");
                (self.accept_loss(why, &disk, &corruption.0), true)
            }
            Err(error) => panic!("{why}: {error}"),
        };
        let last = self.runs.last().map(|(lsn, _)| *lsn);
        assert!(Some(durable) >= last, "{why}: {durable:?}");
        self.goes_on(why, &disk);
        is_corrupt
    }

    /// Opens with the loss accepted: all but the records that were said to be lost are
    /// there.
    fn accept_loss(&self, why: &str, disk: &SimDisk, found: &crate::journal::Inspection) -> Lsn {
        let options = Options {
            accept_loss: true,
            ..small()
        };
        let (writer, recovery) = open(disk.clone(), &options, ID, 1_000)
            .unwrap_or_else(|error| panic!("{why}: {error}"));
        assert!(!recovery.mended.is_empty(), "{why}");
        let mut gaps = Vec::new();
        inspect(disk, |record| {
            if let Content::Gap(gap) = record.content {
                gaps.push(gap.first..=gap.last);
            }
        })
        .expect("readable");
        let is_lost = |lsn: &Lsn| gaps.iter().any(|gap| gap.contains(lsn));
        let mut kept = self.runs.clone();
        kept.retain(|(lsn, _)| !is_lost(lsn) && *lsn <= writer.durable());
        assert_eq!(runs(disk, writer.durable()), kept, "{why}: {gaps:?}");
        let said = |lsn: &Lsn| {
            let within = |damage: &crate::journal::Damage| {
                damage.first <= *lsn && damage.next.is_none_or(|next| *lsn < next)
            };
            found.damages.iter().any(within)
        };
        for (lsn, _) in &self.runs {
            let is_kept = kept.iter().any(|(own, _)| own == lsn);
            assert!(is_kept || said(lsn), "{why}: {lsn} is lost without a word");
        }
        let is_kept_aside = disk.contents().keys().any(|name| name.contains("damaged"));
        let is_missing = disk.contents().len() > self.files.len();
        assert!(
            is_kept_aside || is_missing || found.segments.len() < 3,
            "{why}"
        );
        writer.durable()
    }

    /// The mended journal takes records, and is sound at the next start.
    fn goes_on(&self, why: &str, disk: &SimDisk) {
        let (mut writer, recovery) = open_small(disk).unwrap_or_else(|e| panic!("{why}: {e}"));
        assert_eq!(recovery.mended, [], "{why}");
        let before = runs(disk, writer.durable());
        let run = OwnedRun::new(77, 1);
        let lsn = append(&mut writer, &run);
        writer.commit(1_000).expect("committed");
        drop(writer);
        let (writer, recovery) = open_small(disk).unwrap_or_else(|e| panic!("{why}: {e}"));
        assert_eq!(recovery.mended, [], "{why}");
        let mut wanted = before;
        wanted.push((lsn, run));
        assert_eq!(runs(disk, writer.durable()), wanted, "{why}");
    }
}

#[test]
fn each_flipped_bit_of_a_small_journal_is_noticed() {
    let built = Built::new();
    let mut corrupt = 0;
    for (name, content) in &built.files {
        for bit in 0..content.len() * 8 {
            let why = format!("bit {bit} of {name}");
            let is_corrupt = built.check(&why, |files| {
                files.get_mut(name).expect("there")[bit / 8] ^= 1 << (bit % 8);
            });
            corrupt += usize::from(is_corrupt);
        }
    }
    // Most bits belong to records that a later one states to be on disk.
    assert!(corrupt > 8 * 1024, "{corrupt}");
}

#[test]
fn each_truncation_of_a_small_journal_is_noticed() {
    let built = Built::new();
    let mut corrupt = 0;
    for (name, content) in &built.files {
        for bytes in 0..content.len() {
            let why = format!("{name} cut to {bytes} bytes");
            let is_corrupt = built.check(&why, |files| {
                files.get_mut(name).expect("there").truncate(bytes);
            });
            corrupt += usize::from(is_corrupt);
        }
    }
    assert!(corrupt > 1024, "{corrupt}");
}

#[test]
fn lost_sectors_of_a_small_journal_are_noticed() {
    // The last run ends at another place of its sector each time.
    for count in 6..20 {
        let built = Built::of(count);
        for (name, content) in &built.files {
            for bytes in [ALIGN, JOURNAL_SECTOR_BYTES] {
                for first in (0..content.len()).step_by(bytes) {
                    let why = format!("{count} runs, {bytes} bytes from {first} of {name}");
                    built.check(&why, |files| {
                        files.get_mut(name).expect("there")[first..first + bytes].fill(0);
                    });
                }
            }
        }
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let is_corrupt = Built::new().check("the second segment is missing", |files| {
        files.remove("000000000002.segment");
    });
    assert!(is_corrupt);
}

#[test]
fn a_record_of_another_history_is_damage() {
    let with_second_run = |number| {
        let disk = SimDisk::new(1);
        let (mut writer, _) = open_small(&disk).expect("a new journal");
        for number in [1, number, 3] {
            append(&mut writer, &OwnedRun::new(number, 1));
        }
        writer.commit(1_000).expect("committed");
        disk
    };
    // Both are sound, and their third records have the same place and number.
    let (one, other) = (with_second_run(2), with_second_run(4));
    let name = "000000000001.segment";
    let third = 64 + 2 * 128..64 + 3 * 128;
    let foreign = other.contents()[name][third.clone()].to_vec();
    one.damage(|files| {
        let own = &mut files.get_mut(name).expect("there")[third.clone()];
        assert_ne!(own, foreign);
        own.copy_from_slice(&foreign);
    });
    let found = inspect(&one, |_| ()).expect("readable");
    let [damage] = found.damages[..] else {
        panic!("{found:?}");
    };
    assert_eq!((damage.first, damage.from), (Lsn(3), third.start as u64));
}

#[test]
fn a_segment_states_that_the_one_before_is_on_disk() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    while disk.contents().len() < 2 {
        append(&mut writer, &OwnedRun::new(1, 1));
    }
    // The record that needed the second segment was not written.
    drop(writer);
    disk.damage(|files| {
        let file = files.get_mut("000000000001.segment").expect("there");
        let at = file.iter().rposition(|&byte| byte != 0).expect("records");
        file[at] ^= 1;
    });
    let before = disk.contents();
    let refused = open_small(&disk).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Corrupt(_))), "{refused:?}");
    assert_eq!(disk.contents(), before);
}

#[test]
fn only_the_last_segment_has_a_torn_tail() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    while disk.contents().len() < 2 {
        append(&mut writer, &OwnedRun::new(1, 1));
    }
    drop(writer);
    // Nothing that can be read states the record, but a second segment is there.
    disk.damage(|files| {
        files.get_mut("000000000001.segment").expect("there")[100] ^= 1;
        files.get_mut("000000000002.segment").expect("there")[20] ^= 1;
    });
    let options = Options {
        accept_loss: true,
        ..small()
    };
    let before = inspect(&disk, |_| ()).expect("readable");
    open(disk.clone(), &options, ID, 1_000).expect("accepted");
    let after = inspect(&disk, |_| ()).expect("readable");
    // One record is lost, and those behind it are not.
    assert_eq!(after.frames, before.frames);
    assert!(
        disk.contents()
            .contains_key("000000000001.segment.damaged-1")
    );
}

#[test]
fn a_copy_of_a_damaged_segment_is_on_disk_before_it_is_mended() {
    let built = Built::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        disk.fail_after(Fault::Sync, seed as u32 % 4);
        disk.damage(|files| {
            files.clone_from(&built.files);
            files.get_mut("000000000001.segment").expect("there")[100] ^= 1;
        });
        let damaged = disk.contents()["000000000001.segment"].clone();
        let options = Options {
            accept_loss: true,
            ..small()
        };
        let _ = open(disk.clone(), &options, ID, 1_000);
        disk.crash();
        let files = disk.contents();
        let kept = files.get("000000000001.segment.damaged-1");
        let is_kept = kept == Some(&damaged);
        let is_unchanged = files["000000000001.segment"] == damaged;
        assert!(is_kept || is_unchanged, "seed {seed}");
    }
}

#[test]
fn damage_to_the_latest_commit_before_it_is_stated_is_a_torn_tail() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let run = OwnedRun::new(1, 1);
    append(&mut writer, &run);
    writer.commit(1_000).expect("committed");
    append(&mut writer, &OwnedRun::new(2, 1));
    writer.commit(1_000).expect("committed");
    drop(writer);
    disk.damage(|files| {
        let file = files.get_mut("000000000001.segment").expect("there");
        let at = file.iter().rposition(|&byte| byte != 0).expect("records");
        file[at] ^= 1;
    });
    let (writer, recovery) = open_small(&disk).expect("opens");
    let [(damage, Fate::TornTail)] = recovery.mended[..] else {
        panic!("{:?}", recovery.mended);
    };
    assert_eq!((damage.first, damage.next), (Lsn(2), None));
    assert_eq!(runs(&disk, writer.durable()), [(Lsn(1), run)]);
}

mod any_bytes {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::record::{self, Body, Gap, RecordHeader};

    proptest! {
        /// Nothing in a folder makes a start panic.
        #[test]
        fn of_files_are_no_panic(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
            is_headed: bool,
        ) {
            let built = Built::of(3);
            let header = &built.files["000000000001.segment"][..64];
            let mut all = Files::new();
            for (at, mut bytes) in files.into_iter().enumerate() {
                if is_headed {
                    bytes.splice(0..0, header.iter().copied());
                }
                all.insert(format!("{:012}.segment", at + 1), bytes);
            }
            for accept_loss in [false, true] {
                let options = Options { accept_loss, ..small() };
                let _ = open(SimDisk::of(all.clone()), &options, ID, 1_000);
            }
        }

        /// Nor do records with right checksums and wrong numbers.
        #[test]
        fn of_records_are_no_panic(
            numbers in prop::collection::vec((0..4_u64, 0..4_u64, 0..4_u64), 1..6),
            is_large: bool,
        ) {
            let mut built = Built::of(1);
            let file = built.files.get_mut("000000000001.segment").expect("there");
            let mut bytes = file[..64].to_vec();
            for (lsn, durable, last) in numbers {
                let spread = |number: u64| if is_large { u64::MAX - number } else { number };
                let header = RecordHeader {
                    lsn: Lsn(spread(lsn)),
                    durable: Lsn(spread(durable)),
                    time: 0,
                    previous: 0,
                };
                let gap = Gap {
                    first: Lsn(spread(lsn)),
                    last: Lsn(spread(last)),
                    next_previous: 0,
                    bytes: 64,
                };
                record::encode(&mut bytes, 1, &header, &Body::Gap(gap));
            }
            bytes.resize(1024, 0);
            *file = bytes;
            for accept_loss in [false, true] {
                let options = Options { accept_loss, ..small() };
                let _ = open(SimDisk::of(built.files.clone()), &options, ID, 1_000);
            }
        }
    }
}
