//! The journal: an append-only log of runs of frames, which outlives the process and
//! the machine's power.
//!
//! - `record`, `segment`: the bytes, as `docs/journal.md` has them.
//! - `writer`: appends records, and commits many with one sync; `marking`: its marks.
//! - `reader`: the records from one on, in their order.
//! - `inspect`, `damage`: the whole journal, and the damage in it.
//! - `survey`: the segments that a start must read.
//! - `recovery`, `mending`: the judgement of damage, its repair, and the writer behind
//!   it.
//! - `loss`: the messages of lost records, which nobody can settle.
//! - `ledger`, `settlement`: which messages are settled, and the records that say so.
//! - `storage`, `folder`: the place that keeps it.
//!
//! Nothing here knows an async runtime or reads a clock: time is an argument. The rules
//! that make a commit hold:
//! - A record is acknowledged only once [`Writer::commit`] has returned, and is handed
//!   to nobody before.
//! - A segment is on disk whole before the next is made, so only the last one can have
//!   a torn tail.
//! - A failed write or sync is final for the process: the file is not written again.
//!
//! # Example
//! ```
//! # #[cfg(unix)] {
//! use tickwire::journal::{Content, Folder, IndexBuilder, Options, Reader, Run, open};
//! use tickwire::wire::{Message, Order, Side, write_frame};
//!
//! # let temporary = tempfile::tempdir()?;
//! # let path = temporary.path();
//! let (now, id) = (1_764_000_000_000_000, 0x1F2E);
//! let (mut writer, _) = open(Folder::lock(path)?, &Options::default(), id, now)?;
//!
//! // A run: here of one order. It is on disk once it is committed.
//! let order = Order::new("ord-456", "BTCUSDT", Side::Buy, 1);
//! let message = Message::order("quantower-connector", "api-gateway", "run-123", order)?;
//! let (mut frames, mut index) = (Vec::new(), IndexBuilder::default());
//! write_frame(&mut frames, message.to_json().as_bytes())?;
//! index.push(frames.len() as u32, message.msg_id.into());
//! let run = Run {
//!     target: b"api-gateway",
//!     source: b"quantower-connector",
//!     sequence: 0,
//!     index: index.index(),
//!     frames: &frames,
//! };
//! let lsn = writer.append(&run, now)?;
//! assert_eq!(writer.commit(now)?, lsn);
//!
//! // Also while it is written, and by another process.
//! let mut reader = Reader::new(Folder::read(path)?, lsn)?;
//! let record = reader.next(writer.durable())?.expect("it was committed");
//! assert!(matches!(record.content, Content::Run(run) if run.frames == frames));
//! assert_eq!(writer.ledger().backlog(b"api-gateway").map(|own| own.frames()), Some(1));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod damage;
#[cfg(unix)]
mod folder;
mod inspect;
mod ledger;
mod loss;
mod mending;
mod reader;
mod record;
mod recovery;
mod segment;
mod settlement;
mod storage;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

pub use self::damage::{Damage, DamagedPart, Fate};
#[cfg(unix)]
pub use self::folder::{Folder, FolderError};
pub use self::inspect::{Inspection, SegmentInfo, inspect};
pub use self::ledger::{Backlog, Ledger};
pub use self::reader::{ReadError, Reader};
pub use self::record::{Content, Gap, Index, IndexBuilder, Record, RecordHeader, Run};
pub use self::recovery::{OpenError, Options, Recovery, open};
pub use self::settlement::{Checkpoint, Settled, Settlement};
pub use self::storage::{Storage, StorageFile};
pub use self::writer::{AppendError, Failed, Writer};

/// A log sequence number: the number of a record in its journal, from 1 on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The number behind this one.
    fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Where a record stands, for a [`Reader`] that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The record's number.
    pub lsn: Lsn,
    /// Its segment.
    pub(crate) segment: u64,
    /// The bytes of the segment in front of it.
    pub(crate) at: u64,
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
