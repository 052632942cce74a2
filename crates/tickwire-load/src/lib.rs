//! The load generator of tickwire: the one engine of the command `tickwire bench`
//! and of the comparison with other brokers (`benches/peers`).
//!
//! It shares no code with the server that it judges: messages are prepared
//! beforehand, written in large pieces through plain sockets by threads of their
//! own, and counted by their length and a piece of their id, or by their bytes
//! alone. Not meant for other programs.
//!
//! - [`messages`], [`load`]: the messages, ready to be written.
//! - [`protocol`], [`frame`]: the languages of the servers.
//! - [`drive`]: senders and receivers at full speed or at a rate;
//!   [`one_at_a_time`]; [`stall`]: receivers that don't read; [`clients`]: through the
//!   client library of a server.
//! - [`count`], [`latency`], [`statistics`]: the results.
//! - [`server`], [`process`], [`machine`], [`progress`]: everything around.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod clients;
mod connection;
pub mod count;
pub mod drive;
pub mod frame;
pub mod latency;
pub mod load;
pub mod machine;
pub mod messages;
pub mod one_at_a_time;
pub mod process;
pub mod progress;
pub mod protocol;
pub mod server;
pub mod stall;
pub mod statistics;
mod stream;
