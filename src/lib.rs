//! The message switch of a trading platform, as a library.
//!
//! Connectors send length-prefixed JSON messages over TCP. A [`Server`] checks
//! each one by the rules of the protocol, routes it to the connection that owns
//! its target, and acknowledges it, or says why not. A program can also join
//! the server it runs without TCP ([`ServerHandle::attach`]).
//!
//! # Where things are
//! Imports go down only; below [`server`] and [`client`] there is no socket, no
//! clock and no async runtime.
//!
//! - [`server`], [`client`]: the asynchronous shell around the rest.
//! - [`events`]: the events and errors that server and client have in common.
//! - [`router`]: the owners of names, and the way of each message.
//! - [`journal`]: a log of frames that survives a crash.
//! - [`wire`]: frames, the checks, typed messages, answers.
//! - [`config`]: every setting of a server, a row each.
//! - [`ids`], [`limits`]: small checked types, and every limit in one file.
//! - [`loss`]: how events that tell of lost messages are marked in the log.
//!
//! # Example
//! ```
//! use tickwire::wire::{Message, Order, Parser, Side, Validation};
//!
//! // A correct message in one expression …
//! let order = Order::new("ord-456", "BTCUSDT", Side::Buy, 1);
//! let message = Message::order("quantower-connector", "api-gateway", "run-123", order)?;
//!
//! // … and the check that every frame goes through.
//! let frame = message.to_json();
//! let header = Parser::new(Validation::Payload).parse(frame.as_bytes())?;
//! assert_eq!(header.msg_id, message.msg_id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod budget;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
pub mod config;
#[cfg(any(feature = "server", feature = "client"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "server", feature = "client"))))]
pub mod events;
pub mod ids;
pub mod journal;
pub mod limits;
#[cfg(any(feature = "server", feature = "client"))]
mod loopback;
pub mod loss;
#[cfg(any(feature = "server", feature = "client"))]
mod poller;
pub mod router;
#[cfg(feature = "server")]
#[cfg_attr(docsrs, doc(cfg(feature = "server")))]
pub mod server;
mod stats;
mod sync;
pub mod wire;

#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub use client::{Client, ClientConfig};
#[cfg(feature = "server")]
#[cfg_attr(docsrs, doc(cfg(feature = "server")))]
pub use server::{Server, ServerBuilder, ServerConfig, ServerHandle, StartError};
pub use stats::Stats;

#[cfg(all(doctest, feature = "server", feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;
