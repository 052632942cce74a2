//! The server held to the protocol over real TCP, a file a topic. It is spoken
//! to by a raw client of the tests' own, written from the protocol alone, so
//! that a mistake in the library's client can't hide one in the server. Where
//! that client itself is tested (`reconnecting`, `silence`), it stands beside a
//! raw one.

#![allow(
    clippy::too_many_lines,
    reason = "stories and tables are read from top to bottom"
)]

mod draft;
mod due;
mod played_server;
mod raw_client;

mod acks;
mod conformance;
mod connecting;
#[cfg(unix)]
mod durable;
mod embedded;
mod faults;
mod groups;
mod hostile;
mod load;
mod losses;
mod memory;
mod messages;
mod names;
mod polling;
mod protocol_document;
mod queues;
#[cfg(feature = "client")]
mod reconnecting;
mod refusals;
mod routing;
mod shutdown;
#[cfg(feature = "client")]
mod silence;
mod subscriptions;
mod windows;

#[cfg(feature = "cli")]
mod binary;
#[cfg(all(unix, feature = "cli"))]
mod crashes;
#[cfg(feature = "cli")]
mod process;
mod python;
