//! Marks: records that state that the latest commit is on disk, when no other record has.

use super::{AppendError, Writer};
use crate::journal::Storage;
use crate::journal::record::{ALIGN, Body};
use crate::limits::{JOURNAL_MARK_AFTER, JOURNAL_SECTOR_BYTES};

impl<S: Storage> Writer<S> {
    /// The time from which on [`Writer::mark`] has something to state, in microseconds
    /// since 1970.
    #[must_use]
    pub fn mark_at(&self) -> Option<u64> {
        let after = JOURNAL_MARK_AFTER.as_micros() as u64;
        let is_due = self.failed.is_none() && self.stated < self.durable.min(self.last_run);
        is_due.then_some(self.synced_at.saturating_add(after))
    }

    /// States, if that is due, that the latest commit is on disk, so that recovery can
    /// tell its damage from a torn tail. It is written, and on disk with the next commit.
    ///
    /// The statement stands in another sector than the commit: both are not lost at once.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn mark(&mut self, now: u64) -> Result<(), AppendError> {
        if self.mark_at().is_none_or(|at| now < at) {
            return Ok(());
        }
        let marked = self.append_marks(now);
        if matches!(marked, Err(AppendError::Full)) {
            // Not tried again and again: the next record states it.
            self.stated = self.durable;
        }
        marked?;
        self.write()?;
        Ok(())
    }

    fn append_marks(&mut self, now: u64) -> Result<(), AppendError> {
        let sector = JOURNAL_SECTOR_BYTES;
        let used = (self.written as usize + self.pending.len()) % sector;
        if used != 0 {
            self.append_mark(sector - used, now)?;
        }
        self.append_mark(ALIGN, now)
    }

    fn append_mark(&mut self, bytes: usize, now: u64) -> Result<(), AppendError> {
        self.append_body(&Body::Mark(bytes as u32), now)?;
        Ok(())
    }
}
