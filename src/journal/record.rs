//! A record: a run of frames for one name, or the journal's own notes.
//!
//! A record begins at a multiple of [`ALIGN`] bytes, is whole within its segment, and
//! can be checked alone: so recovery finds the records behind damage. Numbers are
//! little-endian; `docs/journal.md` has the bytes.

use std::ops::Range;

use uuid::Uuid;

use super::Lsn;
use super::settlement::{Checkpoint, Settlement};
use crate::limits::NAME_BYTES_MAX;

/// Records begin at multiples of this, in bytes.
pub(super) const ALIGN: usize = 64;
/// The header's bytes.
pub(super) const HEADER_BYTES: usize = 40;
/// Bytes of the index for each frame: where it ends, and its id.
const INDEX_BYTES: usize = 20;
/// The bytes in front of a run's texts.
const RUN_PREFIX_BYTES: usize = 16;

const KIND_RUN: u8 = 1;
const KIND_MARK: u8 = 2;
const KIND_GAP: u8 = 3;
const KIND_SETTLEMENT: u8 = 4;
const KIND_CHECKPOINT: u8 = 5;

/// Everything about a record but its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// The record's number.
    pub lsn: Lsn,
    /// All records up to this one were on disk when this record was written.
    pub durable: Lsn,
    /// When the record was made, in microseconds since 1970; never less than before.
    pub time: u64,
    /// The checksum of the record before.
    pub(super) previous: u32,
}

/// Frames for one name, as they came: of one source, in one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    /// The name that the frames are for; up to 128 bytes.
    pub target: &'a [u8],
    /// The name that sent them; up to 128 bytes.
    pub source: &'a [u8],
    /// The number of the first frame among the messages for the target, from 1 on: once
    /// all are settled, they are counted anew. The writer gives it, whatever stands here.
    pub sequence: u64,
    /// The end of each frame in `frames`, and its id. Never empty, ends ascending.
    pub index: Index<'a>,
    /// The frames side by side, each with its length prefix.
    pub frames: &'a [u8],
}

impl Run<'_> {
    /// Returns whether the names are not too long, and the index is of all frames.
    pub(super) fn is_right(&self) -> bool {
        let names = [self.target, self.source];
        names.iter().all(|name| name.len() <= NAME_BYTES_MAX) && self.is_indexed()
    }

    fn is_indexed(&self) -> bool {
        let mut end = 0;
        let ascends = self.index.frames().all(|(range, _)| {
            let is_right = range.end > end;
            end = range.end;
            is_right
        });
        ascends && end > 0 && end == self.frames.len()
    }
}

/// The ends and ids of the frames of a [`Run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index<'a>(&'a [[u8; INDEX_BYTES]]);

/// Makes the index of a [`Run`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexBuilder(Vec<[u8; INDEX_BYTES]>);

impl IndexBuilder {
    /// Adds a frame that ends at `end`, in bytes from the start of the first.
    pub fn push(&mut self, end: u32, msg_id: Uuid) {
        let mut entry = [0; INDEX_BYTES];
        let (front, behind) = entry.split_at_mut(4);
        front.copy_from_slice(&end.to_le_bytes());
        behind.copy_from_slice(msg_id.as_bytes());
        self.0.push(entry);
    }

    /// The index so far.
    #[must_use]
    pub fn index(&self) -> Index<'_> {
        Index(&self.0)
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<'a> Index<'a> {
    /// The number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The range of each frame, and its id.
    pub fn frames(self) -> impl Iterator<Item = (Range<usize>, Uuid)> + 'a {
        let mut start = 0;
        self.0.iter().map(move |entry| {
            let end = number_u32(entry, 0) as usize;
            let range = start..end;
            start = end;
            let id = entry.last_chunk().copied().unwrap_or_default();
            (range, Uuid::from_bytes(id))
        })
    }
}

/// The content of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Frames for a name.
    Run(Run<'a>),
    /// Nothing: the record is there for its [`durable`](RecordHeader::durable).
    Mark {
        /// The bytes that the record covers with its padding.
        bytes: u32,
    },
    /// Records that were damaged, in the place where they stood.
    Gap(Gap),
    /// Messages that are settled.
    Settlement(Settlement<'a>),
    /// Which messages are unsettled; the first record of a segment.
    Checkpoint(Checkpoint<'a>),
}

/// The content of a record to write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    Run(&'a Run<'a>),
    /// Zeros, up to this many bytes of the record.
    Mark(u32),
    Gap(Gap),
    /// The content of a [`Settlement`].
    Settlement(&'a [u8]),
    /// The content of a [`Checkpoint`].
    Checkpoint(&'a [u8]),
}

impl Body<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Run(_) => KIND_RUN,
            Self::Mark(_) => KIND_MARK,
            Self::Gap(_) => KIND_GAP,
            Self::Settlement(_) => KIND_SETTLEMENT,
            Self::Checkpoint(_) => KIND_CHECKPOINT,
        }
    }

    /// The bytes of the record with its padding.
    pub(super) fn record_bytes(&self) -> usize {
        let bytes = match self {
            Self::Run(run) => run_bytes(run),
            Self::Mark(bytes) => *bytes as usize,
            Self::Gap(gap) => gap.bytes as usize,
            Self::Settlement(content) | Self::Checkpoint(content) => HEADER_BYTES + content.len(),
        };
        bytes.next_multiple_of(ALIGN)
    }
}

/// Damaged records that were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first record that is lost. It is the gap's own number.
    pub first: Lsn,
    /// The last record that is lost.
    pub last: Lsn,
    /// The checksum that the next record names as that of the record before it.
    pub(super) next_previous: u32,
    /// The bytes that the record covers with its padding.
    pub(super) bytes: u32,
}

/// A record that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Everything but the content.
    pub header: RecordHeader,
    /// The content.
    pub content: Content<'a>,
    /// The bytes of the record without its padding.
    pub(super) bytes: usize,
    pub(super) checksum: u32,
}

impl Record<'_> {
    /// The last number that the record stands for: its own, but for a gap.
    pub(super) fn last(&self) -> Lsn {
        match self.content {
            Content::Gap(gap) => gap.last,
            _ => self.header.lsn,
        }
    }

    /// The checksum that the next record must name.
    pub(super) fn chain(&self) -> u32 {
        match self.content {
            Content::Gap(gap) => gap.next_previous,
            _ => self.checksum,
        }
    }

    /// The bytes of the record with its padding.
    pub(super) fn padded(&self) -> usize {
        self.bytes.next_multiple_of(ALIGN)
    }
}

/// The bytes of a run's record.
fn run_bytes(run: &Run<'_>) -> usize {
    let texts = (run.target.len() + run.source.len()).next_multiple_of(4);
    let bytes = RUN_PREFIX_BYTES + texts + run.index.len() * INDEX_BYTES + run.frames.len();
    HEADER_BYTES + bytes
}

/// Appends a record of segment `segment`, padded, and returns its checksum. `bytes`
/// ends where a record may begin.
pub(super) fn encode(
    bytes: &mut Vec<u8>,
    segment: u64,
    header: &RecordHeader,
    body: &Body<'_>,
) -> u32 {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&header.previous.to_le_bytes());
    bytes.extend_from_slice(&[body.kind(), 0, 0, 0]);
    for number in [header.lsn.0, header.durable.0, header.time] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    match body {
        Body::Mark(covered) => {
            bytes.resize(start + HEADER_BYTES.max(*covered as usize), 0);
        }
        Body::Run(run) => encode_run(bytes, run),
        Body::Gap(gap) => {
            bytes.extend_from_slice(&gap.first.0.to_le_bytes());
            bytes.extend_from_slice(&gap.last.0.to_le_bytes());
            bytes.extend_from_slice(&gap.next_previous.to_le_bytes());
            // All that was damaged is covered: the next record stays where it is.
            let least = bytes.len() - start;
            bytes.resize(start + least.max(gap.bytes as usize), 0);
        }
        Body::Settlement(content) | Body::Checkpoint(content) => bytes.extend_from_slice(content),
    }
    let length = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes[start..], segment);
    bytes[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(start + (length as usize).next_multiple_of(ALIGN), 0);
    checksum
}

fn encode_run(bytes: &mut Vec<u8>, run: &Run<'_>) {
    let (target, source) = (run.target.len() as u16, run.source.len() as u16);
    bytes.extend_from_slice(&target.to_le_bytes());
    bytes.extend_from_slice(&source.to_le_bytes());
    bytes.extend_from_slice(&(run.index.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&run.sequence.to_le_bytes());
    bytes.extend_from_slice(run.target);
    bytes.extend_from_slice(run.source);
    let texts = run.target.len() + run.source.len();
    bytes.resize(bytes.len() + texts.next_multiple_of(4) - texts, 0);
    bytes.extend_from_slice(run.index.0.as_flattened());
    bytes.extend_from_slice(run.frames);
}

/// The checksum of a record without padding: of its segment's number and all its bytes
/// but the checksum itself.
fn checksum(record: &[u8], segment: u64) -> u32 {
    let sum = crc32c::crc32c(&segment.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &record[..4]);
    crc32c::crc32c_append(sum, &record[8..])
}

/// The bytes at a place where a record may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Record(Record<'a>),
    /// Zeros: nothing was written here.
    Nothing,
    /// Bytes that are no record.
    Damage,
    /// A record that the bytes end in; it has this many with its padding. Only its
    /// header was looked at.
    Longer(usize),
}

/// Reads the record at the front of `bytes`, of segment `segment`.
pub(super) fn find(bytes: &[u8], segment: u64) -> Found<'_> {
    let Some(front) = bytes.first_chunk::<ALIGN>() else {
        return Found::Longer(ALIGN);
    };
    if front == &[0; ALIGN] {
        return Found::Nothing;
    }
    let length = number_u32(front, 0) as usize;
    let is_plausible = length >= HEADER_BYTES
        && length <= u32::MAX as usize - ALIGN
        && matches!(front[12..16], [KIND_RUN..=KIND_CHECKPOINT, 0, 0, 0]);
    if !is_plausible {
        return Found::Damage;
    }
    let padded = length.next_multiple_of(ALIGN);
    let Some(whole) = bytes.get(..padded) else {
        return Found::Longer(padded);
    };
    let (record, padding) = whole.split_at(length);
    if checksum(record, segment) != number_u32(front, 4) || padding.iter().any(|&byte| byte != 0) {
        return Found::Damage;
    }
    decode(whole).map_or(Found::Damage, Found::Record)
}

/// Reads the record at the front of `bytes`, which was checked before.
pub(super) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let front = bytes.first_chunk::<ALIGN>()?;
    let length = number_u32(front, 0) as usize;
    let body = bytes.get(HEADER_BYTES..length)?;
    let header = RecordHeader {
        lsn: Lsn(number_u64(front, 16)),
        durable: Lsn(number_u64(front, 24)),
        time: number_u64(front, 32),
        previous: number_u32(front, 8),
    };
    let padded = length.next_multiple_of(ALIGN);
    let content = match front[12] {
        KIND_RUN => Content::Run(decode_run(body)?),
        KIND_MARK => Content::Mark {
            bytes: padded as u32,
        },
        KIND_GAP => Content::Gap(decode_gap(body, padded)?),
        KIND_SETTLEMENT => Content::Settlement(Settlement::decode(body)?),
        _ => Content::Checkpoint(Checkpoint::decode(body)?),
    };
    Some(Record {
        header,
        content,
        bytes: length,
        checksum: number_u32(front, 4),
    })
}

fn decode_run(body: &[u8]) -> Option<Run<'_>> {
    let (prefix, rest) = body.split_first_chunk::<RUN_PREFIX_BYTES>()?;
    let target_bytes = usize::from(u16::from_le_bytes([prefix[0], prefix[1]]));
    let source_bytes = usize::from(u16::from_le_bytes([prefix[2], prefix[3]]));
    let count = number_u32(prefix, 4) as usize;
    let texts = (target_bytes + source_bytes).next_multiple_of(4);
    let (texts, rest) = rest.split_at_checked(texts)?;
    let (target, behind) = texts.split_at(target_bytes);
    let (index, frames) = rest.split_at_checked(count.checked_mul(INDEX_BYTES)?)?;
    let (index, _) = index.as_chunks();
    let run = Run {
        target,
        source: &behind[..source_bytes],
        sequence: number_u64(prefix, 8),
        index: Index(index),
        frames,
    };
    run.is_indexed().then_some(run)
}

fn decode_gap(body: &[u8], padded: usize) -> Option<Gap> {
    let (body, _) = body.split_first_chunk::<20>()?;
    Some(Gap {
        first: Lsn(number_u64(body, 0)),
        last: Lsn(number_u64(body, 8)),
        next_previous: number_u32(body, 16),
        bytes: padded as u32,
    })
}

/// The number at `at`; zero beyond the end.
pub(super) fn number_u32(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..).and_then(<[u8]>::first_chunk);
    number.map_or(0, |number| u32::from_le_bytes(*number))
}

/// The number at `at`; zero beyond the end.
pub(super) fn number_u64(bytes: &[u8], at: usize) -> u64 {
    let number = bytes.get(at..).and_then(<[u8]>::first_chunk);
    number.map_or(0, |number| u64::from_le_bytes(*number))
}
