//! Connections that have sent one message each, and stay.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Figures, Metric, broken};
use crate::server::Server;

/// Until what a server does after its last message is done.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// Opens so many.
pub fn open(server: &Server, count: usize) -> Result<Vec<TcpStream>, String> {
    (0..count)
        .map(|index| {
            server
                .protocol()
                .idler(server.address(), index)
                .map_err(|error| broken(&format!("idle connection {}", index + 1), &error))
        })
        .collect()
}

/// Memory that each of so many costs a server that has just been started.
pub fn memory(server: &Server, count: usize) -> Result<Figures, String> {
    let resident = || {
        thread::sleep(SETTLE_TIME);
        let bytes = server.process.resident_bytes();
        bytes.ok_or_else(|| "the server has ended".to_owned())
    };
    // What the first few cost is the server's own.
    let first = open(server, 10)?;
    let before = resident()?;
    let connections = open(server, count)?;
    let after = resident()?;
    drop((first, connections));
    let grown = after.saturating_sub(before) as f64;
    Ok(vec![(Metric::BytesPerConnection, grown / count as f64)])
}
