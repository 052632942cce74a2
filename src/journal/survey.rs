//! A look at the headers of all segments, to find the segment that recovery begins with.

use std::io;

use super::OpenError;
use super::record::{self, ALIGN, Content, Found};
use super::segment::{self, HEADER_BYTES, SegmentHeader, SegmentPlace};
use super::storage::{Storage, StorageFile};

/// The segments of a journal, by their headers.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) segments: Vec<SegmentPlace>,
    /// The segment from which on all must be read: of the latest checkpoint, or of the
    /// oldest message that is unsettled there.
    pub(super) start: u64,
    /// The last segment that begins with a checkpoint; 0 if none does.
    pub(super) checkpoint: u64,
}

impl Survey {
    /// Looks at all segments. `None` if one of them is not as it should be: then all
    /// must be read.
    pub(super) fn of(storage: &impl Storage) -> Result<Option<Self>, OpenError> {
        let mut survey = Self::default();
        let mut last: Option<SegmentHeader> = None;
        for number in segment::numbers(storage)? {
            let header = header(storage, number).map_err(OpenError::Storage)?;
            let follows = |header: &SegmentHeader| {
                last.is_none_or(|last| {
                    last.number + 1 == number
                        && last.journal == header.journal
                        && last.first <= header.first
                })
            };
            let Some(header) = header.filter(follows) else {
                return Ok(None);
            };
            survey.segments.push(SegmentPlace::of(&header));
            last = Some(header);
        }
        survey.start = survey.segments.first().map_or(0, |place| place.number);
        for (at, place) in survey.segments.iter().enumerate().rev() {
            let oldest = oldest_unsettled(storage, place).map_err(OpenError::Storage)?;
            if let Some(oldest) = oldest {
                survey.checkpoint = place.number;
                let mut needed = survey.segments[..=at].iter().rev();
                let start = needed.find(|place| place.first <= oldest);
                survey.start = start.map_or(survey.start, |place| place.number);
                break;
            }
        }
        Ok(Some(survey))
    }
}

/// The header of a segment, if it is whole and tells the file's size.
fn header(storage: &impl Storage, number: u64) -> io::Result<Option<SegmentHeader>> {
    let file = storage.open(&segment::name_of(number))?;
    let mut header = [0; HEADER_BYTES];
    read(&file, &mut header, 0)?;
    let size = file.bytes()?;
    let header = SegmentHeader::decode(&header).ok();
    let is_right =
        |header: &SegmentHeader| header.number == number && u64::from(header.bytes) == size;
    Ok(header.filter(is_right))
}

/// The oldest record with an unsettled message, by the checkpoint at the segment's
/// beginning: that itself if all is settled. `None` if there is no checkpoint.
fn oldest_unsettled(
    storage: &impl Storage,
    place: &SegmentPlace,
) -> io::Result<Option<super::Lsn>> {
    let file = storage.open(&segment::name_of(place.number))?;
    let mut bytes = vec![0; ALIGN];
    loop {
        let filled = read(&file, &mut bytes, HEADER_BYTES as u64)?;
        match record::find(&bytes[..filled], place.number) {
            Found::Longer(more) if more > bytes.len() && (more as u64) < place.bytes => {
                bytes.resize(more, 0);
            }
            Found::Record(record) if record.header.lsn == place.first => {
                let Content::Checkpoint(checkpoint) = record.content else {
                    return Ok(None);
                };
                return Ok(Some(checkpoint.ledger().oldest().unwrap_or(place.first)));
            }
            _ => return Ok(None),
        }
    }
}

/// Fills `buffer` from `at` on, and returns how far the file reached.
fn read(file: &impl StorageFile, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64)? {
            0 => break,
            some => filled += some,
        }
    }
    Ok(filled)
}
