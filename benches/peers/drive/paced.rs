//! At a fixed rate over many connections, whatever the server does: each message
//! has a due time, and is written when it has come.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Figures, Metric, READ_BYTES, broken, check_excess, is_timeout};
use crate::protocol::{Acks, Answers, IO_TIMEOUT, SUBJECT};
use crate::rows::PACED_PER_SECOND;
use crate::server::Server;
use crate::stream::Stream;

/// Sends for so long over so many connections in turns, one message a due time.
///
/// One thread writes and reads without ever sleeping: its core is the load's
/// alone, and a sleep would be late by more than the time between two messages.
pub fn run(
    server: &Server,
    stream: &Stream,
    acks: Acks,
    connections: usize,
    measured: Duration,
) -> Result<Figures, String> {
    let protocol = server.protocol();
    let explain = |error| broken("connecting", &error);
    let mut receiver = (protocol.receiver(server.address(), &[SUBJECT])).map_err(explain)?;
    let mut senders = (0..connections)
        .map(|_| protocol.sender(server.address(), acks))
        .collect::<Result<Vec<TcpStream>, _>>()
        .map_err(explain)?;
    receiver.set_nonblocking(true).map_err(explain)?;
    let answered = protocol.answers(acks, 1) != Answers::None;
    for sender in senders.iter().filter(|_| answered) {
        sender.set_nonblocking(true).map_err(explain)?;
    }

    let messages = (measured.as_secs_f64() * f64::from(PACED_PER_SECOND)) as u64;
    let interval = 1.0 / f64::from(PACED_PER_SECOND);
    let expected = stream.delivered_bytes(messages);
    let mut buffer = vec![0; READ_BYTES];
    let (mut sent, mut received) = (0, 0);
    let cpu_before = server.process.cpu_ns();
    let start = Instant::now();
    let deadline = start + measured + IO_TIMEOUT;
    while received < expected {
        let now = Instant::now();
        let due = ((now - start).as_secs_f64() / interval) as u64;
        while sent < due.min(messages) {
            let sender = &mut senders[(sent % connections as u64) as usize];
            if answered {
                // Not looked at, only made room for.
                let _ = sender.read(&mut buffer);
            }
            sender
                .write_all(stream.message(sent).0)
                .map_err(|error| broken("sending", &error))?;
            sent += 1;
        }
        match receiver.read(&mut buffer) {
            Ok(0) => return Err("receiving: the server closed the connection".to_owned()),
            Ok(bytes) => received += bytes as u64,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(broken("receiving", &error)),
        }
        if now > deadline {
            return Err(format!("{} bytes didn't arrive", expected - received));
        }
    }
    let cpu_ns = server.process.cpu_ns() - cpu_before;
    let stray = protocol.stray_bytes();
    check_excess(&mut [receiver], &[received], expected, stray)?;
    Ok(vec![(
        Metric::CpuMicros,
        cpu_ns as f64 / messages as f64 / 1e3,
    )])
}
