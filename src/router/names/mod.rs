//! Names and their owners.
//!
//! - `registry`: the [`Registry`], all names with their mailboxes and owners.
//! - `lingering`: the mailboxes that wait for their next owner.

mod lingering;
mod registry;

pub(crate) use registry::Registry;
