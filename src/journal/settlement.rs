//! The content of the records that tell which messages are settled.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Lsn;
use super::ledger::{Backlog, Ledger};
use super::record::{number_u32, number_u64};

/// Bytes of a range in a settlement.
const SETTLED_BYTES: usize = 32;
/// Bytes of a range in a checkpoint.
const RANGE_BYTES: usize = 24;
/// Bytes in front of a name in a settlement.
const PREFIX_BYTES: usize = 8;
/// Bytes in front of a name in a checkpoint.
const BACKLOG_BYTES: usize = 48;

/// Messages of a name that are settled, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Their numbers, as [`Run::sequence`](super::Run::sequence) begins.
    pub messages: Range<u64>,
    /// The record of the last of them.
    pub lsn: Lsn,
    /// Their bytes, with their length prefixes.
    pub bytes: u64,
}

/// Messages of one name that are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement<'a> {
    /// The name that the messages are for.
    pub name: &'a [u8],
    ranges: &'a [[u8; SETTLED_BYTES]],
}

impl<'a> Settlement<'a> {
    /// The ranges of messages.
    pub fn ranges(&self) -> impl Iterator<Item = Settled> + use<'a> {
        self.ranges.iter().map(|range| Settled {
            messages: number_u64(range, 0)..number_u64(range, 8),
            lsn: Lsn(number_u64(range, 16)),
            bytes: number_u64(range, 24),
        })
    }

    /// The content of a record with these ranges.
    pub(super) fn encode(name: &[u8], ranges: &[Settled]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
        push_name(&mut bytes, name);
        for Settled {
            messages,
            lsn,
            bytes: of_them,
        } in ranges
        {
            for number in [messages.start, messages.end, lsn.0, *of_them] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads the content of a record. `None` if it is none.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        let (prefix, rest) = body.split_first_chunk::<PREFIX_BYTES>()?;
        let (name, rest) = split_name(rest, number_u32(prefix, 0) as usize)?;
        let (ranges, behind) = rest.as_chunks();
        let count = number_u32(prefix, 4) as usize;
        (ranges.len() == count && behind.is_empty()).then_some(Self { name, ranges })
    }
}

/// The ledger at one moment: the sum of all records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint<'a>(&'a [u8]);

impl<'a> Checkpoint<'a> {
    /// Reads the ledger.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        decode(self.0).unwrap_or_default()
    }

    /// The content of a record with this ledger.
    pub(super) fn encode(ledger: &Ledger) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(ledger.backlogs().len() as u64).to_le_bytes());
        for (name, backlog) in ledger.backlogs() {
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&(backlog.settled.len() as u32).to_le_bytes());
            let Backlog {
                first,
                next,
                from,
                frames,
                bytes: of_them,
                ..
            } = backlog;
            for number in [*first, *next, from.0, *frames, *of_them] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            push_name(&mut bytes, name);
            for (&start, &(end, lsn)) in &backlog.settled {
                for number in [start, end, lsn.0] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// Reads the content of a record. `None` if it is none.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        decode(body).map(|_| Self(body))
    }
}

fn decode(body: &[u8]) -> Option<Ledger> {
    let (count, mut rest) = body.split_first_chunk()?;
    let mut names = BTreeMap::new();
    for _ in 0..u64::from_le_bytes(*count) {
        let (prefix, behind) = rest.split_first_chunk::<BACKLOG_BYTES>()?;
        let (name, behind) = split_name(behind, number_u32(prefix, 0) as usize)?;
        let ranges = number_u32(prefix, 4) as usize;
        let ranges = behind.split_at_checked(ranges.checked_mul(RANGE_BYTES)?);
        let (ranges, behind) = ranges?;
        let (ranges, _) = ranges.as_chunks::<RANGE_BYTES>();
        let range = |range: &[u8; RANGE_BYTES]| {
            let behind = (number_u64(range, 8), Lsn(number_u64(range, 16)));
            (number_u64(range, 0), behind)
        };
        let backlog = Backlog {
            first: number_u64(prefix, 8),
            next: number_u64(prefix, 16),
            from: Lsn(number_u64(prefix, 24)),
            frames: number_u64(prefix, 32),
            bytes: number_u64(prefix, 40),
            settled: ranges.iter().map(range).collect(),
        };
        names.insert(name.into(), backlog);
        rest = behind;
    }
    rest.is_empty().then(|| Ledger::of(names))
}

/// Adds a name, and zeros up to a multiple of eight.
fn push_name(bytes: &mut Vec<u8>, name: &[u8]) {
    bytes.extend_from_slice(name);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn split_name(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (name, rest) = bytes.split_at_checked(length.checked_next_multiple_of(8)?)?;
    Some((name.get(..length)?, rest))
}
