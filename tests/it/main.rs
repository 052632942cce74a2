//! The server held to the protocol over real TCP, a file a topic. What speaks
//! to it here is a peer of the tests' own, written from the protocol alone, so
//! that a mistake in the client can't hide one in the server. Where the client
//! itself is tested (`reconnecting`, `silence`), it stands beside such a peer.

mod draft;
mod due;
mod peer;

mod acks;
mod conformance;
mod connecting;
mod embedded;
mod faults;
mod groups;
mod hostile;
mod load;
mod losses;
mod memory;
mod messages;
mod names;
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
#[cfg(feature = "cli")]
mod process;
mod python;
