//! The records of a journal from one on, in their order; also while it is written.

use std::io;

use super::record::{self, ALIGN, Found, Record};
use super::segment::{self, HEADER_BYTES, SegmentHeader};
use super::storage::{Storage, StorageFile};
use super::{Lsn, OpenError, Position};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// How often all segments that were listed may be deleted before one is opened.
const LISTINGS_MAX: usize = 16;

/// Reads records, beginning with one.
#[derive(Debug)]
pub struct Reader<S: Storage> {
    storage: S,
    number: u64,
    file: S::File,
    /// The size of the segment, by its header.
    segment_bytes: u64,
    /// The number of the next record in the file.
    next: Lsn,
    /// The place of the segment where `buffer` begins.
    buffer_at: u64,
    buffer: Vec<u8>,
    /// The place of the next record in `buffer`.
    at: usize,
}

/// Why a record can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file system failed.
    #[error("the journal can't be read: {0}")]
    Storage(#[source] io::Error),
    /// The journal can't be opened for reading.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The record is not there, though it was written.
    #[error("record {lsn} is damaged, in segment {segment} at byte {at}")]
    Damaged {
        /// The record's number.
        lsn: Lsn,
        /// The segment that it should stand in.
        segment: u64,
        /// Where in the segment.
        at: u64,
    },
    /// The journal begins later: the record was deleted.
    #[error("record {asked} is no longer in the journal, which begins with {first}")]
    Deleted {
        /// The record that was asked for.
        asked: Lsn,
        /// The first record that is there.
        first: Lsn,
    },
}

impl<S: Storage> Reader<S> {
    /// A reader that begins with `from`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn new(storage: S, from: Lsn) -> Result<Self, ReadError> {
        let (file, header) = open_holding(&storage, from)?;
        let mut reader = Self {
            storage,
            number: header.number,
            file,
            segment_bytes: header.bytes.into(),
            next: header.first,
            buffer_at: HEADER_BYTES as u64,
            buffer: Vec::new(),
            at: 0,
        };
        while reader.next < from {
            let before = Lsn(from.0 - 1);
            if reader.next(before)?.is_none() {
                break;
            }
        }
        Ok(reader)
    }

    /// A reader that begins with the record at `position`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn at(storage: S, position: Position) -> Result<Self, ReadError> {
        let Some((file, header)) = open(&storage, position.segment)? else {
            let first = first_header(&storage)?.map_or(Lsn(1), |header| header.first);
            let asked = position.lsn;
            return Err(ReadError::Deleted { asked, first });
        };
        Ok(Self {
            storage,
            number: position.segment,
            file,
            segment_bytes: header.bytes.into(),
            next: position.lsn,
            buffer_at: position.at,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// The next record, if it is one of those up to `durable`, which were written.
    ///
    /// # Errors
    /// See [`ReadError`]. The next call tries the same record again.
    pub fn next(&mut self, durable: Lsn) -> Result<Option<Record<'_>>, ReadError> {
        if self.next > durable {
            return Ok(None);
        }
        self.find()?;
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let Some(record) = record::decode(rest) else {
            return Err(self.damaged());
        };
        self.at += record.padded();
        self.next = record.last().next();
        Ok(Some(record))
    }

    /// Has the next record, which was written, in the buffer as a whole, and checks it.
    fn find(&mut self) -> Result<(), ReadError> {
        let mut wanted = ALIGN;
        // Bytes that were read earlier may have been read before they were written.
        let mut is_fresh = self.buffer.len() == self.at;
        loop {
            self.fill(wanted).map_err(ReadError::Storage)?;
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            match record::find(rest, self.number) {
                Found::Record(record) if record.header.lsn == self.next => return Ok(()),
                Found::Longer(bytes) if bytes > wanted && bytes as u64 <= self.left() => {
                    wanted = bytes;
                    continue;
                }
                // Its length is wrong: no record goes beyond its segment.
                Found::Longer(bytes) if bytes > wanted && is_fresh => return Err(self.damaged()),
                Found::Record(_) | Found::Damage if is_fresh => return Err(self.damaged()),
                _ => {}
            }
            wanted = ALIGN;
            if !is_fresh {
                self.buffer.truncate(self.at);
                is_fresh = true;
            } else if !self.begin_next_segment()? {
                return Err(self.damaged());
            }
        }
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged {
            lsn: self.next,
            segment: self.number,
            at: self.buffer_at + self.at as u64,
        }
    }

    /// The bytes of the segment from the next record on.
    fn left(&self) -> u64 {
        self.segment_bytes
            .saturating_sub(self.buffer_at + self.at as u64)
    }

    /// Reads until the buffer has `wanted` bytes from the next record on, or the segment
    /// has ended.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.buffer.len().saturating_sub(self.at) >= wanted {
            return Ok(());
        }
        self.buffer_at += self.at as u64;
        self.buffer.clear();
        self.at = 0;
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        self.buffer.resize(wanted.max(READ_BYTES).min(left), 0);
        let mut filled = 0;
        while filled < wanted {
            let at = self.buffer_at + filled as u64;
            match self.file.read_at(&mut self.buffer[filled..], at)? {
                0 => break,
                some => filled += some,
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }

    /// Goes to the next segment, if it begins with the next record.
    fn begin_next_segment(&mut self) -> Result<bool, ReadError> {
        let number = self.number + 1;
        let Some((file, header)) = open(&self.storage, number)? else {
            return match first_header(&self.storage)? {
                Some(first) if first.number > number => Err(ReadError::Deleted {
                    asked: self.next,
                    first: first.first,
                }),
                _ => Ok(false),
            };
        };
        if header.first != self.next {
            return Ok(false);
        }
        self.number = number;
        self.file = file;
        self.segment_bytes = header.bytes.into();
        self.buffer_at = HEADER_BYTES as u64;
        self.buffer.clear();
        self.at = 0;
        Ok(true)
    }
}

/// An open segment, and its header.
type Opened<S> = (<S as Storage>::File, SegmentHeader);

/// Opens the segment in which the record `from` stands, or will.
fn open_holding<S: Storage>(storage: &S, from: Lsn) -> Result<Opened<S>, ReadError> {
    for _ in 0..LISTINGS_MAX {
        let numbers = segment::numbers(storage)?;
        let mut first = numbers.is_empty().then_some(Lsn(1));
        for number in numbers.into_iter().rev() {
            // One that is not there any more was deleted, and those before it.
            let Some(opened) = open(storage, number)? else {
                break;
            };
            if opened.1.first <= from {
                return Ok(opened);
            }
            first = Some(opened.1.first);
        }
        if let Some(first) = first {
            return Err(ReadError::Deleted { asked: from, first });
        }
    }
    Err(ReadError::Storage(io::ErrorKind::NotFound.into()))
}

/// The header of the first segment that is there.
fn first_header<S: Storage>(storage: &S) -> Result<Option<SegmentHeader>, ReadError> {
    for number in segment::numbers(storage)? {
        if let Some((_, header)) = open(storage, number)? {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

/// Opens a segment, and reads its header. `None` if there is no such segment.
fn open<S: Storage>(storage: &S, number: u64) -> Result<Option<Opened<S>>, ReadError> {
    let file = match storage.open(&segment::name_of(number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(ReadError::Storage)?,
    };
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(&mut bytes, 0).map_err(ReadError::Storage)?;
    let header = SegmentHeader::decode(&bytes).ok();
    let header = header.filter(|header| header.number == number);
    let header = header.ok_or(ReadError::Damaged {
        lsn: Lsn(0),
        segment: number,
        at: 0,
    })?;
    Ok(Some((file, header)))
}
