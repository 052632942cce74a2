//! A server in a process of its own, so that its costs are told apart from the
//! load's.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;

/// The time within which a server must be ready.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server, ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

/// The way in which a server tells that it listens.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// By a line `listening tcp ADDR` on its standard output.
    Says,
    /// It was told the address, and is ready when it takes a connection.
    Listens(SocketAddr),
}

/// A reason why a server doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program can't be started.
    #[error("can't start it: {0}")]
    Spawn(#[from] std::io::Error),
    /// It is not ready.
    #[error("{0}")]
    NotReady(String),
}

impl Server {
    /// Starts a server, and returns when it is ready.
    pub fn start(mut command: Command, ready: Ready) -> Result<Self, StartError> {
        command.stdin(Stdio::null()).stdout(match ready {
            Ready::Says => Stdio::piped(),
            Ready::Listens(_) => Stdio::null(),
        });
        let mut server = Self {
            child: command.spawn()?,
            address: SocketAddr::from(([0; 4], 0)),
        };
        let address = match ready {
            Ready::Says => wait_for_line(&mut server.child),
            Ready::Listens(address) => wait_for_listener(&mut server.child, address),
        };
        server.address = address.map_err(StartError::NotReady)?;
        Ok(server)
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // No connection has anything queued there any more. Fails only if it
        // has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds an address on loopback that was free a moment ago.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn wait_for_line(child: &mut Child) -> Result<SocketAddr, String> {
    let stdout = child.stdout.take().expect("its output is piped");
    let (line_tx, line_rx) = mpsc::channel();
    // By a thread of its own: a read from a pipe has no deadline.
    thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(stdout).read_line(&mut line);
        let _ = line_tx.send(line);
    });
    let line = line_rx
        .recv_timeout(START_TIMEOUT)
        .map_err(|_| "it doesn't say where it listens".to_owned())?;
    line.strip_prefix("listening tcp ")
        .and_then(|address| address.trim().parse().ok())
        .ok_or_else(|| format!("it says {:?} instead of where it listens", line.trim()))
}

fn wait_for_listener(child: &mut Child, address: SocketAddr) -> Result<SocketAddr, String> {
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Ok(address);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended at once, {status}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("it doesn't listen on {address}"))
}
