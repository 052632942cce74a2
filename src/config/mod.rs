//! The settings of a server: their types, defaults, texts and rules.
//!
//! `config/table.rs` holds a row for each setting. The row is the field of
//! [`ServerConfig`] or [`RouterConfig`], its default, its rule, its setter of
//! `ServerBuilder` and its entry of [`SETTINGS`], from which the program makes
//! flags, variables, keys of its file and help.
//!
//! Numbers that a row names stand in [`limits`](crate::limits). A new setting
//! needs a row, a line in README.md, and code that obeys it.

mod check;
mod define;
mod machine;
mod names;
mod table;
mod validate;

#[cfg(feature = "server")]
mod builder;

pub use check::ConfigError;
pub use names::{NameConfig, Overflow};
#[cfg(feature = "server")]
pub use table::ServerBuilder;
pub use table::{RouterConfig, SETTINGS, ServerConfig, Setting, Value};
