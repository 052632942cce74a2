//! Opening a journal: damage is judged and mended, and the writer goes on behind the
//! last record.

use std::fmt;
use std::io;

use super::Lsn;
use super::damage::{Damage, Fate};
use super::inspect::{Inspection, inspect_from};
use super::loss::forget_lost;
use super::mending::Mender;
use super::record::{self, ALIGN, Found};
use super::segment::{self, FORMAT, HEADER_BYTES, SegmentHeader, SegmentPlace};
use super::storage::{Storage, StorageFile};
use super::survey::Survey;
use super::writer::{Place, Writer};
use crate::limits::{JOURNAL_SEGMENT_BYTES, JOURNAL_SEGMENT_BYTES_MIN};

/// How a journal is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The size of new segments, in bytes: a multiple of 64, and at least 512. A record
    /// that doesn't fit one is refused.
    pub segment_bytes: u32,
    /// Whether a journal that has lost records is opened all the same. Its damaged
    /// segments are kept aside, and gaps stand for the lost records.
    pub accept_loss: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: JOURNAL_SEGMENT_BYTES,
            accept_loss: false,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), OpenError> {
        let bytes = self.segment_bytes;
        if bytes < JOURNAL_SEGMENT_BYTES_MIN || !bytes.is_multiple_of(ALIGN as u32) {
            return Err(OpenError::SegmentBytes { bytes });
        }
        Ok(())
    }
}

/// The state in which a journal was found when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The damages that were mended.
    pub mended: Vec<(Damage, Fate)>,
    /// The journal as it was read when it was mended, from the segment on that the start
    /// needed.
    pub found: Inspection,
}

/// Why a journal can't be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file system failed.
    #[error("the journal can't be read or written: {0}")]
    Storage(#[source] io::Error),
    /// A segment has a format that is not known here.
    #[error(
        "segment {number} of the journal has format {format}, this version knows {FORMAT}: \
         use the version of tickwire that wrote it"
    )]
    Format {
        /// The segment's number.
        number: u64,
        /// Its format.
        format: u32,
    },
    /// The size of new segments is none that a segment can have.
    #[error(
        "segments of {bytes} bytes can't be: choose a multiple of {ALIGN}, and at least \
         {JOURNAL_SEGMENT_BYTES_MIN}"
    )]
    SegmentBytes {
        /// The size that was asked for.
        bytes: u32,
    },
    /// So many segments are missing in front of one that it can't belong to the others.
    #[error(
        "{missing} segments are missing between {} and {}: move the file that is not of this \
         journal out of its folder",
        segment::name_of(*before),
        segment::name_of(*number)
    )]
    Stray {
        /// The number of the segment before those that are missing.
        before: u64,
        /// The number of the segment behind them.
        number: u64,
        /// How many are missing.
        missing: u64,
    },
    /// A segment is of another journal than those before it.
    #[error(
        "{} is of another journal than the segments before it: move the file that is not of \
         this journal out of its folder, and restore the one that was there",
        segment::name_of(*number)
    )]
    Foreign {
        /// The segment's number.
        number: u64,
    },
    /// Records are damaged that were on disk.
    #[error("{0}")]
    Corrupt(Corruption),
}

/// The damage of a journal that has lost records which were on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption(pub Box<Inspection>);

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the journal is damaged:")?;
        let corrupt = |damage: &&Damage| self.0.fate(damage) == Fate::Corruption;
        for (at, damage) in self.0.damages.iter().filter(corrupt).enumerate() {
            let separator = if at == 0 { " " } else { "; " };
            write!(f, "{separator}{damage}")?;
        }
        f.write_str(
            ". Restore it from a copy, or accept the loss of these records (serve --accept-loss)",
        )
    }
}

/// Opens a journal, or makes one in an empty place. `id` is the identity of a new
/// journal: draw it. `now` is the time in microseconds since 1970.
///
/// # Errors
/// See [`OpenError`]. After an error of the file system mending may have begun; it goes
/// on at the next call.
pub fn open<S: Storage>(
    storage: S,
    options: &Options,
    id: u128,
    now: u64,
) -> Result<(Writer<S>, Recovery), OpenError> {
    options.check()?;
    let mut recovery = Recovery::default();
    let mut start = Survey::of(&storage)?.map_or(0, |survey| survey.start);
    let mut passes = 0;
    let mut found = loop {
        let found = inspect_from(&storage, start, |_| ())?;
        if found.damages.is_empty() {
            break found;
        }
        let mut fates = found.damages.iter().map(|damage| found.fate(damage));
        let is_corrupt = fates.any(|fate| fate == Fate::Corruption);
        if is_corrupt && start > 0 {
            // All of it is to be told, and mended.
            start = 0;
            continue;
        }
        if is_corrupt && !options.accept_loss || passes == PASSES_MAX {
            return Err(OpenError::Corrupt(Corruption(Box::new(found))));
        }
        // A mended header uncovers the records behind it: they are for the next pass.
        let mut mender = Mender {
            storage: &storage,
            found: &found,
            options,
            id: found.journal.unwrap_or(id),
            kept_aside: None,
        };
        mender.mend(&mut recovery).map_err(OpenError::Storage)?;
        passes += 1;
    };
    remove_unfinished(&storage).map_err(OpenError::Storage)?;
    // Without damage it has all segments: only so are none deleted from their middle.
    let survey = Survey::of(&storage)?.ok_or_else(|| OpenError::Storage(changed()))?;
    let is_other = forget_lost(&storage, &mut found)?;
    let place = Place {
        written: found.segments.last().map_or(0, |last| last.used_bytes),
        ledger: std::mem::take(&mut found.ledger),
        segments: survey.segments,
        // Before the ledger is stated no segment is deleted.
        checkpoint: if is_other { 0 } else { survey.checkpoint },
    };
    let writer = writer(storage, options, id, now, &found, place);
    let mut writer = writer.map_err(OpenError::Storage)?;
    if is_other {
        let stated = writer.state_ledger(now);
        stated.map_err(|failed| OpenError::Storage(failed.0.into()))?;
    }
    recovery.found = found;
    Ok((writer, recovery))
}

const PASSES_MAX: u32 = 8;

/// Another process has the folder's files in hand.
fn changed() -> io::Error {
    io::Error::other("its segments changed while it was opened")
}

fn remove_unfinished(storage: &impl Storage) -> io::Result<()> {
    for name in storage.list()? {
        if segment::is_unfinished(&name) {
            storage.remove(&name)?;
        }
    }
    Ok(())
}

/// The writer behind the last record. All records are on disk afterwards.
fn writer<S: Storage>(
    storage: S,
    options: &Options,
    id: u128,
    now: u64,
    found: &Inspection,
    mut place: Place,
) -> io::Result<Writer<S>> {
    let (Some(last), Some(journal)) = (found.segments.last(), found.journal) else {
        let header = SegmentHeader {
            journal: id,
            number: 1,
            first: Lsn(1),
            previous: 0,
            bytes: options.segment_bytes,
        };
        let file = header.create(&storage)?;
        place.written = HEADER_BYTES as u64;
        place.segments.push(SegmentPlace::of(&header));
        return Ok(Writer::new(storage, &header, options, file, place, now));
    };
    // A segment may have got its name just before the process or a sync ended.
    storage.sync_folder()?;
    let file = storage.open(&segment::name_of(last.number))?;
    write_again(&storage, &file, last.number, found.durable)?;
    let header = SegmentHeader {
        journal,
        number: last.number,
        first: found.next,
        previous: found.chain,
        bytes: last.bytes as u32,
    };
    let now = now.max(found.time);
    Ok(Writer::new(storage, &header, options, file, place, now))
}

/// Writes the records again that no record states to be on disk. After a failed sync the
/// system may show them although the disk has them not, and would not write them.
fn write_again<S: Storage>(
    storage: &S,
    file: &S::File,
    number: u64,
    durable: Lsn,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    segment::read(storage, number, &mut bytes)?;
    let (mut at, mut first) = (HEADER_BYTES, None);
    while let Some(Found::Record(record)) = bytes.get(at..).map(|rest| record::find(rest, number)) {
        if record.last() > durable {
            first.get_or_insert(at);
        }
        at += record.padded();
    }
    if let Some(records) = first.and_then(|first| bytes.get(first..at)) {
        file.write_at(records, (at - records.len()) as u64)?;
    }
    file.sync()
}
