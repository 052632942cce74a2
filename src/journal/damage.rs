//! The damage of a journal, in words and kinds.

use std::fmt;

use super::Lsn;

/// A place of the journal that is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u64,
    /// The first byte of the file that can't be read as it was written.
    pub from: u64,
    /// The first byte behind it that can be read again, or the end of the segment.
    pub to: u64,
    /// The first record that is lost, if any is.
    pub first: Lsn,
    /// The first record behind the damage; none was found if this is `None`.
    pub next: Option<Lsn>,
    /// The damaged part.
    pub part: DamagedPart,
    /// The checksum of the record before, by the record or header behind the damage.
    pub(super) next_previous: u32,
    /// The checksum of the record in front of the damage.
    pub(super) chain: u32,
}

/// The part of a journal that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedPart {
    /// Records, or zeros behind the last.
    Records,
    /// The header of the segment.
    Header,
    /// Bytes behind the size that the header tells. Nothing of the journal stands there.
    Excess,
    /// The segment is missing, and as many as this with it.
    Segments(u64),
    /// The segment is missing that was in front of the first, and maybe others before it:
    /// with unsettled messages, or with the only records that tell which are.
    Oldest,
}

/// The meaning of a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No record is lost.
    Harmless,
    /// The end of the journal was not on disk yet when writing ended. Its records were
    /// not acknowledged, unless they were synced less than 10 ms before.
    TornTail,
    /// Records that were on disk are lost or can't be read.
    Corruption,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, first, .. } = self;
        if self.part == DamagedPart::Excess {
            let bytes = self.to.saturating_sub(self.from);
            return write!(f, "{bytes} bytes behind the end of segment {segment}");
        }
        let last = self.next.map(|next| Lsn(next.0.saturating_sub(1)));
        match self.part {
            DamagedPart::Header => write!(f, "the header of segment {segment}")?,
            DamagedPart::Oldest => {
                write!(
                    f,
                    "segment {segment} is missing, and maybe others before it"
                )?;
            }
            DamagedPart::Segments(1) => write!(f, "segment {segment} is missing")?,
            DamagedPart::Segments(count) => {
                write!(
                    f,
                    "segments {segment} to {} are missing",
                    segment + count - 1
                )?;
            }
            DamagedPart::Records | DamagedPart::Excess => {
                write!(f, "bytes {} to {} of segment {segment}", self.from, self.to)?;
            }
        }
        match last {
            Some(last) if last < *first => write!(f, " (no record is lost)"),
            Some(last) => write!(f, " (records {first} to {last})"),
            None => write!(f, " (records from {first} on)"),
        }
    }
}
