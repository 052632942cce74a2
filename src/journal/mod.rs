//! The journal: an append-only log of runs of frames, which outlives the process and
//! the machine's power.
//!
//! - [`record`], [`segment`]: the bytes, as `docs/journal.md` has them.
//! - [`writer`]: appends records, and commits many with one sync.
//! - [`reader`]: the records from one on, in their order.
//! - [`inspect`]: the whole journal, and the damage in it.
//! - [`recovery`]: the judgement of damage, its repair, and the writer behind it.
//! - [`storage`], `folder`: the place that keeps it.
//!
//! Nothing here knows an async runtime or reads a clock: time is an argument. The rules
//! that make a commit hold:
//! - A record is acknowledged only once [`Writer::commit`] has returned, and is handed
//!   to nobody before.
//! - A segment is on disk whole before the next is made, so only the last one can have
//!   a torn tail.
//! - A failed write or sync is final for the process: the file is not written again.

#[cfg(unix)]
mod folder;
mod inspect;
mod reader;
mod record;
mod recovery;
mod segment;
mod storage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

#[cfg(unix)]
pub use self::folder::{Folder, FolderError};
pub use self::inspect::{Damage, DamagedPart, Fate, Inspection, SegmentInfo, inspect};
pub use self::reader::{ReadError, Reader};
pub use self::record::{Content, Gap, Index, IndexBuilder, Record, RecordHeader, Run};
pub use self::recovery::{OpenError, Options, Recovery, open};
pub use self::storage::{Storage, StorageFile};
pub use self::writer::{AppendError, Failed, Writer};

/// A log sequence number: the number of a record in its journal, from 1 on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
