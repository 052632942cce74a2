//! Means of the journal's tests.

mod disk;

pub(crate) use self::disk::{Fault, Files, Happened, SimDisk, SimFile};
