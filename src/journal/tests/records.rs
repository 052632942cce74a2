//! Single records: what is written is read, and nothing else.

use proptest::prelude::*;

use super::OwnedRun;
use crate::journal::Lsn;
use crate::journal::record::{self, ALIGN, Body, Content, Found, Gap, RecordHeader};

const HEADER: RecordHeader = RecordHeader {
    lsn: Lsn(7),
    durable: Lsn(5),
    time: 1_700_000_000_000_000,
    previous: 0xDEAD_BEEF,
};

fn encoded(body: &Body<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::encode(&mut bytes, 3, &HEADER, body);
    bytes
}

proptest! {
    #[test]
    fn a_run_is_read_as_it_was_written(
        target in "[a-z]{1,128}",
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..20),
    ) {
        let run = OwnedRun { target, source: "source-12".into(), frames };
        run.lend(|lent| {
            let bytes = encoded(&Body::Run(lent));
            prop_assert_eq!(bytes.len(), Body::Run(lent).record_bytes());
            let Found::Record(found) = record::find(&bytes, 3) else {
                return Err(TestCaseError::fail("not found"));
            };
            prop_assert_eq!(found.header, HEADER);
            prop_assert_eq!(found.content, Content::Run(*lent));
            prop_assert_eq!(found.padded(), bytes.len());
            prop_assert_eq!(record::find(&bytes, 4), Found::Damage, "of another segment");
            Ok(())
        })?;
    }

    /// Recovery reads places where no record begins.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = record::find(&bytes, 1);
        let _ = record::decode(&bytes);
    }
}

#[test]
fn a_gap_covers_the_damage_and_tells_its_records() {
    for covered in [64, 128, 4096] {
        let gap = Gap {
            first: Lsn(7),
            last: Lsn(9),
            next_previous: 77,
            bytes: covered,
        };
        let bytes = encoded(&Body::Gap(gap));
        assert_eq!(bytes.len(), covered as usize);
        let Found::Record(found) = record::find(&bytes, 3) else {
            panic!("not found");
        };
        assert_eq!(found.content, Content::Gap(gap));
        assert_eq!((found.last(), found.chain()), (Lsn(9), 77));
    }
}

#[test]
fn each_flipped_bit_and_each_missing_byte_of_a_record_is_noticed() {
    let run = OwnedRun::new(12, 3);
    let of_run = run.lend(|run| encoded(&Body::Run(run)));
    let of_mark = encoded(&Body::Mark(128));
    assert_eq!(of_mark.len(), 128);
    for bytes in [of_run, of_mark] {
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let found = record::find(&flipped, 3);
            assert!(
                matches!(found, Found::Damage | Found::Longer(_)),
                "bit {at}: {found:?}"
            );
        }
        for len in 0..bytes.len() {
            let found = record::find(&bytes[..len], 3);
            assert!(matches!(found, Found::Longer(_)), "{len} bytes: {found:?}");
        }
    }
    assert_eq!(record::find(&[0; ALIGN], 3), Found::Nothing);
}

/// A checksum can be right by intent: then the content is still not trusted.
#[test]
fn a_run_with_a_wrong_index_is_damage() {
    let run = OwnedRun::new(12, 2);
    run.lend(|run| {
        let mut index = crate::journal::IndexBuilder::default();
        for (end, frames) in [(0, 1), (5, 1), (run.frames.len() as u32 + 1, 1)] {
            index.clear();
            for _ in 0..frames {
                index.push(end, uuid::Uuid::nil());
            }
            let wrong = crate::journal::Run {
                index: index.index(),
                ..*run
            };
            let bytes = encoded(&Body::Run(&wrong));
            assert_eq!(record::find(&bytes, 3), Found::Damage, "end {end}");
        }
    });
}
