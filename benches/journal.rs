//! The journal on this machine's disk: commits beside a bare `fdatasync`, and reading.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tickwire::journal::{Folder, IndexBuilder, Lsn, Options, Reader, Run, Writer, inspect, open};
use tickwire::wire::write_frame;
use tickwire_load::messages::{Example, Selection, Target, variants};

/// Messages that wait for a commit together.
const IN_FLIGHT: usize = 1_024;
/// Messages of one read of a socket: 64 KiB of orders.
const A_READ: usize = 128;
/// Messages of the journal that is read.
const STORED: usize = 512 * IN_FLIGHT;

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}

/// Orders as a read has them.
struct Orders {
    frames: Vec<u8>,
    index: IndexBuilder,
}

impl Orders {
    fn new(count: usize) -> Self {
        let (mut frames, mut index) = (Vec::new(), IndexBuilder::default());
        let orders = Selection::One(Example::Order);
        for json in variants(&orders, count, None, Target::Keep) {
            write_frame(&mut frames, &json).expect("an order fits a frame");
            index.push(frames.len() as u32, uuid::Uuid::new_v4());
        }
        Self { frames, index }
    }

    fn append(&self, writer: &mut Writer<Folder>) -> Lsn {
        let run = Run {
            target: b"api-gateway",
            source: b"quantower-connector",
            sequence: 1,
            index: self.index.index(),
            frames: &self.frames,
        };
        writer.append(&run, 0).expect("there is room")
    }
}

fn writer(at: &TempDir) -> Writer<Folder> {
    let folder = Folder::lock(at.path()).expect("its own");
    let opened = open(folder, &Options::default(), 1, 0);
    opened.expect("a new journal").0
}

/// Calls `step` `count` times, in a journal that is made anew before it fills a segment:
/// making the next one is not measured here.
fn committing(count: u64, bytes: usize, mut step: impl FnMut(&mut Writer<Folder>)) -> Duration {
    let room = Options::default().segment_bytes as usize - 4096;
    let a_journal = (room / bytes.next_multiple_of(64)) as u64;
    let (mut took, mut left) = (Duration::ZERO, count);
    while left > 0 {
        let at = folder();
        let mut writer = writer(&at);
        let now = left.min(a_journal);
        let start = Instant::now();
        for _ in 0..now {
            step(&mut writer);
        }
        took += start.elapsed();
        left -= now;
    }
    took
}

/// Writes and syncs blocks of `bytes` bytes in a file as a segment is.
fn bare(b: &mut Bencher<'_>, bytes: usize) {
    let at = folder();
    let segment = Options::default().segment_bytes as usize;
    let file = File::create(at.path().join("block")).expect("made");
    let zeros = file.write_all_at(&vec![0; segment], 0);
    zeros.and_then(|()| file.sync_all()).expect("written");
    let (block, mut place) = (vec![7; bytes], 0);
    b.iter(|| {
        file.write_all_at(&block, place).expect("written");
        file.sync_data().expect("synced");
        place = (place + bytes as u64) % (segment - bytes) as u64;
    });
}

fn commits(c: &mut Criterion) {
    let mut group = c.benchmark_group("journal");
    group.sample_size(20);
    let one = Orders::new(1);
    group.bench_function("bare fdatasync, as one order", |b| bare(b, 1024));
    group.bench_function("bare fdatasync, as 1,024 orders", |b| {
        bare(b, IN_FLIGHT * 450);
    });
    group.bench_function("commit, one order", |b| {
        b.iter_custom(|count| {
            committing(count, 1024, |writer| {
                one.append(writer);
                writer.commit(0).expect("committed");
            })
        });
    });
    let reads = Orders::new(A_READ);
    group.throughput(Throughput::Elements(IN_FLIGHT as u64));
    group.bench_function("commit, 1,024 orders in flight", |b| {
        b.iter_custom(|count| {
            committing(count, IN_FLIGHT * 600, |writer| {
                for _ in 0..IN_FLIGHT / A_READ {
                    reads.append(writer);
                }
                writer.commit(0).expect("committed");
            })
        });
    });
    group.finish();
}

fn reading(c: &mut Criterion) {
    let at = folder();
    let mut writer = writer(&at);
    let reads = Orders::new(A_READ);
    for _ in 0..STORED / A_READ {
        reads.append(&mut writer);
    }
    let last = writer.commit(0).expect("committed");
    let storage = || Folder::read(at.path()).expect("it was made");
    let found = inspect(&storage(), |_| ()).expect("sound");
    assert_eq!(found.frames, STORED as u64);
    let used = found.segments.iter().map(|segment| segment.used_bytes);
    let mut group = c.benchmark_group("journal");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(used.sum()));
    group.bench_function("inspect", |b| {
        b.iter(|| inspect(&storage(), |_| ()).expect("sound").frames);
    });
    group.throughput(Throughput::Elements(STORED as u64));
    group.bench_function("read, in order", |b| {
        b.iter(|| {
            let mut reader = Reader::new(storage(), Lsn(1)).expect("sound");
            let mut bytes = 0;
            while let Some(record) = reader.next(last).expect("sound") {
                if let tickwire::journal::Content::Run(run) = record.content {
                    bytes += run.frames.len();
                }
            }
            bytes
        });
    });
    group.finish();
}

criterion_group!(benches, commits, reading);
criterion_main!(benches);
