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
#[cfg(unix)]
mod store;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::config::{ConfigError, ServerBuilder, ServerConfig};
pub use descriptors::raise_descriptor_limit;
pub use endpoint::{
    AttachError, Batch, BlockingReceiver, BlockingSender, EndpointReceiver, EndpointSender,
};
pub use failure::ServerFailure;
pub use handle::ServerHandle;

use crate::budget::Budget;
use crate::ids::NameError;
#[cfg(unix)]
use crate::journal::FolderError;
use crate::journal::OpenError;
#[cfg(unix)]
use crate::limits;
use crate::router::Router;
#[cfg(unix)]
use crate::router::store::MessageStore;
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
    #[cfg(unix)]
    store: Option<Arc<store::JournalStore>>,
}

impl ServerShared {
    /// # Errors
    /// The journal can't be opened.
    fn new(config: ServerConfig, slots: SlotsMax) -> Result<Self, StartError> {
        let budget = Arc::new(Budget::new(config.router.memory_max));
        #[cfg(unix)]
        let store = store::start(&config, &budget)?;
        #[cfg(unix)]
        let for_router = store.clone().map(|store| store as Arc<dyn MessageStore>);
        #[cfg(not(unix))]
        let for_router = match &config.data_dir {
            None => None,
            Some(_) => return Err(StartError::NoJournal),
        };
        Ok(Self {
            router: Router::with_store(config.router.clone(), budget, for_router),
            #[cfg(unix)]
            store,
            config,
            clock: Clock::start(),
            phases: Phases::new(),
            endpoints: Endpoints::default(),
            slots: Slots::new(slots),
            accept_log: AcceptLog::default(),
            failed: Failed::default(),
        })
    }
}

#[cfg(unix)]
impl ServerShared {
    /// Writes what the store was given, and ends it.
    async fn stop_store(&self) {
        if let Some(store) = self.store.clone() {
            // It waits for the disk, which may never answer.
            let stopped = tokio::task::spawn_blocking(move || store.stop());
            let stopped = tokio::time::timeout(limits::STORE_WAIT_MAX, stopped).await;
            if !matches!(stopped, Ok(Ok(()))) {
                tracing::error!("the journal could not be closed: the disk doesn't answer");
            }
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
    /// The folder of the journal can't be used.
    #[cfg(unix)]
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The journal can't be opened.
    #[error("the journal in {}: {source}", path.display())]
    Journal {
        /// Its folder.
        path: PathBuf,
        /// The reason, and the remedy.
        source: OpenError,
    },
    /// The journal needs a Unix system.
    #[cfg(not(unix))]
    #[error("a journal needs a Unix system: leave data_dir out")]
    NoJournal,
    /// The thread of the journal can't be started.
    #[error("can't start a thread for the journal: {0}")]
    JournalThread(#[source] io::Error),
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
