//! Mending a damaged journal.

use std::io;

use super::Lsn;
use super::damage::{Damage, DamagedPart, Fate};
use super::inspect::Inspection;
use super::record::{self, ALIGN, Body, Gap, RecordHeader};
use super::recovery::{Options, Recovery};
use super::segment::{self, HEADER_BYTES, SegmentHeader};
use super::storage::{Storage, StorageFile};

/// The largest size of a segment that its header can tell.
const SEGMENT_BYTES_MAX: u64 = (u32::MAX as usize + 1 - ALIGN) as u64;

/// Mends the damages of one inspection.
pub(super) struct Mender<'a, S> {
    pub(super) storage: &'a S,
    pub(super) found: &'a Inspection,
    pub(super) options: &'a Options,
    pub(super) id: u128,
    /// The segment that was copied last.
    pub(super) kept_aside: Option<u64>,
}

impl<S: Storage> Mender<'_, S> {
    pub(super) fn mend(&mut self, recovery: &mut Recovery) -> io::Result<()> {
        for damage in &self.found.damages {
            let fate = self.found.fate(damage);
            recovery.mended.push((*damage, fate));
            match (fate, damage.part) {
                (Fate::Harmless, DamagedPart::Excess) => self.truncate(damage)?,
                (Fate::Harmless, _) => self.clear(damage, damage.to)?,
                (Fate::TornTail, _) => {
                    self.clear(damage, self.segment_bytes(damage.segment))?;
                    // All behind it is part of the tail.
                    return Ok(());
                }
                (Fate::Corruption, DamagedPart::Segments(count)) => self.replace(damage, count)?,
                (Fate::Corruption, DamagedPart::Oldest) => self.replace(damage, 1)?,
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

    /// Gives the file the size that its header tells.
    fn truncate(&self, damage: &Damage) -> io::Result<()> {
        let file = self.storage.open(&segment::name_of(damage.segment))?;
        file.truncate(damage.from)?;
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
        let bytes = bytes.min(SEGMENT_BYTES_MAX).next_multiple_of(ALIGN as u64);
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
        record::encode(out, damage.segment, &header, &Body::Gap(gap));
    }
}
