//! Names and their owners.

mod lingering;
mod registry;

pub(crate) use registry::Registry;
