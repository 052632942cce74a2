//! The message switch of a trading platform, as a library.
//!
//! Connectors send length-prefixed JSON messages over TCP. A [`Server`] checks
//! each one by the rules of the protocol, routes it to the connection that owns
//! its target, and acknowledges it, or says why not. A program can also join
//! the server it runs without TCP ([`ServerHandle::attach`]).
//!
//! # Where things are
//! Imports go down only; what stands below [`server`] and [`client`] knows no
//! socket, no clock and no async runtime.
//!
//! - [`server`], [`client`]: the asynchronous shell around the rest.
//! - [`exchange`]: what both give a program: events, and the fate of what it
//!   sends.
//! - [`router`]: who owns which name, and where each message goes.
//! - [`wire`]: frames, the checks, typed messages, answers.
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

#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
#[cfg(any(feature = "server", feature = "client"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "server", feature = "client"))))]
pub mod exchange;
pub mod ids;
pub mod limits;
pub mod loss;
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
