//! Opening a journal: damage is judged and mended, and the writer goes on behind the
//! last record.

use std::fmt;
use std::io;

use super::Lsn;
use super::inspect::{Damage, DamagedPart, Fate, Inspection, inspect};
use super::record::{self, ALIGN, Content, Found, Gap, RecordHeader};
use super::segment::{self, FORMAT, HEADER_BYTES, SegmentHeader};
use super::storage::{Storage, StorageFile};
use super::writer::Writer;
use crate::limits::JOURNAL_SEGMENT_BYTES;

/// How a journal is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The size of new segments, in bytes; a multiple of 64.
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

/// What was found when a journal was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The damages that were mended.
    pub mended: Vec<(Damage, Fate)>,
    /// The journal afterwards.
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
        f.write_str(". Restore it from a copy, or accept the loss of these records")
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, first, .. } = self;
        let last = self.next.map(|next| Lsn(next.0 - 1));
        match self.part {
            DamagedPart::Header => write!(f, "the header of segment {segment}")?,
            DamagedPart::Segments(1) => write!(f, "segment {segment} is missing")?,
            DamagedPart::Segments(count) => {
                write!(
                    f,
                    "segments {segment} to {} are missing",
                    segment + count - 1
                )?;
            }
            DamagedPart::Records => {
                write!(f, "bytes {} to {} of segment {segment}", self.from, self.to)?;
            }
        }
        match last {
            Some(last) if last < *first => write!(f, " (no record is lost)"),
            Some(last) => write!(f, " (records {first} to {last})"),
            None => write!(f, " (records from {first} on)"),
        }
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
    let mut recovery = Recovery::default();
    let mut found = inspect(&storage, |_| ())?;
    // Each pass mends what the pass before has uncovered: a header, then the records
    // behind it.
    let mut passes = 0;
    while !found.damages.is_empty() {
        let is_corrupt = found
            .damages
            .iter()
            .any(|damage| found.fate(damage) == Fate::Corruption);
        if is_corrupt && !options.accept_loss || passes == PASSES_MAX {
            return Err(OpenError::Corrupt(Corruption(Box::new(found))));
        }
        let mut mender = Mender {
            storage: &storage,
            found: &found,
            options,
            id: found.journal.unwrap_or(id),
            kept_aside: None,
        };
        mender.mend(&mut recovery).map_err(OpenError::Storage)?;
        found = inspect(&storage, |_| ())?;
        passes += 1;
    }
    remove_unfinished(&storage).map_err(OpenError::Storage)?;
    let writer = writer(storage, options, id, now, &found).map_err(OpenError::Storage)?;
    recovery.found = found;
    Ok((writer, recovery))
}

const PASSES_MAX: u32 = 4;

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
        return Ok(Writer::new(
            storage,
            &header,
            options,
            file,
            HEADER_BYTES as u64,
            now,
        ));
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
    Ok(Writer::new(
        storage,
        &header,
        options,
        file,
        last.used_bytes,
        now,
    ))
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

/// Mends the damages of one inspection.
struct Mender<'a, S> {
    storage: &'a S,
    found: &'a Inspection,
    options: &'a Options,
    id: u128,
    /// The segment that was copied last.
    kept_aside: Option<u64>,
}

impl<S: Storage> Mender<'_, S> {
    fn mend(&mut self, recovery: &mut Recovery) -> io::Result<()> {
        for damage in &self.found.damages {
            let fate = self.found.fate(damage);
            recovery.mended.push((*damage, fate));
            match (fate, damage.part) {
                (Fate::Harmless, _) => self.clear(damage, damage.to)?,
                (Fate::TornTail, _) => {
                    self.clear(damage, self.segment_bytes(damage.segment))?;
                    // All behind it is part of the tail.
                    return Ok(());
                }
                (Fate::Corruption, DamagedPart::Segments(count)) => self.replace(damage, count)?,
                (Fate::Corruption, part) => {
                    self.keep_aside(damage.segment)?;
                    match part {
                        DamagedPart::Header => self.write_header(damage)?,
                        _ => self.write_gap(damage)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn segment_bytes(&self, number: u64) -> u64 {
        let segment = self.found.segments.iter().find(|own| own.number == number);
        segment.map_or(0, |segment| segment.bytes)
    }

    /// Writes zeros from the damage on.
    fn clear(&self, damage: &Damage, to: u64) -> io::Result<()> {
        let file = self.storage.open(&segment::name_of(damage.segment))?;
        file.write_at(
            &vec![0; to.saturating_sub(damage.from) as usize],
            damage.from,
        )?;
        file.sync()
    }

    /// Copies the segment to a file that nothing reads.
    fn keep_aside(&mut self, number: u64) -> io::Result<()> {
        if self.kept_aside.replace(number) == Some(number) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        segment::read(self.storage, number, &mut bytes)?;
        let names = self.storage.list()?;
        let name = (1..)
            .map(|copy| format!("{}.damaged-{copy}", segment::name_of(number)))
            .find(|name| !names.contains(name))
            .unwrap_or_default();
        let copy = self.storage.create(&name)?;
        copy.write_at(&bytes, 0)?;
        copy.sync()?;
        self.storage.sync_folder()
    }

    fn write_header(&self, damage: &Damage) -> io::Result<()> {
        let file = self.storage.open(&segment::name_of(damage.segment))?;
        let bytes = file.bytes()?.max(u64::from(self.options.segment_bytes));
        let header = SegmentHeader {
            journal: self.id,
            number: damage.segment,
            first: damage.next.unwrap_or(damage.first),
            previous: damage.next.map_or(damage.chain, |_| damage.next_previous),
            bytes: bytes as u32,
        };
        file.write_at(&header.encode(), 0)?;
        file.sync()
    }

    fn write_gap(&self, damage: &Damage) -> io::Result<()> {
        let file = self.storage.open(&segment::name_of(damage.segment))?;
        let mut bytes = Vec::new();
        self.encode_gap(
            damage,
            damage.to.saturating_sub(damage.from) as u32,
            &mut bytes,
        );
        file.write_at(&bytes, damage.from)?;
        file.sync()
    }

    /// Makes the segments that are missing, with a gap in the first.
    fn replace(&self, damage: &Damage, count: u64) -> io::Result<()> {
        for number in damage.segment..damage.segment + count {
            let is_first = number == damage.segment;
            let next = damage.next.unwrap_or(damage.first);
            let header = SegmentHeader {
                journal: self.id,
                number,
                first: if is_first { damage.first } else { next },
                previous: if is_first {
                    damage.chain
                } else {
                    damage.next_previous
                },
                bytes: self.options.segment_bytes,
            };
            let file = header.create(self.storage)?;
            if is_first && next > damage.first {
                let mut bytes = Vec::new();
                self.encode_gap(damage, ALIGN as u32, &mut bytes);
                file.write_at(&bytes, HEADER_BYTES as u64)?;
                file.sync()?;
            }
        }
        Ok(())
    }

    fn encode_gap(&self, damage: &Damage, bytes: u32, out: &mut Vec<u8>) {
        let next = damage.next.unwrap_or(damage.first);
        let header = RecordHeader {
            lsn: damage.first,
            durable: self.found.durable,
            time: self.found.time,
            previous: damage.chain,
        };
        let gap = Gap {
            first: damage.first,
            last: Lsn(next.0.saturating_sub(1)),
            next_previous: damage.next_previous,
            bytes,
        };
        record::encode(out, damage.segment, &header, &Content::Gap(gap));
    }
}
