//! Reading a whole journal: its records in their order, and the damage between them.

use std::ops::Range;

use super::damage::{Damage, DamagedPart, Fate};
use super::ledger::Ledger;
use super::record::{self, ALIGN, Content, Found, Record};
use super::segment::{self, HEADER_BYTES, HeaderError, SegmentHeader};
use super::storage::Storage;
use super::{Lsn, OpenError};
use crate::limits::JOURNAL_MISSING_MAX;

/// A segment, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number, which is in the name of its file.
    pub number: u64,
    /// The number of its first record.
    pub first: Lsn,
    /// The number behind its last record.
    pub next: Lsn,
    /// The bytes in use, with the header.
    pub used_bytes: u64,
    /// The size of the file.
    pub bytes: u64,
    /// The number of frames in its runs.
    pub frames: u64,
}

/// A whole journal, as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The segments, in their order.
    pub segments: Vec<SegmentInfo>,
    /// The damages, in the order of the records.
    pub damages: Vec<Damage>,
    /// The highest record that any record states to be on disk.
    pub durable: Lsn,
    /// The number that the next record gets.
    pub next: Lsn,
    /// The time of the latest record, in microseconds since 1970.
    pub time: u64,
    /// The number of frames in runs.
    pub frames: u64,
    /// Which journal; `None` if no header can be read.
    pub(super) journal: Option<u128>,
    /// The checksum of the last record.
    pub(super) chain: u32,
    /// Which messages are settled, by all these records.
    pub(super) ledger: Ledger,
    /// The lost records that the journal tells of.
    pub(super) gaps: Gaps,
}

/// The gaps in a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Gaps {
    #[default]
    None,
    /// All of them are in front of a checkpoint: the ledger is as it was written.
    Before,
    /// One is behind the last checkpoint: settlements may be lost in it.
    Behind,
}

impl Inspection {
    fn is_last(&self, damage: &Damage) -> bool {
        let last = self.segments.last();
        last.is_none_or(|last| damage.segment == last.number)
    }

    /// Which messages are settled.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the meaning of a damage of this journal.
    #[must_use]
    pub fn fate(&self, damage: &Damage) -> Fate {
        match damage.part {
            DamagedPart::Excess => Fate::Harmless,
            DamagedPart::Records if damage.next == Some(damage.first) => Fate::Harmless,
            // A segment is on disk before the next is made.
            DamagedPart::Records if damage.first > self.durable && self.is_last(damage) => {
                Fate::TornTail
            }
            _ => Fate::Corruption,
        }
    }
}

/// Reads all segments, and hands each record that can be read to `visit`.
///
/// # Errors
/// The storage fails, or a segment has another format or is of another journal.
pub fn inspect(
    storage: &impl Storage,
    visit: impl FnMut(&Record<'_>),
) -> Result<Inspection, OpenError> {
    inspect_from(storage, 0, visit)
}

/// The same from a segment on.
pub(super) fn inspect_from(
    storage: &impl Storage,
    first: u64,
    mut visit: impl FnMut(&Record<'_>),
) -> Result<Inspection, OpenError> {
    let mut inspector = Inspector::default();
    let mut bytes = Vec::new();
    let numbers = segment::numbers(storage)?;
    for number in numbers.into_iter().filter(|number| *number >= first) {
        segment::read(storage, number, &mut bytes).map_err(OpenError::Storage)?;
        inspector.segment(number, &bytes, &mut visit)?;
    }
    Ok(inspector.finish())
}

#[derive(Debug, Default)]
struct Inspector {
    found: Inspection,
    /// Whether the record behind a damage has not been found yet: the next may have any
    /// higher number.
    is_open: bool,
    /// The checksum of the record before the first segment, by its header.
    previous: u32,
    /// The last checkpoint; 0 if there is none.
    checkpoint: Lsn,
}

impl Inspector {
    fn segment(
        &mut self,
        number: u64,
        bytes: &[u8],
        visit: &mut impl FnMut(&Record<'_>),
    ) -> Result<(), OpenError> {
        self.missing_before(number)?;
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => Some(header),
            Err(HeaderError::Format(format)) => return Err(OpenError::Format { number, format }),
            Err(HeaderError::Damaged) => None,
        };
        if header.is_some_and(|header| self.is_foreign(number, &header)) {
            return Err(OpenError::Foreign { number });
        }
        let header = header.filter(|header| self.follows(number, header));
        match header {
            Some(header) => self.begin(&header),
            None => self.header_damaged(number),
        }
        let size = header.map_or(bytes.len(), |header| header.bytes as usize);
        self.found.segments.push(SegmentInfo {
            number,
            first: self.found.next,
            next: self.found.next,
            used_bytes: HEADER_BYTES as u64,
            bytes: size.max(bytes.len()).max(HEADER_BYTES) as u64,
            frames: 0,
        });
        let within = bytes.get(..size).unwrap_or(bytes);
        self.records(number, within, size, visit);
        if within.len() < bytes.len() {
            self.excess(number, size as u64..bytes.len() as u64);
        }
        Ok(())
    }

    /// Notes the segments that should stand before `number`.
    fn missing_before(&mut self, number: u64) -> Result<(), OpenError> {
        let Some(last) = self.found.segments.last() else {
            if number == 1 {
                self.found.next = Lsn(1);
            }
            return Ok(());
        };
        let before = last.number;
        let missing = number - before - 1;
        if missing > JOURNAL_MISSING_MAX {
            return Err(OpenError::Stray {
                before,
                number,
                missing,
            });
        }
        if missing > 0 {
            self.damage(before + 1, 0..0, DamagedPart::Segments(missing));
        }
        Ok(())
    }

    /// Returns whether the segment was written for another journal. Its records must not
    /// be taken into this one: they could be read.
    fn is_foreign(&self, number: u64, header: &SegmentHeader) -> bool {
        let ours = self.found.journal.unwrap_or(header.journal);
        header.number == number && header.journal != ours
    }

    /// Returns whether the header, which is one of this journal, fits here.
    fn follows(&self, number: u64, header: &SegmentHeader) -> bool {
        let is_first = self.found.segments.is_empty();
        let continues = header.first == self.found.next && header.previous == self.found.chain;
        // Records are missing at the end of the segment before, whose zeros may
        // hide it.
        let leaves_out = header.first > self.found.next;
        let begins = is_first && (number > 1 || header.first == Lsn(1));
        header.number == number && (begins || !is_first && (continues || leaves_out))
    }

    fn begin(&mut self, header: &SegmentHeader) {
        self.found.journal = Some(header.journal);
        if self.found.segments.is_empty() {
            self.previous = header.previous;
        }
        if !self.found.segments.is_empty() && header.first > self.found.next && !self.is_open {
            let last = self.found.segments.last().copied();
            if let Some(last) = last {
                let rest = last.used_bytes..last.bytes;
                self.damage(last.number, rest, DamagedPart::Records);
            }
        }
        self.resume(header.first, header.previous);
        // The segment before is synced before this one is made.
        self.stated(Lsn(header.first.0.saturating_sub(1)));
    }

    fn header_damaged(&mut self, number: u64) {
        let is_open = self.is_open;
        let starts_unknown = self.found.segments.is_empty() && number != 1;
        if starts_unknown {
            self.found.next = Lsn(1);
        }
        self.damage(number, 0..HEADER_BYTES as u64, DamagedPart::Header);
        if !is_open && !starts_unknown {
            // The records' numbers go on.
            self.resume(self.found.next, self.found.chain);
        }
    }

    fn records(
        &mut self,
        number: u64,
        bytes: &[u8],
        size: usize,
        visit: &mut impl FnMut(&Record<'_>),
    ) {
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            match record::find(&bytes[at..], number) {
                Found::Record(record) if self.fits(&record) => {
                    self.record(&record);
                    visit(&record);
                    at += record.padded();
                    self.used(at);
                    continue;
                }
                Found::Nothing if bytes[at..].iter().all(|&byte| byte == 0) => break,
                _ => {}
            }
            let behind = self.record_behind(number, bytes, at);
            let to = behind.as_ref().map_or(size, |(to, _)| *to);
            self.damage(number, at as u64..to as u64, DamagedPart::Records);
            let Some((to, record)) = behind else {
                return;
            };
            self.resume(record.header.lsn, record.header.previous);
            at = to;
        }
        if bytes.len() < size {
            let rest = at as u64..size as u64;
            self.damage(number, rest, DamagedPart::Records);
        }
    }

    /// Finds the first record behind the damage at `at` that may follow.
    fn record_behind<'b>(
        &self,
        number: u64,
        bytes: &'b [u8],
        at: usize,
    ) -> Option<(usize, Record<'b>)> {
        (at + ALIGN..bytes.len()).step_by(ALIGN).find_map(|at| {
            let Found::Record(record) = record::find(&bytes[at..], number) else {
                return None;
            };
            (record.header.lsn > self.found.next).then_some((at, record))
        })
    }

    fn fits(&self, record: &Record<'_>) -> bool {
        let header = record.header;
        if self.is_open {
            return header.lsn >= self.found.next;
        }
        header.lsn == self.found.next && header.previous == self.found.chain
    }

    fn record(&mut self, record: &Record<'_>) {
        self.resume(record.header.lsn, record.header.previous);
        self.stated(record.header.durable);
        self.found.next = record.last().next();
        self.found.chain = record.chain();
        self.found.time = self.found.time.max(record.header.time);
        self.found.ledger.apply(record);
        match record.content {
            Content::Gap(_) => self.found.gaps = Gaps::Behind,
            Content::Checkpoint(_) => {
                self.checkpoint = record.header.lsn;
                if self.found.gaps == Gaps::Behind {
                    self.found.gaps = Gaps::Before;
                }
            }
            _ => {}
        }
        if let Content::Run(run) = record.content {
            let frames = run.index.len() as u64;
            self.found.frames += frames;
            if let Some(segment) = self.found.segments.last_mut() {
                segment.frames += frames;
            }
        }
        if let Some(segment) = self.found.segments.last_mut() {
            segment.next = self.found.next;
        }
    }

    /// Notes that the segments before the first are missing, if messages are unsettled that
    /// stood there, or if nothing tells which are.
    fn finish(mut self) -> Inspection {
        let first = self.found.segments.first();
        let Some(first) = first.filter(|first| first.first > Lsn(1)) else {
            return self.found;
        };
        let oldest = self.found.ledger.oldest();
        let oldest = oldest.filter(|oldest| *oldest < first.first);
        let is_missing = oldest.is_some() || self.checkpoint == Lsn(0);
        // A settlement or a checkpoint that is lost leaves the same picture.
        let may_hide_it = |damage: &Damage| {
            damage.first > self.checkpoint && self.found.fate(damage) == Fate::Corruption
        };
        let may_be_other =
            self.found.gaps == Gaps::Behind || self.found.damages.iter().any(may_hide_it);
        if is_missing && !may_be_other {
            let damage = Damage {
                segment: first.number.saturating_sub(1),
                from: 0,
                to: 0,
                first: oldest.unwrap_or_default().max(Lsn(1)),
                next: Some(first.first),
                part: DamagedPart::Oldest,
                next_previous: self.previous,
                chain: 0,
            };
            self.found.damages.insert(0, damage);
        }
        self.found
    }

    fn used(&mut self, at: usize) {
        if let Some(segment) = self.found.segments.last_mut() {
            segment.used_bytes = at as u64;
        }
    }

    fn stated(&mut self, durable: Lsn) {
        self.found.durable = self.found.durable.max(durable);
    }

    /// Notes bytes behind the end of a segment. The records go on as if there were none.
    fn excess(&mut self, segment: u64, range: Range<u64>) {
        let is_open = self.is_open;
        self.damage(segment, range, DamagedPart::Excess);
        if !is_open {
            self.resume(self.found.next, self.found.chain);
        }
    }

    fn damage(&mut self, segment: u64, range: Range<u64>, part: DamagedPart) {
        self.found.damages.push(Damage {
            segment,
            from: range.start,
            to: range.end,
            first: self.found.next,
            next: None,
            part,
            next_previous: 0,
            chain: self.found.chain,
        });
        self.is_open = true;
    }

    /// Goes on at the record `next`, which names `previous` as the checksum before it.
    fn resume(&mut self, next: Lsn, previous: u32) {
        if !std::mem::take(&mut self.is_open) {
            if self.found.segments.is_empty() {
                (self.found.next, self.found.chain) = (next, previous);
            }
            return;
        }
        let open = |damage: &&mut Damage| damage.next.is_none();
        for damage in self.found.damages.iter_mut().rev().take_while(open) {
            damage.next = Some(next);
            damage.next_previous = previous;
        }
        (self.found.next, self.found.chain) = (next, previous);
    }
}
