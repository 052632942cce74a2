//! What a run needs before it begins: a server, room for its connections, and
//! the connections themselves.

use std::time::Duration;

use serde_json::{Map, Value};
use tickwire::ids::Name;
use tickwire::wire::ErrorCode;

use super::count::Acks;
use super::process::Process;
use super::server::OwnServer;
use crate::cli::Failure;
use crate::cli::peer::{Peer, PeerError};

/// Files that a process has open beside its connections.
const FILES_BESIDE: u64 = 40;
/// Below this a process's time is known too coarsely to be divided.
const CPU_MIN: Duration = Duration::from_millis(200);

/// The server under load, and what is known of it.
#[derive(Debug)]
pub struct Setup {
    own: Option<OwnServer>,
    to: String,
    /// Its process, if that is on this machine and may be looked at.
    pub process: Option<Process>,
}

impl Setup {
    /// Finds the server `to`, or starts one, for so many connections.
    pub fn new(to: Option<&str>, connections: u64) -> Result<Self, Failure> {
        check_files(&Process::this(), "this process", connections).map_err(Failure::usage)?;
        match to {
            Some(to) => {
                let name = name("bench-probe");
                let nothing = Map::from_iter([("register".to_owned(), Value::from(false))]);
                let probe = Peer::connect_with(to, &name, nothing).map_err(Failure::failed)?;
                let process = Process::behind(&probe.stream);
                if let Some(process) = &process {
                    check_files(process, "the server", connections).map_err(Failure::usage)?;
                }
                Ok(Self {
                    own: None,
                    to: to.to_owned(),
                    process,
                })
            }
            None => {
                let own = OwnServer::start(connections as usize).map_err(Failure::failed)?;
                Ok(Self {
                    to: own.address().to_owned(),
                    process: Some(own.process()),
                    own: Some(own),
                })
            }
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> &str {
        &self.to
    }

    /// How it is called in what people read.
    pub fn shown(&self) -> String {
        match &self.own {
            Some(_) => "a server of its own".to_owned(),
            None => self.to.clone(),
        }
    }

    /// How it is called in what programs read.
    pub fn option(&self) -> &str {
        match &self.own {
            Some(_) => "own",
            None => &self.to,
        }
    }

    /// Connects under `name` with these acks.
    pub fn connect(&self, name: &Name, acks: Acks) -> Result<Peer, ConnectError> {
        let mut options = Map::new();
        // A server that knows no others need not be asked for the usual.
        if acks != Acks::Each {
            options.insert("acks".to_owned(), acks.as_str().into());
        }
        Peer::connect_with(&self.to, name, options).map_err(|error| match error {
            PeerError::Refused { code, .. } if code == ErrorCode::LimitExceeded.as_str() => {
                ConnectError::Full
            }
            error => error.into(),
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server takes no more.
    #[error(
        "the server takes no more connections: start it with a larger TICKWIRE_CONNECTIONS_MAX, \
         or ask for fewer here"
    )]
    Full,
    /// Something else.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// A name of our own making.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("letters, digits and hyphens are a name")
}

/// Whether `process` may have so many more files open.
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

/// The time that server and load spend on processors from here on.
#[derive(Debug)]
pub struct CpuClock {
    server: Option<Process>,
    server_before: Option<Duration>,
    load_before: Option<Duration>,
}

/// What they have spent, where it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// The server.
    pub server: Option<Duration>,
    /// This process.
    pub load: Option<Duration>,
}

impl CpuClock {
    /// Starts counting.
    pub fn start(setup: &Setup) -> Self {
        let server = setup.process.clone();
        Self {
            server_before: server.as_ref().and_then(Process::cpu_of_threads),
            load_before: Process::this().cpu(),
            server,
        }
    }

    /// What has been spent since.
    pub fn stop(self) -> Cpu {
        let since = |before: Option<Duration>, now: Option<Duration>| now?.checked_sub(before?);
        let server = self.server.as_ref().and_then(Process::cpu_of_threads);
        Cpu {
            server: since(self.server_before, server),
            load: since(self.load_before, Process::this().cpu()).filter(|time| *time >= CPU_MIN),
        }
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
