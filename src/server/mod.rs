//! The asynchronous shell around the router. It accepts, reads, calls
//! the router, and writes; the router decides.

mod binding;
mod clock;
mod config;
mod connection;
mod descriptors;
mod endpoint;
mod failure;
mod handle;
mod input;
mod listener;
mod machine;
mod phase;
mod repeated;
mod slots;
mod socket;
mod thread_buffers;

use std::io;
use std::time::Duration;

pub use config::{ConfigError, ServerConfig};
pub use descriptors::raise_descriptor_limit;
pub use endpoint::{AttachError, EndpointReceiver, EndpointSender};
pub use failure::ServerFailure;
pub use handle::ServerHandle;

use crate::ids::{Name, NameError};
use crate::router::{NameConfig, Router, RouterConfig};
use crate::wire::Validation;
use clock::Clock;
use endpoint::Endpoints;
use failure::Failed;
use phase::Phases;
use repeated::AcceptLog;
use slots::{Slots, SlotsMax};

/// The state that all connections of a server share.
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
        let router = Router::new(RouterConfig {
            name: config.name.clone(),
            frame_bytes_max: config.frame_bytes_max,
            queue_bytes: config.queue_bytes,
            queue_messages: config.queue_messages,
            memory_max: config.memory_max,
            stall_timeout: config.stall_timeout,
            linger: config.linger,
            validation: config.validation,
            snapshot_keys: config.snapshot_keys.clone(),
            names: config.names.clone(),
        });
        Self {
            config,
            router,
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
}

/// The server. See [`Server::builder`].
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// Starts with the defaults. Change settings, then call
    /// [`start`](ServerBuilder::start).
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

/// Collects the settings of a server.
#[derive(Debug, Default)]
pub struct ServerBuilder {
    config: ServerConfig,
    wrong_name: Option<NameError>,
}

impl ServerBuilder {
    /// Where to listen: `HOST:PORT`, on all addresses that the host has; port 0
    /// picks a free one.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.config.listen = vec![address.into()];
        self
    }

    /// Where to listen as well. With port 0, all with port 0 get the same.
    #[must_use]
    pub fn also_listen(mut self, address: impl Into<String>) -> Self {
        self.config.listen.push(address.into());
        self
    }

    /// The server's own name: the `source` of its answers.
    #[must_use]
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        match Name::new(name) {
            Ok(name) => self.config.name = name,
            Err(error) => self.wrong_name = Some(error),
        }
        self
    }

    /// Largest frame accepted, in bytes without its prefix.
    #[must_use]
    pub fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.config.frame_bytes_max = bytes;
        self
    }

    /// Bytes that one queue may hold.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.config.queue_bytes = bytes;
        self
    }

    /// Messages that one queue may hold.
    #[must_use]
    pub fn queue_messages(mut self, messages: usize) -> Self {
        self.config.queue_messages = messages;
        self
    }

    /// Bytes that may be held for all connections together: queued messages,
    /// answers, and frames that have arrived in part.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.config.memory_max = bytes;
        self
    }

    /// Sets how long in sum a connection is paused for one full queue before
    /// its events to it are refused.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.config.stall_timeout = timeout;
        self
    }

    /// Sets how long messages that are queued for a name wait for another
    /// owner once its own has left.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// The settings of the queue of `name` that differ from the others;
    /// replaces earlier ones.
    #[must_use]
    pub fn queue_of(mut self, name: impl AsRef<str>, own: NameConfig) -> Self {
        match Name::new(name) {
            Ok(name) => {
                self.config.names.insert(name, own);
            }
            Err(error) => self.wrong_name = Some(error),
        }
        self
    }

    /// Sets how long queued messages may take to be written at shutdown.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout;
        self
    }

    /// Connections served at once.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.config.connections_max = connections;
        self
    }

    /// Sets how long a connection may go until a message of it is accepted.
    #[must_use]
    pub fn first_message_timeout(mut self, timeout: Duration) -> Self {
        self.config.first_message_timeout = timeout;
        self
    }

    /// Bytes a second at which a frame must come in the mean, once it has taken
    /// 10 seconds.
    #[must_use]
    pub fn frame_rate_min(mut self, bytes: usize) -> Self {
        self.config.frame_rate_min = bytes;
        self
    }

    /// Sets how much of each frame is checked.
    #[must_use]
    pub fn validation(mut self, validation: Validation) -> Self {
        self.config.validation = validation;
        self
    }

    /// Starts the server on the runtime this is called in.
    ///
    /// # Errors
    /// A setting is not allowed, or the address can't be listened on.
    pub async fn start(self) -> Result<ServerHandle, StartError> {
        if let Some(error) = self.wrong_name {
            return Err(error.into());
        }
        Server::start(self.config).await
    }
}
