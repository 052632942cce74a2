//! Appending records, and committing many of them with one sync.

mod marking;

use std::io;

use super::ledger::Ledger;
use super::record::{self, Body, RecordHeader, Run};
use super::recovery::Options;
use super::segment::{self, HEADER_BYTES, NotMade, SegmentHeader, SegmentPlace};
use super::settlement::{Settled, Settlement};
use super::storage::{Storage, StorageFile};
use super::{Lsn, Position};

/// The end of a journal. One thread has it.
#[derive(Debug)]
pub struct Writer<S: Storage> {
    storage: S,
    segment_bytes: u32,
    /// The header of the current segment.
    segment: SegmentHeader,
    file: S::File,
    /// The bytes of the current segment that are written.
    written: u64,
    /// Records that are not written yet, for the current segment.
    pending: Vec<u8>,
    /// The number that the next record gets.
    next: Lsn,
    /// The checksum of the last record.
    chain: u32,
    durable: Lsn,
    /// The place of the last record that was appended.
    last: Position,
    /// The highest record that the last record states to be on disk.
    stated: Lsn,
    /// The last record that is no mark: marks need none.
    last_run: Lsn,
    /// The time of the last record and of the last commit, in microseconds.
    time: u64,
    synced_at: u64,
    failed: Option<Failed>,
    ledger: Ledger,
    /// All segments, the current one last.
    segments: Vec<SegmentPlace>,
    /// The last segment that begins with a checkpoint; 0 if none does.
    checkpoint: u64,
}

/// A write or a sync failed: for the rest of the process nothing is appended.
///
/// Records that were appended and not committed may or may not be there after the next
/// start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal failed ({0}); it is written again after a restart")]
pub struct Failed(pub io::ErrorKind);

/// Why a record was not appended. It is nowhere, and never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room for another segment. The next call tries again.
    #[error(
        "there is no room for another file of the journal: make room on its disk, or let the \
         process have more files open"
    )]
    Full,
    /// The record doesn't fit a segment.
    #[error("a record of {bytes} bytes doesn't fit a segment of the journal")]
    TooLarge {
        /// The record's bytes.
        bytes: usize,
    },
    /// The run is not as [`Run`] says.
    #[error("a run needs names of up to 128 bytes, and an index of all its frames")]
    Invalid,
    /// The journal has failed.
    #[error(transparent)]
    Failed(#[from] Failed),
}

/// The end of a journal that was opened.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The bytes of the last segment that are written.
    pub(super) written: u64,
    pub(super) ledger: Ledger,
    pub(super) segments: Vec<SegmentPlace>,
    /// The last segment that begins with a checkpoint; 0 if none does.
    pub(super) checkpoint: u64,
}

impl<S: Storage> Writer<S> {
    /// The writer at `place`. `header.first` and `header.previous` are those of the
    /// next record.
    pub(super) fn new(
        storage: S,
        header: &SegmentHeader,
        options: &Options,
        file: S::File,
        place: Place,
        now: u64,
    ) -> Self {
        let durable = Lsn(header.first.0.saturating_sub(1));
        Self {
            storage,
            segment_bytes: options.segment_bytes,
            segment: *header,
            file,
            written: place.written,
            pending: Vec::new(),
            next: header.first,
            chain: header.previous,
            durable,
            last: Position {
                lsn: durable,
                segment: header.number,
                at: place.written,
            },
            // Recovery has synced what no record states to be on disk.
            stated: Lsn(0),
            last_run: durable,
            time: now,
            synced_at: now,
            failed: None,
            ledger: place.ledger,
            segments: place.segments,
            checkpoint: place.checkpoint,
        }
    }

    /// All records up to this one are on disk.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// The number that the next record gets.
    #[must_use]
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// The place of the record that was appended last.
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.last
    }

    /// The number of segments.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The bytes of the current segment that are not used.
    #[must_use]
    pub fn room(&self) -> u64 {
        let used = self.written + self.pending.len() as u64;
        u64::from(self.segment.bytes).saturating_sub(used)
    }

    /// The bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The reason why nothing is appended any more.
    #[must_use]
    pub fn failed(&self) -> Option<Failed> {
        self.failed
    }

    /// Appends a run. It is on disk once [`Writer::commit`] has returned its number or
    /// a higher one. `now` is the time in microseconds since 1970; a time that goes back
    /// counts as the latest.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&mut self, run: &Run<'_>, now: u64) -> Result<Lsn, AppendError> {
        if !run.is_right() {
            return Err(AppendError::Invalid);
        }
        let run = Run {
            sequence: self.ledger.next_sequence(run.target),
            ..*run
        };
        let lsn = self.append_body(&Body::Run(&run), now)?;
        self.ledger.add(&run, lsn);
        self.last_run = lsn;
        Ok(lsn)
    }

    /// Notes that messages of a name are settled. They are for good once this is
    /// committed. A range that overlaps one that is settled already is dropped whole, with
    /// its messages that are not; so is a range with a message that the name hasn't.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn settle(
        &mut self,
        name: &[u8],
        ranges: &[Settled],
        now: u64,
    ) -> Result<Lsn, AppendError> {
        let content = Settlement::encode(name, ranges);
        let lsn = self.append_body(&Body::Settlement(&content), now)?;
        self.ledger.settle(name, ranges.iter().cloned());
        self.last_run = lsn;
        Ok(lsn)
    }

    /// Which messages are settled, with all records that were appended.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns whether the oldest segment can be deleted.
    #[must_use]
    pub fn has_settled_segment(&self) -> bool {
        match self.segments[..] {
            [oldest, second, ..] => self.is_settled(oldest, second),
            _ => false,
        }
    }

    /// Returns whether nothing is needed of the segment in front of `next`.
    fn is_settled(&self, oldest: SegmentPlace, next: SegmentPlace) -> bool {
        let is_settled = self.ledger.oldest().is_none_or(|lsn| next.first <= lsn);
        // Or recovery would not know the messages that are unsettled.
        let is_summed_up = oldest.number < self.checkpoint;
        is_settled && is_summed_up
    }

    /// Deletes the oldest segments that have no unsettled message, until the journal has
    /// at most `keep_bytes`. Returns how many. Does nothing while records wait for a
    /// commit, and keeps a segment if none behind it begins with a checkpoint: the records
    /// alone, without the first, don't tell which messages are settled.
    ///
    /// # Errors
    /// The file system's reason. The next call tries again.
    pub fn delete_settled(&mut self, keep_bytes: u64) -> io::Result<usize> {
        let mut deleted = 0;
        if self.failed.is_some() || self.durable.0 + 1 < self.next.0 {
            return Ok(0);
        }
        while let [oldest, second, ..] = self.segments[..] {
            let bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
            if bytes <= keep_bytes || !self.is_settled(oldest, second) {
                break;
            }
            match self.storage.remove(&segment::name_of(oldest.number)) {
                // Removed by an earlier call; its sync failed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            // One at a time: a crash leaves no hole.
            self.storage.sync_folder()?;
            self.segments.remove(0);
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Writes all appended records, and returns once they are on disk. Returns the last
    /// one.
    ///
    /// # Errors
    /// A write or a sync failed, now or before.
    pub fn commit(&mut self, now: u64) -> Result<Lsn, Failed> {
        self.check()?;
        let last = Lsn(self.next.0 - 1);
        if last > self.durable {
            self.write()?;
            let synced = self.file.sync();
            self.latch(synced)?;
            self.durable = last;
            self.synced_at = now;
        }
        Ok(self.durable)
    }

    fn append_body(&mut self, body: &Body<'_>, now: u64) -> Result<Lsn, AppendError> {
        self.check()?;
        let bytes = body.record_bytes();
        let room = u64::from(self.segment.bytes);
        if self.written + (self.pending.len() + bytes) as u64 > room {
            if HEADER_BYTES + bytes > self.segment_bytes as usize {
                return Err(AppendError::TooLarge { bytes });
            }
            self.begin_segment(now)?;
            self.append_checkpoint(bytes);
        }
        self.time = self.time.max(now);
        Ok(self.push(body))
    }

    /// Begins the segment with a checkpoint, if it and a record of `bytes` fit. Without
    /// one recovery begins with an earlier segment, which is kept until then.
    fn append_checkpoint(&mut self, bytes: usize) {
        let content = self.ledger.encode();
        let checkpoint = Body::Checkpoint(&content);
        let room = self.segment.bytes as usize - HEADER_BYTES;
        if checkpoint.record_bytes() + bytes <= room {
            self.push(&checkpoint);
            self.checkpoint = self.segment.number;
        }
    }

    /// Has a checkpoint on disk that states the ledger, in a segment that begins with it.
    /// Without room for one the next start comes to the same ledger.
    pub(super) fn state_ledger(&mut self, now: u64) -> Result<(), Failed> {
        let content = self.ledger.encode();
        let bytes = HEADER_BYTES + Body::Checkpoint(&content).record_bytes();
        self.time = self.time.max(now);
        if bytes > self.segment_bytes as usize {
            return Ok(());
        }
        if self.written > HEADER_BYTES as u64 {
            match self.begin_segment(now) {
                Ok(()) => {}
                Err(AppendError::Failed(failed)) => return Err(failed),
                Err(_) => return Ok(()),
            }
        }
        self.append_checkpoint(0);
        self.commit(now)?;
        Ok(())
    }

    /// Adds a record that fits the current segment.
    fn push(&mut self, body: &Body<'_>) -> Lsn {
        let lsn = self.next;
        let header = RecordHeader {
            lsn,
            durable: self.durable,
            time: self.time,
            previous: self.chain,
        };
        self.last = Position {
            lsn,
            segment: self.segment.number,
            at: self.written + self.pending.len() as u64,
        };
        self.chain = record::encode(&mut self.pending, self.segment.number, &header, body);
        self.stated = self.durable;
        self.next = lsn.next();
        lsn
    }

    /// Commits the current segment, and makes the next.
    fn begin_segment(&mut self, now: u64) -> Result<(), AppendError> {
        self.commit(now)?;
        let header = SegmentHeader {
            number: self.segment.number + 1,
            first: self.next,
            previous: self.chain,
            bytes: self.segment_bytes,
            ..self.segment
        };
        match header.create(&self.storage) {
            Ok(file) => {
                self.segment = header;
                self.file = file;
                self.written = HEADER_BYTES as u64;
                self.segments.push(SegmentPlace::of(&header));
                Ok(())
            }
            Err(NotMade::Unfinished(error)) if is_full(&error) => Err(AppendError::Full),
            Err(error) => Err(self.fail(&error.into()).into()),
        }
    }

    fn write(&mut self) -> Result<(), Failed> {
        let written = self.file.write_at(&self.pending, self.written);
        self.latch(written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn check(&self) -> Result<(), Failed> {
        self.failed.map_or(Ok(()), Err)
    }

    fn latch(&mut self, result: io::Result<()>) -> Result<(), Failed> {
        result.map_err(|error| self.fail(&error))
    }

    fn fail(&mut self, error: &io::Error) -> Failed {
        let failed = Failed(error.kind());
        self.failed = Some(failed);
        self.pending = Vec::new();
        failed
    }
}

/// Returns whether there was no room, or too many files were open. Only while a segment
/// is made does that leave nothing half written.
fn is_full(error: &io::Error) -> bool {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
        return true;
    }
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
