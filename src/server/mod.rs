//! The asynchronous shell around the router: it accepts, reads and writes; the
//! router decides.

mod binding;
mod clock;
mod connection;
mod descriptors;
mod endpoint;
mod failure;
mod handle;
mod input;
mod listener;
mod phase;
mod pollers;
mod repeated;
mod slots;
mod socket;

use std::io;

pub use crate::config::{ConfigError, ServerBuilder, ServerConfig};
pub use descriptors::raise_descriptor_limit;
pub use endpoint::{
    AttachError, Batch, BlockingReceiver, BlockingSender, EndpointReceiver, EndpointSender,
};
pub use failure::ServerFailure;
pub use handle::ServerHandle;

use crate::ids::NameError;
use crate::router::Router;
use clock::Clock;
use endpoint::Endpoints;
use failure::Failed;
use phase::Phases;
use repeated::AcceptLog;
use slots::{Slots, SlotsMax};

#[derive(Debug)]
struct ServerShared {
    config: ServerConfig,
    router: Router,
    clock: Clock,
    phases: Phases,
    endpoints: Endpoints,
    slots: Slots,
    accept_log: AcceptLog,
    failed: Failed,
}

impl ServerShared {
    fn new(config: ServerConfig, slots: SlotsMax) -> Self {
        Self {
            router: Router::new(config.router.clone()),
            config,
            clock: Clock::start(),
            phases: Phases::new(),
            endpoints: Endpoints::default(),
            slots: Slots::new(slots),
            accept_log: AcceptLog::default(),
            failed: Failed::default(),
        }
    }
}

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is not allowed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name is none.
    #[error("the name of the server, or of a queue: {0}")]
    Name(#[from] NameError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address as it was given.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The threads of `busy_poll` can't be started.
    #[error("can't start {count} threads that poll: {source}")]
    Poll {
        /// The value of `busy_poll`.
        count: usize,
        /// The operating system's error.
        source: io::Error,
    },
}

/// The server. See [`Server::builder`].
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// The defaults, to be changed and [started](ServerBuilder::start).
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts a server with `config` on the runtime this is called in.
    ///
    /// # Errors
    /// A setting is not allowed, or its address can't be listened on.
    pub async fn start(config: ServerConfig) -> Result<ServerHandle, StartError> {
        handle::start(config).await
    }
}

impl ServerBuilder {
    /// Starts the server on the runtime this is called in.
    ///
    /// # Errors
    /// A setting is not allowed, or the address can't be listened on.
    pub async fn start(self) -> Result<ServerHandle, StartError> {
        Server::start(self.finish()?).await
    }
}
