//! The server under load: one of our own, or the one at an address.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::process::Process;

/// A `tickwire serve` of our own in a process of its own, so that what it costs
/// is told apart from what the load costs. It ends when this is dropped.
#[derive(Debug)]
pub struct OwnServer {
    child: Child,
    address: String,
}

/// Why there is no such server.
#[derive(Debug, thiserror::Error)]
pub enum OwnServerError {
    /// The program can't be started once more.
    #[error("can't start a server: {0}. Start `tickwire serve` and pass --to")]
    Spawn(#[from] std::io::Error),
    /// It did not say that it listens.
    #[error("the server that was started doesn't listen. Start `tickwire serve` and pass --to")]
    NotReady,
}

impl OwnServer {
    /// Starts a server for so many connections on a free port.
    pub fn start(connections: usize) -> Result<Self, OwnServerError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // What somebody has set for another server is not for this one.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("TICKWIRE_") {
                command.env_remove(key);
            }
        }
        command.env("TICKWIRE_LOG", "warn");
        if connections + 16 > tickwire::limits::CONNECTIONS_MAX_DEFAULT {
            command.env("TICKWIRE_CONNECTIONS_MAX", (connections + 16).to_string());
        }
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let mut own = Self {
            child,
            address: String::new(),
        };
        let address = line.trim_end().strip_prefix("listening tcp ");
        own.address = address.ok_or(OwnServerError::NotReady)?.to_owned();
        Ok(own)
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process::of(self.child.id())
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // Nobody has anything queued there any more. Fails only if it has
        // ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
