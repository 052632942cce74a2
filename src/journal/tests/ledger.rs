//! Which messages are settled, beside a set of numbers; and a start that need not read
//! all.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{OwnedRun, append, open_small};
use crate::journal::ledger::Backlog;
use crate::journal::ledger::Ledger;
use crate::journal::settlement::{Checkpoint, Settled, Settlement};
use crate::journal::testing::{Fault, SimDisk};
use crate::journal::{Lsn, OpenError, inspect};

const NAME: &[u8] = b"target-0";

/// A run of `frames` frames of one byte each for [`NAME`], behind all others.
fn add(ledger: &mut Ledger, lsn: Lsn, frames: usize) -> u64 {
    let sequence = ledger.next_sequence(NAME);
    let run = OwnedRun {
        target: "target-0".into(),
        source: "source-1".into(),
        frames: vec![b"x".to_vec(); frames],
    };
    run.lend(|run| {
        let run = crate::journal::Run { sequence, ..*run };
        ledger.add(&run, lsn);
    });
    sequence
}

proptest! {
    #[test]
    fn a_backlog_knows_each_message_that_is_not_settled(
        steps in prop::collection::vec((any::<bool>(), 0_usize..40, 1_usize..6), 1..120),
    ) {
        let mut ledger = Ledger::default();
        // Each message's record and number, while it is not settled.
        let mut messages: Vec<(Lsn, u64)> = Vec::new();
        let mut settled: BTreeSet<(Lsn, u64)> = BTreeSet::new();
        for (step, (adds, place, count)) in steps.into_iter().enumerate() {
            let lsn = Lsn(step as u64 + 1);
            if adds || messages.is_empty() {
                let first = add(&mut ledger, lsn, count);
                messages.extend((first..first + count as u64).map(|sequence| (lsn, sequence)));
            } else {
                let place = place % messages.len();
                let first = messages[place].1;
                let row = messages[place..].iter().zip(first..).take(count);
                let count = row.take_while(|((_, sequence), wanted)| sequence == wanted).count();
                let row: Vec<_> = messages.drain(place..place + count).collect();
                let last = row.last().expect("one at least");
                let range = Settled {
                    messages: first..last.1 + 1,
                    lsn: last.0,
                    bytes: count as u64,
                };
                // A second time changes nothing.
                ledger.settle(NAME, [range.clone(), range].into_iter());
                settled.extend(row);
            }
            for (lsn, sequence) in &settled {
                prop_assert!(ledger.is_settled(NAME, *lsn, *sequence));
            }
            for (lsn, sequence) in &messages {
                prop_assert!(!ledger.is_settled(NAME, *lsn, *sequence));
            }
            let backlog = ledger.backlog(NAME);
            let counted = backlog.map_or((0, 0), |backlog| (backlog.frames(), backlog.bytes()));
            prop_assert_eq!(counted, (messages.len() as u64, messages.len() as u64));
            let oldest = messages.first().map(|(lsn, _)| *lsn);
            prop_assert!(ledger.oldest() <= oldest);
            prop_assert_eq!(ledger.oldest().is_some(), oldest.is_some());
            // Nor is it far before.
            let before = settled.iter().filter(|at| Some(*at) < messages.first());
            let before = before.map(|(lsn, _)| *lsn).max();
            prop_assert!(oldest.is_none() || before <= ledger.oldest());
            let encoded = Checkpoint::encode(&ledger);
            let decoded = Checkpoint::decode(&encoded).map(|checkpoint| checkpoint.ledger());
            prop_assert_eq!(decoded, Some(ledger.clone()));
        }
    }

    #[test]
    fn a_settlement_is_read_as_it_was_written(
        name in "[a-z]{1,128}",
        ranges in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..20),
    ) {
        let ranges: Vec<Settled> = ranges
            .into_iter()
            .map(|(start, lsn, bytes)| Settled {
                messages: start..start.wrapping_add(7),
                lsn: Lsn(lsn),
                bytes,
            })
            .collect();
        let encoded = Settlement::encode(name.as_bytes(), &ranges);
        let decoded = Settlement::decode(&encoded).expect("it was written so");
        prop_assert_eq!(decoded.name, name.as_bytes());
        prop_assert_eq!(decoded.ranges().collect::<Vec<_>>(), ranges);
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Settlement::decode(&bytes);
        let _ = Checkpoint::decode(&bytes);
    }
}

fn settled(messages: std::ops::Range<u64>) -> Settled {
    Settled {
        messages,
        lsn: Lsn(1),
        bytes: 1,
    }
}

#[test]
fn messages_of_lost_records_hold_nothing_up() {
    let mut ledger = Ledger::default();
    add(&mut ledger, Lsn(1), 2);
    // Five messages are missing; they were in a record that was lost.
    let run = OwnedRun::new(0, 1);
    run.lend(|run| {
        let run = crate::journal::Run {
            sequence: 8,
            ..*run
        };
        ledger.add(&run, Lsn(3));
    });
    assert_eq!(ledger.backlog(NAME).map(Backlog::frames), Some(3));
    let last = Settled {
        lsn: Lsn(3),
        ..settled(8..9)
    };
    ledger.settle(NAME, [settled(1..3), last].into_iter());
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn a_backlog_that_is_counted_anew_forgets_the_one_before() {
    let mut ledger = Ledger::default();
    add(&mut ledger, Lsn(1), 2);
    // The settlement of both was lost.
    OwnedRun::new(0, 1).lend(|run| ledger.add(run, Lsn(3)));
    let backlog = ledger.backlog(NAME).expect("one message");
    assert_eq!((backlog.frames(), backlog.from()), (1, Lsn(3)));
    assert!(ledger.is_settled(NAME, Lsn(1), 1));
    assert!(!ledger.is_settled(NAME, Lsn(3), 1));
}

#[test]
fn a_late_settlement_settles_no_message_that_is_counted_anew() {
    let mut ledger = Ledger::default();
    add(&mut ledger, Lsn(1), 1);
    ledger.settle(NAME, [settled(1..2)].into_iter());
    assert_eq!(ledger, Ledger::default());
    add(&mut ledger, Lsn(3), 1);
    // The receiver says it again.
    ledger.settle(NAME, [settled(1..2)].into_iter());
    assert!(!ledger.is_settled(NAME, Lsn(3), 1));
}

#[test]
fn only_messages_that_are_there_are_settled() {
    let mut ledger = Ledger::default();
    add(&mut ledger, Lsn(1), 2);
    let before = ledger.clone();
    for wrong in [1..4, 3..4, 0..1, 2..2] {
        ledger.settle(NAME, [settled(wrong)].into_iter());
        assert_eq!(ledger, before);
    }
    ledger.settle(b"unknown", [settled(1..2)].into_iter());
    assert_eq!(ledger, before);
}

/// Otherwise a start would miss segments that were deleted.
#[test]
fn the_oldest_record_never_goes_back_where_messages_are_lost() {
    let one = |number: u64| Settled {
        lsn: Lsn(number),
        ..settled(number..number + 1)
    };
    for before in 0..4 {
        let mut ledger = Ledger::default();
        for number in 1..7 {
            add(&mut ledger, Lsn(number), 1);
        }
        let (before, behind) = [4, 1, 2].split_at(before);
        ledger.settle(NAME, before.iter().copied().map(one));
        // The third and the fifth are in no record.
        let mut lost = ledger.clone();
        lost.settle(NAME, [1, 2, 4, 6].map(one).into_iter());
        ledger.forget(&lost, Lsn(1));
        ledger.settle(NAME, behind.iter().copied().map(one));
        let backlog = ledger.backlog(NAME).expect("one message");
        assert_eq!((backlog.frames(), backlog.bytes()), (1, 1));
        assert_eq!(backlog.from(), Lsn(4), "{before:?} before");
        ledger.settle(NAME, [one(6)].into_iter());
        assert_eq!(ledger, Ledger::default());
    }
}

#[test]
fn a_range_that_overlaps_a_settled_one_is_dropped_whole() {
    let mut ledger = Ledger::default();
    add(&mut ledger, Lsn(1), 6);
    ledger.settle(NAME, [settled(3..5)].into_iter());
    let before = ledger.clone();
    for overlapping in [2..4, 4..6, 3..5, 2..6] {
        ledger.settle(NAME, [settled(overlapping)].into_iter());
        assert_eq!(ledger, before);
    }
    ledger.settle(NAME, [settled(5..7), settled(1..3)].into_iter());
    assert_eq!(ledger, Ledger::default());
}

/// A journal of many segments, settled but for one message. Returns the ledger as well.
fn mostly_settled() -> (SimDisk, Ledger) {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    for number in 0..60 {
        let run = OwnedRun::new(3 * number, 1);
        let lsn = append(&mut writer, &run);
        let settled = Settled {
            messages: 1..2,
            lsn,
            bytes: run.frames[0].len() as u64,
        };
        writer.settle(NAME, &[settled], 1_000).expect("appended");
        if number == 40 {
            let slow = OwnedRun {
                target: "slow".into(),
                ..OwnedRun::new(1, 1)
            };
            append(&mut writer, &slow);
        }
    }
    writer.commit(1_000).expect("committed");
    (disk, writer.ledger().clone())
}

/// Messages that were settled long ago are not read at a start.
#[test]
fn a_start_reads_from_the_oldest_unsettled_message_on() {
    let (disk, ledger) = mostly_settled();
    let all = inspect(&disk, |_| ()).expect("readable");
    let (writer, recovery) = open_small(&disk).expect("opens");
    assert_eq!(*writer.ledger(), ledger);
    drop(writer);
    let read = recovery.found.segments;
    let oldest = ledger.oldest().expect("one is unsettled");
    assert!(read[0].first <= oldest && oldest < read[0].next);
    assert!(read.len() < all.segments.len() / 2);

    // A torn tail doesn't change that.
    disk.damage(|files| {
        let last = files.values_mut().next_back().expect("segments");
        let at = last.iter().rposition(|&byte| byte != 0).expect("records");
        last[at] ^= 1;
    });
    let (mut writer, recovery) = open_small(&disk).expect("opens");
    assert_eq!(recovery.mended.len(), 1);
    assert_eq!(recovery.found.segments.len(), read.len());

    // Segments in front of the oldest are deleted, and no other.
    let deleted = writer.delete_settled(0).expect("deleted");
    assert_eq!(deleted, all.segments.len() - read.len());
    assert_eq!(writer.delete_settled(0).expect("none"), 0);
    drop(writer);
    let (writer, _) = open_small(&disk).expect("opens");
    assert_eq!(writer.ledger().backlog(b"slow"), ledger.backlog(b"slow"));
}

/// Segments that a start doesn't read are looked at all the same.
#[test]
fn a_settled_segment_that_is_missing_or_short_is_noticed() {
    type Change = fn(&mut std::collections::BTreeMap<String, Vec<u8>>);
    let changes: [(&str, Change); 2] = [
        ("missing", |files| {
            files.remove("000000000003.segment");
        }),
        ("short", |files| {
            files
                .get_mut("000000000003.segment")
                .expect("there")
                .truncate(700);
        }),
    ];
    for (what, change) in changes {
        let (disk, _) = mostly_settled();
        disk.damage(change);
        let refused = open_small(&disk).map(|_| ());
        let Err(OpenError::Corrupt(corruption)) = refused else {
            panic!("{what}: {refused:?}");
        };
        assert_eq!(corruption.0.damages[0].segment, 3, "{what}");
    }
}

#[test]
fn all_damage_is_told_once_a_start_is_refused() {
    let (disk, ledger) = mostly_settled();
    let oldest = ledger.oldest().expect("one is unsettled");
    let all = inspect(&disk, |_| ()).expect("readable").segments;
    let recent = all
        .iter()
        .find(|segment| segment.next > oldest)
        .expect("there");
    let recent = format!("{:012}.segment", recent.number);
    disk.damage(|files| {
        for name in ["000000000002.segment", &recent] {
            files.get_mut(name).expect("there")[100] ^= 1;
        }
    });
    let refused = open_small(&disk).map(|_| ());
    let Err(OpenError::Corrupt(corruption)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(corruption.0.damages.len(), 2);
}

/// With too many names for a checkpoint, a start reads more, and knows as much.
#[test]
fn a_checkpoint_that_does_not_fit_is_left_out() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    for number in 0..40 {
        let run = OwnedRun {
            target: format!("name-{number}"),
            ..OwnedRun::new(number, 1)
        };
        append(&mut writer, &run);
    }
    writer.commit(1_000).expect("committed");
    let ledger = writer.ledger().clone();
    assert_eq!(ledger.backlogs().len(), 40);
    for (name, content) in disk.contents() {
        assert_eq!(content.len(), 1024, "{name} has grown");
    }
    drop(writer);
    let (writer, _) = open_small(&disk).expect("opens");
    assert_eq!(*writer.ledger(), ledger);
}

/// A segment that was removed, while the folder could not be synced, is no obstacle.
#[test]
fn deleting_goes_on_after_a_failed_sync() {
    let (disk, _) = mostly_settled();
    let (mut writer, _) = open_small(&disk).expect("opens");
    disk.fail_after(Fault::SyncFolder, 0);
    assert!(writer.delete_settled(0).is_err());
    assert!(writer.delete_settled(0).expect("deleted") > 5);
}
