//! From one sender to one receiver as fast as the server takes it.

use std::io::Read;
use std::net::TcpStream;

use super::answers::AnswerCount;
use super::flow::{Flow, Schedule};
use super::{Figures, Metric, READ_BYTES, broken, check_excess};
use crate::process::own_cpu_ns;
use crate::protocol::Acks;
use crate::server::Server;
use crate::stream::Stream;

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Which answers the sender asks for.
    pub acks: Acks,
    /// The names that the receiver owns.
    pub names: &'a [&'a str],
    /// When it is measured.
    pub schedule: Schedule,
}

/// Drives the server for the planned time.
pub fn run(server: &Server, stream: &Stream, plan: Plan) -> Result<Figures, String> {
    let protocol = server.protocol();
    let explain = |error| broken("connecting", &error);
    let receiver = (protocol.receiver(server.address(), plan.names)).map_err(explain)?;
    let sender = (protocol.sender(server.address(), plan.acks)).map_err(explain)?;
    let answers = AnswerCount::new(protocol.answers(plan.acks, 1));

    let cpu_before = server.process.cpu_ns();
    let load_before = own_cpu_ns();
    let flow = Flow::new(stream, plan.schedule);
    let stray = protocol.stray_bytes();
    let bytes_per_second = flow.run(sender, answers, || receive(receiver, stream, &flow, stray))?;
    let cpu_ns = server.process.cpu_ns() - cpu_before;
    let load_ns = own_cpu_ns() - load_before;
    let messages = flow.messages().unwrap_or_default() as f64;
    Ok(vec![
        (
            Metric::PerSecond,
            bytes_per_second / stream.delivered_bytes_mean(),
        ),
        (Metric::CpuMicros, cpu_ns as f64 / messages / 1e3),
        (Metric::LoadMicros, load_ns as f64 / messages / 1e3),
    ])
}

/// Counts what arrives until it is everything, and returns its rate.
fn receive(
    mut receiver: TcpStream,
    stream: &Stream,
    flow: &Flow,
    stray: &[u8],
) -> Result<f64, String> {
    let mut buffer = vec![0; READ_BYTES];
    let mut gauge = flow.gauge();
    let mut received = 0;
    while !flow.arrived(received)? {
        let bytes = receiver
            .read(&mut buffer)
            .map_err(|error| broken("receiving", &error))?;
        if bytes == 0 {
            return Err("receiving: the server closed the connection".to_owned());
        }
        received += bytes as u64;
        gauge.note(received);
    }
    let expected = stream.delivered_bytes(flow.messages().unwrap_or_default());
    check_excess(&mut [receiver], &[received], expected, stray)?;
    gauge.bytes_per_second()
}
