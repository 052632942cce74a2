//! A server inside this process, on a free port, for commands that need one.

use std::io;

use tickwire::server::{Server, ServerHandle, StartError};
use tokio::runtime::{Builder, Runtime};

/// A running server with a runtime of its own. Dropping it ends the server.
#[derive(Debug)]
pub struct LocalServer {
    runtime: Runtime,
    handle: ServerHandle,
}

/// Why there is no such server.
#[derive(Debug, thiserror::Error)]
pub enum LocalServerError {
    /// There can be no threads for it.
    #[error("can't start threads: {0}")]
    Runtime(#[from] io::Error),
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl LocalServer {
    /// Starts a server that only this machine can reach.
    pub fn start() -> Result<Self, LocalServerError> {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        let handle = runtime.block_on(Server::builder().listen("127.0.0.1:0").start())?;
        Ok(Self { runtime, handle })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.handle.local_addr().to_string()
    }

    /// Ends it as a server should end.
    pub fn shutdown(self) {
        self.runtime.block_on(self.handle.shutdown());
    }
}
