//! The sizes of segments, and the segments that are deleted.

use super::{ID, OwnedRun, append, open_small, runs, small};
use crate::journal::segment::name_of;
use crate::journal::testing::SimDisk;
use crate::journal::{
    Damage, DamagedPart, Fate, Lsn, OpenError, Options, Settled, Writer, inspect, open,
};
use crate::limits::JOURNAL_SEGMENT_BYTES_MIN;

fn sized(segment_bytes: u32) -> Options {
    Options {
        segment_bytes,
        ..Options::default()
    }
}

#[test]
fn a_size_that_no_segment_can_have_is_refused_and_nothing_is_made() {
    let disk = SimDisk::new(1);
    for wrong in [0, 64, 448, 1000, 1025, u32::MAX] {
        let refused = open(disk.clone(), &sized(wrong), ID, 1_000).map(|_| ());
        assert!(
            matches!(refused, Err(OpenError::SegmentBytes { bytes }) if bytes == wrong),
            "{refused:?}"
        );
    }
    assert!(disk.contents().is_empty());
}

#[test]
fn segments_of_the_smallest_size_take_runs_and_marks() {
    let disk = SimDisk::new(1);
    let options = sized(JOURNAL_SEGMENT_BYTES_MIN);
    let (mut writer, _) = open(disk.clone(), &options, ID, 1_000).expect("a new journal");
    let mut kept = Vec::new();
    let mut now = 1_000;
    for number in 0..20 {
        let run = OwnedRun {
            target: "n".repeat(128),
            ..OwnedRun::new(number, 1)
        };
        kept.push((append(&mut writer, &run), run));
        now += 100_000;
        writer.commit(now).expect("committed");
        now += 100_000;
        writer.mark(now).expect("written");
    }
    let durable = writer.commit(now).expect("committed");
    assert_eq!(runs(&disk, durable), kept);
}

/// Settles the only message of a name.
fn settle_only(writer: &mut Writer<SimDisk>, lsn: Lsn, run: &OwnedRun) {
    let settled = Settled {
        messages: 1..2,
        lsn,
        bytes: run.frames[0].len() as u64,
    };
    let name = run.target.as_bytes();
    writer.settle(name, &[settled], 1_000).expect("appended");
}

/// Appends a run for one name, and settles it.
fn append_settled(writer: &mut Writer<SimDisk>, number: u64) -> (Lsn, OwnedRun) {
    let run = OwnedRun::new(3 * number, 1);
    let lsn = append(writer, &run);
    settle_only(writer, lsn, &run);
    (lsn, run)
}

#[test]
fn bytes_behind_the_end_of_a_segment_are_told_and_cut() {
    for (number, excess) in [(1, 64), (2, 1), (2, 5_000), (4, 64)] {
        for content in [0, b'x'] {
            let why = format!("{excess} bytes behind the end of segment {number}");
            let disk = SimDisk::new(1);
            let (mut writer, _) = open_small(&disk).expect("a new journal");
            let kept: Vec<_> = (0..10)
                .map(|number| append_settled(&mut writer, number))
                .collect();
            writer.commit(1_000).expect("committed");
            drop(writer);
            let sound = disk.contents();
            assert_eq!(sound.len(), 4);
            disk.damage(|files| {
                let name = format!("{number:012}.segment");
                let file = files.get_mut(&name).expect("there");
                file.resize(file.len() + excess, content);
            });
            let found = inspect(&disk, |_| ()).expect("readable");
            let [damage] = found.damages[..] else {
                panic!("{why}: {:?}", found.damages);
            };
            assert_eq!(damage.part, DamagedPart::Excess, "{why}");
            assert_eq!(damage.to_string(), why);
            let (mut writer, recovery) = open_small(&disk).expect("opens");
            assert_eq!(recovery.mended, [(damage, Fate::Harmless)], "{why}");
            assert_eq!(disk.contents(), sound, "{why}");
            assert_eq!(runs(&disk, writer.durable()), kept);
            // Deleting begins with the oldest.
            assert_eq!(writer.delete_settled(3 * 1024).expect("deleted"), 1);
            assert!(!disk.contents().contains_key("000000000001.segment"));
        }
    }
}

#[test]
fn bytes_behind_a_damaged_end_are_no_record() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    for number in 0..10 {
        append_settled(&mut writer, number);
    }
    writer.commit(1_000).expect("committed");
    drop(writer);
    disk.damage(|files| {
        let file = files.get_mut("000000000002.segment").expect("there");
        file[900..1024].fill(b'x');
        file.resize(2048, b'x');
    });
    let options = Options {
        accept_loss: true,
        ..small()
    };
    let parts = |damages: &[Damage]| -> Vec<DamagedPart> {
        damages.iter().map(|damage| damage.part).collect()
    };
    let both = [DamagedPart::Records, DamagedPart::Excess];
    let found = inspect(&disk, |_| ()).expect("readable").damages;
    assert_eq!(parts(&found), both);
    assert_eq!(found[0].next, found[1].next, "both end at the next segment");
    let (writer, recovery) = open(disk.clone(), &options, ID, 1_000).expect("accepted");
    assert_eq!(recovery.mended.len(), 2);
    drop(writer);
    assert_eq!(disk.contents()["000000000002.segment"].len(), 1024);
    assert_eq!(inspect(&disk, |_| ()).expect("readable").damages, []);
}

/// Forty names with a message each, too many for a checkpoint. One more has a message in
/// the first segment, and one in the second, that are settled together, and a third.
#[test]
fn a_segment_is_kept_until_a_checkpoint_stands_behind_it() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let named = |name: &str, number| {
        let mut run = OwnedRun::new(number, 1);
        run.target = name.into();
        // From the second segment on so large that no checkpoint fits beside it.
        run.frames[0].resize(if number < 6 { 30 } else { 700 }, b'x');
        run
    };
    let mut open_messages = Vec::new();
    let (mut x_last, mut x_bytes) = (Lsn(0), 0);
    for number in 0..40 {
        if number == 0 || number == 6 {
            let mut run = named("x", number);
            if number == 6 {
                run.frames.push(b"\0\0\0\0not settled".to_vec());
            }
            x_last = append(&mut writer, &run);
            x_bytes += run.frames[0].len() as u64;
        }
        let run = named(&format!("name-{number}"), number);
        open_messages.push((append(&mut writer, &run), run));
    }
    writer.commit(1_000).expect("committed");
    let second = inspect(&disk, |_| ()).expect("readable").segments[1];
    assert_eq!(x_last, second.first);

    // All of the first segment is settled, and a part of the second with it.
    let x = Settled {
        messages: 1..3,
        lsn: x_last,
        bytes: x_bytes,
    };
    writer.settle(b"x", &[x], 1_000).expect("appended");
    let (done, left): (Vec<_>, Vec<_>) = open_messages
        .into_iter()
        .partition(|(lsn, _)| *lsn < second.first);
    for (lsn, run) in done {
        settle_only(&mut writer, lsn, &run);
    }
    writer.commit(1_000).expect("committed");
    assert!(writer.ledger().oldest() >= Some(second.first));
    assert_eq!(writer.delete_settled(0).expect("none"), 0);
    let ledger = writer.ledger().clone();
    drop(writer);
    let (mut writer, _) = open_small(&disk).expect("opens");
    assert_eq!(*writer.ledger(), ledger);

    // A checkpoint of fewer names fits, and tells all.
    for (lsn, run) in left {
        settle_only(&mut writer, lsn, &run);
    }
    while writer.delete_settled(0).expect("deleted") == 0 {
        append(&mut writer, &named("last", 0));
        writer.commit(1_000).expect("committed");
    }
    let ledger = writer.ledger().clone();
    drop(writer);
    let (writer, _) = open_small(&disk).expect("opens");
    assert_eq!(*writer.ledger(), ledger);
}

/// A journal of so many segments, drawn as `id`.
fn of_journal(id: u128, segments: usize) -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open(disk.clone(), &small(), id, 1_000).expect("a new journal");
    while disk.contents().len() < segments {
        append_settled(&mut writer, 1);
    }
    writer.commit(1_000).expect("committed");
    disk
}

/// Opens with and without the loss accepted, and returns the same error of both.
fn refused(disk: &SimDisk) -> OpenError {
    let before = disk.contents();
    let [error, accepting] = [false, true].map(|accept_loss| {
        let options = Options {
            accept_loss,
            ..small()
        };
        let opened = open(disk.clone(), &options, ID, 1_000).map(|_| ());
        opened.expect_err("refused")
    });
    assert_eq!(error.to_string(), accepting.to_string());
    assert_eq!(disk.contents(), before, "{error}");
    error
}

/// Or its place would be reached by segments without number.
#[test]
fn a_stray_segment_far_behind_is_refused_by_its_name() {
    for (number, is_far) in [(999_999_999_999_u64, true), (1_028, true), (1_027, false)] {
        for content in [b"".as_slice(), b"anything"] {
            let disk = of_journal(ID, 2);
            disk.damage(|files| {
                files.insert(format!("{number:012}.segment"), content.to_vec());
            });
            if !is_far {
                let opened = open_small(&disk).map(|_| ());
                assert!(matches!(opened, Err(OpenError::Corrupt(_))), "{opened:?}");
                continue;
            }
            let error = refused(&disk);
            assert!(
                matches!(error, OpenError::Stray { before: 2, .. }),
                "{error}"
            );
            let name = format!("{number:012}.segment");
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}

#[test]
fn a_segment_of_another_journal_is_refused_by_its_name() {
    let other = of_journal(ID + 1, 6).contents();
    // The first ones of ours are settled: a start doesn't read them. The last is new.
    for number in [2, 3, 6] {
        let disk = of_journal(ID, 5);
        let name = format!("{number:012}.segment");
        disk.damage(|files| {
            files.insert(name.clone(), other[&name].clone());
        });
        let error = refused(&disk);
        let is_named = matches!(error, OpenError::Foreign { number: own } if own == number);
        assert!(is_named && error.to_string().contains(&name), "{error}");
    }
}

/// The first record has number 1, and the header before it was once mended to 0.
#[test]
fn a_lost_header_of_the_first_segment_is_mended_to_the_right_numbers() {
    for count in 0..3 {
        let disk = SimDisk::new(1);
        let (mut writer, _) = open_small(&disk).expect("a new journal");
        let mut kept: Vec<_> = (0..count)
            .map(|number| append_settled(&mut writer, number))
            .collect();
        let next = writer.next();
        writer.commit(1_000).expect("committed");
        drop(writer);
        let sound = disk.contents()[&name_of(1)][..64].to_vec();
        disk.damage(|files| files.get_mut(&name_of(1)).expect("there")[..64].fill(0));
        let options = Options {
            accept_loss: true,
            ..small()
        };
        let (mut writer, recovery) = open(disk.clone(), &options, ID, 1_000).expect("accepted");
        assert_eq!(recovery.mended.len(), 1);
        assert_eq!(disk.contents()[&name_of(1)][..64], sound);
        assert_eq!(writer.next(), next);
        let run = OwnedRun::new(77, 1);
        kept.push((append(&mut writer, &run), run));
        let durable = writer.commit(1_000).expect("committed");
        drop(writer);
        assert_eq!(inspect(&disk, |_| ()).expect("readable").damages, []);
        assert_eq!(runs(&disk, durable), kept);
    }
}

/// The same where the segments in front of it were deleted.
#[test]
fn a_lost_header_of_the_oldest_segment_is_mended_to_the_right_numbers() {
    let disk = of_journal(ID, 5);
    let (mut writer, _) = open_small(&disk).expect("opens");
    let kept = append(&mut writer, &OwnedRun::new(77, 1));
    writer.commit(1_000).expect("committed");
    assert_eq!(writer.delete_settled(2 * 1024).expect("deleted"), 3);
    drop(writer);
    let sound = disk.contents();
    disk.damage(|files| files.get_mut(&name_of(4)).expect("there")[..64].fill(0));
    let options = Options {
        accept_loss: true,
        ..small()
    };
    let (writer, _) = open(disk.clone(), &options, ID, 1_000).expect("accepted");
    assert_eq!(disk.contents()[&name_of(4)], sound[&name_of(4)]);
    assert_eq!(writer.ledger().oldest(), Some(kept));
}
