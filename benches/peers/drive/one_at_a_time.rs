//! One message at a time: the next is written when the last has arrived.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{Figures, Metric, broken};
use crate::protocol::{Acks, Answers, SUBJECT};
use crate::server::Server;
use crate::statistics::percentile;
use crate::stream::Stream;

/// Drives the server for so long, by one thread.
pub fn run(
    server: &Server,
    stream: &Stream,
    warm_up: Duration,
    measured: Duration,
) -> Result<Figures, String> {
    let protocol = server.protocol();
    let explain = |error| broken("connecting", &error);
    let mut receiver = (protocol.receiver(server.address(), &[SUBJECT])).map_err(explain)?;
    let mut sender = (protocol.sender(server.address(), Acks::None)).map_err(explain)?;
    let mut answer = match protocol.answers(Acks::None, 1) {
        Answers::Fixed(answer) => vec![0; answer.len()],
        _ => Vec::new(),
    };

    let mut buffer = vec![0; 64 * 1024];
    let mut nanos: Vec<u64> = Vec::with_capacity(1 << 16);
    let begin = Instant::now() + warm_up;
    let end = begin + measured;
    for index in 0.. {
        let (message, delivered_bytes) = stream.message(index);
        let start = Instant::now();
        if start >= end {
            break;
        }
        sender
            .write_all(message)
            .map_err(|error| broken("sending", &error))?;
        receiver
            .read_exact(&mut buffer[..delivered_bytes])
            .map_err(|error| broken("receiving", &error))?;
        if start >= begin {
            nanos.push(start.elapsed().as_nanos() as u64);
        }
        sender
            .read_exact(&mut answer)
            .map_err(|error| broken("reading an answer", &error))?;
    }
    nanos.sort_unstable();
    let micros = |share| percentile(&nanos, share) as f64 / 1e3;
    Ok(vec![
        (Metric::P50Micros, micros(0.5)),
        (Metric::P99Micros, micros(0.99)),
    ])
}
