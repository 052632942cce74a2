//! The journal on a simulated disk.

mod crashes;
mod damage;
mod ledger;
mod loss;
mod readers;
mod reading;
mod records;
mod segments;

use uuid::Uuid;

use super::record::Content;
use super::testing::SimDisk;
use super::{
    IndexBuilder, Lsn, OpenError, Options, ReadError, Reader, Recovery, Run, Writer, open,
};

/// The identity of the journals of these tests.
const ID: u128 = 0x7469_636B;

/// A run that a test made, with owned parts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OwnedRun {
    target: String,
    source: String,
    frames: Vec<Vec<u8>>,
}

impl OwnedRun {
    /// A run that `number` makes different from others, of `frames` frames.
    fn new(number: u64, frames: usize) -> Self {
        let frame = |at: usize| format!("\0\0\0\0frame {at} of run {number}").into_bytes();
        Self {
            target: format!("target-{}", number % 3),
            source: format!("source-{number}"),
            frames: (0..frames).map(frame).collect(),
        }
    }

    /// The id of the frame at `at`.
    fn id(&self, at: usize) -> Uuid {
        let number: u64 = self.source["source-".len()..].parse().expect("a number");
        Uuid::from_u128(u128::from(number) << 64 | at as u128)
    }

    /// Calls `with` with the run as the journal takes it.
    fn lend<T>(&self, with: impl FnOnce(&Run<'_>) -> T) -> T {
        let mut index = IndexBuilder::default();
        let mut frames = Vec::new();
        for (at, frame) in self.frames.iter().enumerate() {
            frames.extend_from_slice(frame);
            index.push(frames.len() as u32, self.id(at));
        }
        with(&Run {
            target: self.target.as_bytes(),
            source: self.source.as_bytes(),
            sequence: 1,
            index: index.index(),
            frames: &frames,
        })
    }

    fn of(run: &Run<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let owned = Self {
            target: text(run.target),
            source: text(run.source),
            frames: (run.index.frames())
                .map(|(range, _)| run.frames[range].to_vec())
                .collect(),
        };
        for (at, (_, id)) in run.index.frames().enumerate() {
            assert_eq!(id, owned.id(at));
        }
        owned
    }
}

/// Segments of few records.
fn small() -> Options {
    Options {
        segment_bytes: 1024,
        ..Options::default()
    }
}

fn open_small(disk: &SimDisk) -> Result<(Writer<SimDisk>, Recovery), OpenError> {
    open(disk.clone(), &small(), ID, 1_000)
}

fn append(writer: &mut Writer<SimDisk>, run: &OwnedRun) -> Lsn {
    run.lend(|run| writer.append(run, 1_000)).expect("appended")
}

/// All runs up to `durable` that are there, with their numbers and those of their first
/// frames.
fn numbered(disk: &SimDisk, durable: Lsn) -> Vec<(Lsn, u64, OwnedRun)> {
    let mut reader = match Reader::new(disk.clone(), Lsn(1)) {
        Err(ReadError::Deleted { first, .. }) => Reader::new(disk.clone(), first),
        reader => reader,
    }
    .expect("readable");
    let mut runs = Vec::new();
    while let Some(record) = reader.next(durable).expect("readable") {
        if let Content::Run(run) = &record.content {
            runs.push((record.header.lsn, run.sequence, OwnedRun::of(run)));
        }
    }
    runs
}

/// The same with the numbers of the records only.
fn runs(disk: &SimDisk, durable: Lsn) -> Vec<(Lsn, OwnedRun)> {
    let numbered = numbered(disk, durable).into_iter();
    numbered.map(|(lsn, _, run)| (lsn, run)).collect()
}
