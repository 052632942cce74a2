//! The settings of a server: their types, defaults, texts and rules.
//!
//! A row of `config/table.rs` makes the field of [`ServerConfig`] or
//! [`RouterConfig`], its default and rule, its setter of `ServerBuilder` and its
//! entry of [`SETTINGS`], from which the program makes flags, variables, keys of its
//! file and help.

mod check;
mod define;
mod machine;
mod names;
mod table;
mod validate;

pub use check::ConfigError;
pub(crate) use names::longest_pattern;
#[cfg(feature = "server")]
pub use table::ServerBuilder;
pub use table::{NameConfig, Overflow, RouterConfig, SETTINGS, ServerConfig, Setting, Value};
