//! From one sender to many receivers, all of whom get everything.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::answers::AnswerCount;
use super::flow::{Flow, Schedule};
use super::{Figures, Metric, READ_BYTES, broken, check_excess, is_timeout};
use crate::protocol::{Acks, IO_TIMEOUT};
use crate::server::Server;
use crate::stream::Stream;

/// Drives the server for the planned time: one thread writes, one reads
/// everybody.
pub fn run(
    server: &Server,
    stream: &Stream,
    receivers: usize,
    schedule: Schedule,
) -> Result<Figures, String> {
    let protocol = server.protocol();
    let explain = |error| broken("connecting", &error);
    let streams = (0..receivers)
        .map(|n| protocol.receiver(server.address(), &[&format!("receiver-{n}")]))
        .collect::<Result<Vec<TcpStream>, _>>()
        .map_err(explain)?;
    let sender = (protocol.sender(server.address(), Acks::None)).map_err(explain)?;
    let answers = AnswerCount::new(protocol.answers(Acks::None, receivers));

    let cpu_before = server.process.cpu_ns();
    let flow = Flow::new(stream, schedule);
    let stray = protocol.stray_bytes();
    let bytes_per_second = flow.run(sender, answers, || receive(streams, stream, &flow, stray))?;
    let cpu_ns = server.process.cpu_ns() - cpu_before;
    let deliveries = flow.messages().unwrap_or_default() as f64 * receivers as f64;
    Ok(vec![
        (
            Metric::PerSecond,
            bytes_per_second / stream.delivered_bytes_mean(),
        ),
        (Metric::CpuMicros, cpu_ns as f64 / deliveries / 1e3),
    ])
}

/// Reads every receiver until each has everything, and returns the rate of all.
fn receive(
    receivers: Vec<TcpStream>,
    stream: &Stream,
    flow: &Flow,
    stray: &[u8],
) -> Result<f64, String> {
    let mut readers = Readers::new(receivers).map_err(|error| broken("receiving", &error))?;
    let mut gauge = flow.gauge();
    let mut moved = Instant::now();
    while !flow.arrived(readers.slowest())? {
        if readers.read()? {
            moved = Instant::now();
        } else if moved.elapsed() > IO_TIMEOUT {
            return Err("receiving: some receivers miss messages".to_owned());
        }
        gauge.note(readers.received.iter().sum());
    }
    let expected = stream.delivered_bytes(flow.messages().unwrap_or_default());
    let mut streams: Vec<TcpStream> = readers.streams.into_iter().map(Into::into).collect();
    check_excess(&mut streams, &readers.received, expected, stray)?;
    gauge.bytes_per_second()
}

/// Many receivers read by one thread.
struct Readers {
    poll: Poll,
    events: Events,
    streams: Vec<mio::net::TcpStream>,
    /// Bytes that each has got.
    received: Vec<u64>,
    buffer: Vec<u8>,
}

impl Readers {
    fn new(receivers: Vec<TcpStream>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::with_capacity(receivers.len());
        for (index, receiver) in receivers.into_iter().enumerate() {
            receiver.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(receiver);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)?;
            streams.push(stream);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(streams.len()),
            received: vec![0; streams.len()],
            streams,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn slowest(&self) -> u64 {
        self.received.iter().copied().min().unwrap_or(0)
    }

    /// Waits a while for something to read, reads all of it, and returns whether
    /// there was any.
    fn read(&mut self) -> Result<bool, String> {
        let explain = |error: io::Error| broken("receiving", &error);
        let patience = Some(Duration::from_millis(100));
        self.poll
            .poll(&mut self.events, patience)
            .map_err(explain)?;
        for event in &self.events {
            let index = event.token().0;
            loop {
                match self.streams[index].read(&mut self.buffer) {
                    Ok(0) => return Err("receiving: the server closed a connection".to_owned()),
                    Ok(bytes) => self.received[index] += bytes as u64,
                    Err(error) if is_timeout(&error) => break,
                    Err(error) => return Err(explain(error)),
                }
            }
        }
        Ok(!self.events.is_empty())
    }
}
