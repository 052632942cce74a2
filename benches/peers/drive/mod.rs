//! The loads: each opens its connections, drives a server for a while, and
//! returns what it measured, or why the run doesn't count.
//!
//! What will arrive is known to the byte. A run in which something else arrives,
//! or in which nothing does for five seconds, has failed.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

mod answers;
pub mod fan_out;
pub mod flow;
pub mod idle;
pub mod one_at_a_time;
pub mod paced;
pub mod throughput;

/// Bytes that a receiver asks for at once.
const READ_BYTES: usize = 256 * 1024;

/// For how long something more than what was expected may still come.
const EXCESS_TIME: Duration = Duration::from_millis(10);

/// What a run is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Messages (in fan-out deliveries) a second.
    PerSecond,
    /// Processor time of the server for a message, µs.
    CpuMicros,
    /// Processor time of the load for a message, µs: what keeps it from going
    /// faster where the server isn't.
    LoadMicros,
    /// From the write to the arrival, half of the messages, µs.
    P50Micros,
    /// The same, 99 of 100.
    P99Micros,
    /// Resident memory for a connection, bytes.
    BytesPerConnection,
}

/// The figures of a run.
pub type Figures = Vec<(Metric, f64)>;

/// Holds each receiver to what was sent: reads what may come beyond it, of which
/// a server's stray bytes are allowed.
fn check_excess(
    receivers: &mut [TcpStream],
    received: &[u64],
    expected: u64,
    stray: &[u8],
) -> Result<(), String> {
    let explain = |error: io::Error| format!("reading what may come beyond: {error}");
    thread::sleep(EXCESS_TIME);
    let mut buffer = vec![0; READ_BYTES];
    for (receiver, received) in receivers.iter_mut().zip(received) {
        receiver.set_nonblocking(true).map_err(explain)?;
        let mut excess = received - expected;
        loop {
            match receiver.read(&mut buffer) {
                Ok(0) => break,
                Ok(bytes) => excess += bytes as u64,
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(explain(error)),
            }
        }
        if excess != 0 && excess != stray.len() as u64 {
            return Err(format!("{excess} bytes arrived that were not sent"));
        }
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Says what a broken transfer was about.
fn broken(what: &str, error: &io::Error) -> String {
    if is_timeout(error) {
        format!("{what}: nothing moves any more")
    } else {
        format!("{what}: {error}")
    }
}
