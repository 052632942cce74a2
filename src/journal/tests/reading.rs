//! Readers beside a writer, rotation, a full disk, other formats.

use super::{ID, OwnedRun, append, open_small, runs, small};
use crate::journal::testing::SimDisk;
use crate::journal::{
    AppendError, IndexBuilder, Lsn, OpenError, Options, ReadError, Reader, Run, inspect, open,
};

#[test]
fn a_reader_follows_the_writer_commit_by_commit() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let mut reader = Reader::new(disk.clone(), Lsn(1)).expect("readable");
    assert_eq!(reader.next(writer.durable()).expect("readable"), None);
    for number in 0..40 {
        let run = OwnedRun::new(number, 1 + number as usize % 3);
        let lsn = append(&mut writer, &run);
        // Appended is not committed. Only a full segment commits by itself.
        if writer.durable() < lsn {
            let seen = reader.next(writer.durable()).expect("readable");
            assert_eq!(seen, None);
        }
        assert_eq!(writer.commit(2_000), Ok(lsn));
        // A new segment begins with a checkpoint.
        let mut found = Lsn(0);
        while found < lsn {
            let record = reader.next(writer.durable()).expect("readable");
            found = record.expect("it was committed").header.lsn;
        }
        assert_eq!(found, lsn);
        assert_eq!(reader.next(writer.durable()).expect("readable"), None);
    }
    let found = inspect(&disk, |_| ()).expect("readable");
    assert!(found.segments.len() > 5, "{}", found.segments.len());
    assert!(found.damages.is_empty(), "{found:?}");
}

#[test]
fn a_reader_begins_at_any_record() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let last = (0..30)
        .map(|number| append(&mut writer, &OwnedRun::new(number, 2)))
        .last()
        .expect("thirty");
    writer.commit(2_000).expect("committed");
    for from in 1..=last.0 {
        let mut reader = Reader::new(disk.clone(), Lsn(from)).expect("readable");
        let record = reader.next(last).expect("readable").expect("there");
        assert_eq!(record.header.lsn, Lsn(from));
    }
    disk.damage(|files| {
        files.remove("000000000001.segment");
    });
    let gone = Reader::new(disk, Lsn(1)).map(|_| ());
    assert!(
        matches!(gone, Err(ReadError::Deleted { asked: Lsn(1), first }) if first > Lsn(1)),
        "{gone:?}"
    );
}

#[test]
fn a_commit_is_stated_once_it_is_ten_milliseconds_old() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let lsn = append(&mut writer, &OwnedRun::new(1, 1));
    assert_eq!(writer.mark_at(), None, "nothing is committed");
    writer.commit(50_000).expect("committed");
    assert_eq!(writer.mark_at(), Some(60_000));
    writer.mark(59_999).expect("not due");
    assert_eq!(inspect(&disk, |_| ()).expect("readable").durable, Lsn(0));
    writer.mark(60_000).expect("written");
    assert_eq!(inspect(&disk, |_| ()).expect("readable").durable, lsn);
    assert_eq!(writer.mark_at(), None, "a mark needs no mark");
    writer.commit(70_000).expect("committed");
    assert_eq!(writer.mark_at(), None, "nor does its commit");
}

#[test]
fn time_in_a_journal_never_goes_back() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    for now in [5_000, 3_000, 9_000] {
        OwnedRun::new(now, 1).lend(|run| writer.append(run, now).expect("appended"));
    }
    writer.commit(9_000).expect("committed");
    drop(writer);
    let (mut writer, _) = open(disk.clone(), &small(), ID, 10).expect("opens");
    OwnedRun::new(10, 1).lend(|run| writer.append(run, 10).expect("appended"));
    writer.commit(10).expect("committed");
    let mut times = Vec::new();
    inspect(&disk, |record| times.push(record.header.time)).expect("readable");
    assert_eq!(times, [5_000, 5_000, 9_000, 9_000]);
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    disk.set_capacity(Some(1_500));
    let mut kept = Vec::new();
    let refused = (0..).find_map(|number| {
        let run = OwnedRun::new(number, 1);
        match run.lend(|run| writer.append(run, 1_000)) {
            Ok(lsn) => kept.push((lsn, run)),
            Err(error) => return Some(error),
        }
        None
    });
    assert_eq!(refused, Some(AppendError::Full));
    assert_eq!(writer.failed(), None);
    let last = writer.commit(2_000).expect("what was taken is committed");
    assert_eq!(runs(&disk, last), kept);
    disk.set_capacity(None);
    let run = OwnedRun::new(99, 1);
    kept.push((append(&mut writer, &run), run));
    let last = writer.commit(2_000).expect("committed");
    assert_eq!(runs(&disk, last), kept);
    assert!(disk.happened().full > 0);
}

#[test]
fn a_record_larger_than_a_segment_is_refused_and_nothing_else() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let mut large = OwnedRun::new(1, 1);
    large.frames = vec![vec![b'x'; 1024]];
    let refused = large.lend(|run| writer.append(run, 1_000));
    assert!(
        matches!(refused, Err(AppendError::TooLarge { bytes }) if bytes > 1024),
        "{refused:?}"
    );
    append(&mut writer, &OwnedRun::new(2, 1));
    assert_eq!(writer.commit(1_000), Ok(Lsn(1)));
}

#[test]
fn a_run_that_could_not_be_read_is_refused() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let run = OwnedRun::new(1, 2);
    let long = [b'n'; 129];
    run.lend(|right| {
        let none = IndexBuilder::default();
        let mut short = IndexBuilder::default();
        short.push(5, uuid::Uuid::nil());
        let wrong = [
            Run {
                index: none.index(),
                ..*right
            },
            Run {
                index: short.index(),
                ..*right
            },
            Run {
                target: &long,
                ..*right
            },
            Run {
                source: &long,
                ..*right
            },
        ];
        for run in wrong {
            assert_eq!(writer.append(&run, 1_000), Err(AppendError::Invalid));
        }
        assert_eq!(writer.append(right, 1_000), Ok(Lsn(1)));
    });
}

#[test]
fn a_segment_that_may_have_its_name_is_no_full_disk() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    disk.fill_at_folder_sync();
    let mut last = Lsn(0);
    let failed = (0..20).find_map(|number| {
        let run = OwnedRun::new(number, 1);
        match run.lend(|run| writer.append(run, 1_000)) {
            Ok(lsn) => {
                last = lsn;
                None
            }
            Err(error) => Some(error),
        }
    });
    assert!(matches!(failed, Some(AppendError::Failed(_))), "{failed:?}");
    drop(writer);
    disk.heal();
    let (writer, _) = open_small(&disk).expect("opens");
    assert_eq!(
        runs(&disk, writer.durable()).last().map(|run| run.0),
        Some(last)
    );
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let disk = SimDisk::new(1);
    drop(open_small(&disk).expect("a new journal"));
    disk.damage(|files| {
        let file = files.get_mut("000000000001.segment").expect("there");
        file[8] = 2;
        let sum = crc32c::crc32c(&file[..56]);
        file[56..60].copy_from_slice(&sum.to_le_bytes());
    });
    let before = disk.contents();
    let accepting = Options {
        accept_loss: true,
        ..small()
    };
    for options in [small(), accepting] {
        let refused = open(disk.clone(), &options, ID, 1_000).map(|_| ());
        assert!(
            matches!(
                refused,
                Err(OpenError::Format {
                    number: 1,
                    format: 2
                })
            ),
            "{refused:?}"
        );
    }
    assert_eq!(disk.contents(), before);
}

#[test]
fn segments_keep_their_size_when_the_setting_changes() {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let mut kept = Vec::new();
    for (round, bytes) in [1024, 4096, 512].into_iter().enumerate() {
        for number in 0..20 {
            let run = OwnedRun::new(100 * round as u64 + number, 1);
            kept.push((append(&mut writer, &run), run));
        }
        writer.commit(1_000).expect("committed");
        let options = Options {
            segment_bytes: bytes,
            ..Options::default()
        };
        (writer, _) = open(disk.clone(), &options, ID, 1_000).expect("opens");
    }
    assert_eq!(runs(&disk, writer.durable()), kept);
}
