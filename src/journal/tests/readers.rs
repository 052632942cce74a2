//! Readers beside deletions, and of damaged records.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::{OwnedRun, append, open_small};
use crate::journal::storage::{Storage, StorageFile};
use crate::journal::testing::{SimDisk, SimFile};
use crate::journal::{Lsn, ReadError, Reader};

/// A disk that lists names from before a deletion, and notes the most bytes that were
/// asked for at once.
#[derive(Debug, Clone)]
struct Watched {
    disk: SimDisk,
    /// The result of the first listing.
    listed: Arc<Mutex<Option<Vec<String>>>>,
    read_max: Arc<AtomicUsize>,
}

struct WatchedFile(SimFile, Arc<AtomicUsize>);

impl Watched {
    fn new(disk: &SimDisk) -> Self {
        Self {
            disk: disk.clone(),
            listed: Arc::default(),
            read_max: Arc::default(),
        }
    }

    /// The same, with these segments in the first listing.
    fn with_listed(disk: &SimDisk, numbers: std::ops::RangeInclusive<u64>) -> Self {
        let names = numbers.map(|number| format!("{number:012}.segment"));
        let watched = Self::new(disk);
        *watched.listed.lock().expect("no panic") = Some(names.collect());
        watched
    }
}

impl Storage for Watched {
    type File = WatchedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let listed = self.listed.lock().expect("no panic").take();
        listed.map_or_else(|| self.disk.list(), Ok)
    }

    fn create(&self, name: &str) -> io::Result<WatchedFile> {
        let file = self.disk.create(name)?;
        Ok(WatchedFile(file, Arc::clone(&self.read_max)))
    }

    fn open(&self, name: &str) -> io::Result<WatchedFile> {
        let file = self.disk.open(name)?;
        Ok(WatchedFile(file, Arc::clone(&self.read_max)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
}

impl StorageFile for WatchedFile {
    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.1.fetch_max(buffer.len(), Ordering::Relaxed);
        self.0.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(bytes, at)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// A journal of several segments. Returns the last record as well.
fn journal() -> (SimDisk, Lsn) {
    let disk = SimDisk::new(1);
    let (mut writer, _) = open_small(&disk).expect("a new journal");
    let appended = (0..30).map(|number| append(&mut writer, &OwnedRun::new(number, 1)));
    let last = appended.last().expect("thirty");
    writer.commit(1_000).expect("committed");
    assert!(disk.contents().len() > 4);
    (disk, last)
}

/// Reads on until an error.
fn error(reader: &mut Reader<impl Storage>, last: Lsn) -> ReadError {
    loop {
        match reader.next(last) {
            Ok(record) => assert!(record.is_some(), "no error"),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_segment_that_is_deleted_under_a_reader_is_told_as_deleted() {
    let (disk, last) = journal();
    let mut reader = Reader::new(Watched::new(&disk), Lsn(1)).expect("readable");
    for name in ["000000000001.segment", "000000000002.segment"] {
        disk.remove(name).expect("there");
    }
    // The reader has the first segment open, and goes on in it.
    let error = error(&mut reader, last);
    let ReadError::Deleted { asked, first } = error else {
        panic!("{error:?}");
    };
    assert!(Lsn(1) < asked && asked < first);
    let mut reader = Reader::new(disk, first).expect("readable");
    let record = reader.next(last).expect("readable").expect("there");
    assert_eq!(record.header.lsn, first);
}

#[test]
fn a_missing_segment_behind_one_that_is_there_is_damage() {
    let (disk, last) = journal();
    disk.remove("000000000002.segment").expect("there");
    let mut reader = Reader::new(disk, Lsn(1)).expect("readable");
    let error = error(&mut reader, last);
    assert!(matches!(error, ReadError::Damaged { .. }), "{error:?}");
}

#[test]
fn segments_that_are_deleted_while_a_reader_begins_are_no_failure() {
    let (disk, last) = journal();
    for name in ["000000000001.segment", "000000000002.segment"] {
        disk.remove(name).expect("there");
    }
    let refused = Reader::new(Watched::with_listed(&disk, 1..=3), Lsn(1)).map(|_| ());
    assert!(
        matches!(refused, Err(ReadError::Deleted { asked: Lsn(1), first }) if first > Lsn(1)),
        "{refused:?}"
    );
    // All that were listed are gone: there are newer ones.
    let reader = Reader::new(Watched::with_listed(&disk, 1..=2), last);
    let record = reader.and_then(|mut reader| Ok(reader.next(last)?.is_some()));
    assert!(matches!(record, Ok(true)), "{record:?}");
}

#[test]
fn a_wrong_length_is_damage_and_takes_no_memory() {
    for bit in 0..32 {
        let (disk, last) = journal();
        disk.damage(|files| {
            let file = files.get_mut("000000000001.segment").expect("there");
            file[64 + bit / 8] ^= 1 << (bit % 8);
        });
        let watched = Watched::new(&disk);
        let read_max = Arc::clone(&watched.read_max);
        let mut reader = Reader::new(watched, Lsn(1)).expect("readable");
        let error = error(&mut reader, last);
        let is_told = matches!(
            error,
            ReadError::Damaged {
                lsn: Lsn(1),
                segment: 1,
                at: 64
            }
        );
        assert!(is_told, "bit {bit}: {error:?}");
        let read_max = read_max.load(Ordering::Relaxed);
        assert!(read_max <= 1024, "bit {bit}: {read_max} bytes at once");
    }
}
