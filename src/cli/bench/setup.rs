//! The needs of a run: a server, room for its connections, and these themselves.

use std::process::Command;

use tickwire::ids::Name;
use tickwire::limits::CONNECTIONS_MAX_DEFAULT;
use tickwire::wire::{ErrorCode, Hello};
use tickwire_load::process::Process;
use tickwire_load::protocol::{Acks, Fence, Party};
use tickwire_load::server::{Ready, Server, StartError};

use crate::cli::Failure;
use crate::cli::blocking_client::{self, BlockingClient, ConnectionError, nothing_claimed};

/// Files that a process has open beside its connections.
const FILES_BESIDE: u64 = 40;

#[derive(Debug)]
pub struct Setup {
    /// The server, if it was started for this run.
    own: Option<Server>,
    pub to: String,
    /// Its process, if that is on this machine and may be looked at.
    pub process: Option<Process>,
}

impl Setup {
    /// Finds the server `to`, or starts one, for so many connections.
    pub fn new(to: Option<&str>, connections: u64) -> Result<Self, Failure> {
        Self::with_pollers(to, connections, 0)
    }

    /// The same, with a server that has so many threads that poll if it is started.
    pub fn with_pollers(
        to: Option<&str>,
        connections: u64,
        pollers: usize,
    ) -> Result<Self, Failure> {
        check_files(&Process::this(), "this process", connections).map_err(Failure::usage)?;
        let Some(to) = to else {
            let own = start(connections, pollers).map_err(Failure::failed)?;
            return Ok(Self {
                to: own.address().to_string(),
                process: Some(own.process()),
                own: Some(own),
            });
        };
        let probe = BlockingClient::connect(to, &name("bench-probe"), nothing_claimed());
        let process = Process::behind(&probe.map_err(Failure::failed)?.stream);
        if let Some(process) = &process {
            check_files(process, "the server", connections).map_err(Failure::usage)?;
        }
        Ok(Self {
            own: None,
            to: to.to_owned(),
            process,
        })
    }

    /// The server in the result for people.
    pub fn shown(&self) -> String {
        match &self.own {
            Some(_) => "a server of its own".to_owned(),
            None => self.to.clone(),
        }
    }

    /// The server in the result for programs.
    pub fn option(&self) -> &str {
        match &self.own {
            Some(_) => "own",
            None => &self.to,
        }
    }

    pub fn connect(&self, name: &Name, acks: Acks) -> Result<BlockingClient, ConnectError> {
        let hello = Hello {
            // A server that knows no others need not be asked for the usual.
            acks: (acks != Acks::Each).then(|| acks.as_str().into()),
            ..Hello::default()
        };
        BlockingClient::connect(&self.to, name, hello).map_err(|error| match error {
            ConnectionError::Refused { code, .. } if code == ErrorCode::LimitExceeded.as_str() => {
                ConnectError::Full
            }
            error => error.into(),
        })
    }
}

/// Starts a `tickwire serve` for so many connections on a free port.
fn start(connections: u64, pollers: usize) -> Result<Server, String> {
    const REMEDY: &str = "Start `tickwire serve` and pass --to";
    let failed = |error| match error {
        StartError::Spawn(error) => format!("can't start a server: {error}. {REMEDY}"),
        _ => format!("the server that was started doesn't listen. {REMEDY}"),
    };
    let program = std::env::current_exe().map_err(|error| failed(error.into()))?;
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    // Settings for another server are not for this one.
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("TICKWIRE_") {
            command.env_remove(key);
        }
    }
    command.env("TICKWIRE_LOG", "warn");
    command.env("TICKWIRE_BUSY_POLL", pollers.to_string());
    let connections_max = connections + 16;
    if connections_max > CONNECTIONS_MAX_DEFAULT as u64 {
        command.env("TICKWIRE_CONNECTIONS_MAX", connections_max.to_string());
    }
    Server::start(command, Ready::Says).map_err(failed)
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "the server takes no more connections: start it with a larger TICKWIRE_CONNECTIONS_MAX, \
         or ask for fewer here"
    )]
    Full,
    #[error(transparent)]
    Peer(#[from] ConnectionError),
}

/// A name of the load's own making.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("letters, digits and hyphens are a name")
}

/// Hands the connection of `name` over to a load.
pub fn party(peer: BlockingClient, name: &Name) -> Party {
    let (id, frame) = blocking_client::hello_frame(name, Hello::default());
    Party {
        stream: peer.stream,
        unread: peer.frames.into_unread(),
        server: peer.server,
        fence: Some(Fence {
            id: id.as_str().to_owned(),
            frame,
        }),
    }
}

/// Checks that `process` may have so many more files open.
fn check_files(process: &Process, who: &str, connections: u64) -> Result<(), String> {
    let needed = connections + FILES_BESIDE + process.open_files().unwrap_or(0);
    match process.open_files_max() {
        Some((soft, _)) if needed <= soft => Ok(()),
        Some((soft, hard)) if needed <= hard => Err(format!(
            "{connections} connections don't fit: {who} may open {soft} files. Run `ulimit -n \
             {needed}` in the shell that starts it"
        )),
        Some((_, hard)) => Err(format!(
            "{connections} connections don't fit: {who} may open {hard} files, and no `ulimit -n` \
             raises that. Use {} connections or fewer, or have the hard limit raised",
            hard.saturating_sub(needed - connections)
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn more_connections_than_files_are_refused_in_one_line() {
        let this = Process::this();
        assert_eq!(check_files(&this, "this process", 1), Ok(()));
        let error = check_files(&this, "this process", 1 << 40).unwrap_err();
        assert!(error.starts_with("1099511627776 connections don't fit: this process may open "));
        assert!(error.contains("ulimit -n"), "{error}");
        assert!(!error.contains('\n'));
    }
}
