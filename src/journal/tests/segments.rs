//! The sizes of segments, and the segments that are deleted.

use super::{ID, OwnedRun, append, runs};
use crate::journal::testing::SimDisk;
use crate::journal::{OpenError, Options, open};
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
