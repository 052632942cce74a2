//! A segment: a file of fixed size, full of zeros when it is made, that begins with a
//! header and is filled with records.

use std::io;

use super::record::{number_u32, number_u64};
use super::storage::{Storage, StorageFile};
use super::{Lsn, OpenError};

/// The version of the format that is written and read.
pub(super) const FORMAT: u32 = 1;
/// The header's bytes. Records begin behind it.
pub(super) const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"tickwire";
/// The highest number of a segment: there is always a next one.
const NUMBER_MAX: u64 = u64::MAX / 2;
/// Zeros that are written at once to a new segment.
const ZEROS_BYTES: usize = 1 << 20;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Which journal: drawn when its first segment is made.
    pub(super) journal: u128,
    /// The segments of a journal are numbered from 1 on.
    pub(super) number: u64,
    /// The number of its first record.
    pub(super) first: Lsn,
    /// The checksum of the last record before it; 0 if there is none.
    pub(super) previous: u32,
    /// The size of the file.
    pub(super) bytes: u32,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// They are of a format that is not known here.
    Format(u32),
    Damaged,
}

/// Why a segment was not made.
#[derive(Debug)]
pub(super) enum NotMade {
    /// It has no name yet: nothing counts of it.
    Unfinished(io::Error),
    /// It may have its name, on disk or not.
    Unknown(io::Error),
}

impl From<NotMade> for io::Error {
    fn from(not_made: NotMade) -> Self {
        match not_made {
            NotMade::Unfinished(error) | NotMade::Unknown(error) => error,
        }
    }
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.bytes.to_le_bytes());
        bytes.extend_from_slice(&self.journal.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header[..bytes.len()].copy_from_slice(&bytes);
        header
    }

    /// Reads the header at the front of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.first_chunk::<HEADER_BYTES>();
        let header = header.ok_or(HeaderError::Damaged)?;
        let (covered, behind) = header.split_at(HEADER_BYTES - 8);
        let is_whole =
            crc32c::crc32c(covered) == number_u32(behind, 0) && number_u32(behind, 4) == 0;
        if !is_whole || !covered.starts_with(MAGIC) {
            return Err(HeaderError::Damaged);
        }
        let format = number_u32(header, 8);
        if format != FORMAT {
            return Err(HeaderError::Format(format));
        }
        let first = Lsn(number_u64(header, 40));
        let bytes = number_u32(header, 12);
        if first == Lsn(0) || (bytes as usize) < HEADER_BYTES {
            return Err(HeaderError::Damaged);
        }
        Ok(Self {
            bytes,
            journal: u128::from(number_u64(header, 16)) | u128::from(number_u64(header, 24)) << 64,
            number: number_u64(header, 32),
            first,
            previous: number_u32(header, 48),
        })
    }

    /// Makes the file: zeros and the header, on disk before it has its name.
    ///
    /// An unfinished file has another name, and is removed at the next start.
    ///
    /// # Errors
    /// Whether the segment may be there, and the reason.
    pub(super) fn create<S: Storage>(&self, storage: &S) -> Result<S::File, NotMade> {
        let (name, unfinished) = (name_of(self.number), unfinished_name_of(self.number));
        // Left by an attempt that failed.
        let _ = storage.remove(&unfinished);
        let created = self.fill(storage, &unfinished);
        if created.is_err() {
            // It may be half there, or not at all.
            let _ = storage.remove(&unfinished);
        }
        let file = created.map_err(NotMade::Unfinished)?;
        let named = storage.rename(&unfinished, &name);
        let synced = named.and_then(|()| storage.sync_folder());
        synced.map_err(NotMade::Unknown)?;
        Ok(file)
    }

    fn fill<S: Storage>(&self, storage: &S, name: &str) -> io::Result<S::File> {
        let file = storage.create(name)?;
        // Written, not only reserved: otherwise the file system notes at each sync
        // which parts of the reserved room are in use.
        let zeros = vec![0; ZEROS_BYTES.min(self.bytes as usize)];
        let mut at = 0;
        while at < u64::from(self.bytes) {
            let left = u64::from(self.bytes) - at;
            let piece = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.write_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        file.write_at(&self.encode(), 0)?;
        file.sync()?;
        Ok(file)
    }
}

/// Where a segment stands in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentPlace {
    pub(super) number: u64,
    pub(super) first: Lsn,
    /// The size of the file.
    pub(super) bytes: u64,
}

impl SegmentPlace {
    pub(super) fn of(header: &SegmentHeader) -> Self {
        Self {
            number: header.number,
            first: header.first,
            bytes: u64::from(header.bytes),
        }
    }
}

/// The name of a segment's file.
pub(super) fn name_of(number: u64) -> String {
    format!("{number:012}.segment")
}

fn unfinished_name_of(number: u64) -> String {
    format!("{number:012}.unfinished")
}

/// Returns whether a file is the beginning of a segment that was never finished.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with(".unfinished")
}

/// The number of the segment in the file `name`.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".segment")?.parse().ok()?;
    let is_possible = (1..=NUMBER_MAX).contains(&number);
    (is_possible && name_of(number) == name).then_some(number)
}

/// The numbers of all segments, in their order.
pub(super) fn numbers(storage: &impl Storage) -> Result<Vec<u64>, OpenError> {
    let names = storage.list().map_err(OpenError::Storage)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a whole segment into `bytes`.
pub(super) fn read(storage: &impl Storage, number: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let file = storage.open(&name_of(number))?;
    let length = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
    // A segment is never longer: a file that is was not made here.
    bytes.resize(length.min(u32::MAX as usize), 0);
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], at as u64)? {
            0 => break,
            some => at += some,
        }
    }
    bytes.truncate(at);
    Ok(())
}
