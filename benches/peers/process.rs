//! A server's process: started on its core, asked what it costs, ended.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A server that isn't ready by then won't be.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server, ended when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How a server tells where it listens.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// By a line `listening tcp ADDR` on its standard output.
    Says,
    /// It was told, and is ready when it takes a connection.
    Listens(SocketAddr),
}

impl Process {
    /// Starts it, and returns when it is ready.
    pub fn start(mut command: Command, ready: Ready) -> Result<Self, String> {
        let stdout = match ready {
            Ready::Says => Stdio::piped(),
            Ready::Listens(_) => Stdio::null(),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("can't start it: {error}"))?;
        let address = match ready {
            Ready::Says => wait_for_line(&mut child),
            Ready::Listens(address) => wait_for_listener(&mut child, address),
        };
        match address {
            Ok(address) => Ok(Self { child, address }),
            Err(reason) => {
                end(&mut child);
                Err(reason)
            }
        }
    }

    /// Processor time that it has used, all threads together, in nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return 0;
        };
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }

    /// Memory that it has resident, in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024)
    }
}

/// Processor time that this process has used, also in threads that have ended,
/// in nanoseconds, to ten milliseconds.
pub fn own_cpu_ns() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold anything; fields 14 and 15 of all are
    // the ticks in user and in kernel mode.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    ticks * 10_000_000
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// There is nothing in it that a gentler end would save.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// An address on loopback that was free a moment ago.
pub fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port: {error}"))
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
