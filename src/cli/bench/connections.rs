//! The costs of many connections that have sent one message each, and are idle.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tickwire::wire::ErrorCode;
use tickwire_load::drive::Extent;
use tickwire_load::frame;
use tickwire_load::load::names;
use tickwire_load::messages::{Example, Selection, Target, Variants};
use tickwire_load::process::{Cpu, CpuClock, Process};
use tickwire_load::progress::{Progress, number};

use super::arguments::Connections;
use super::report::{Report, counted, micros, rate};
use super::setup::{ConnectError, Setup};
use crate::cli::Failure;
use crate::cli::answer::ServerMessage;
use crate::cli::blocking_client::{self, ConnectionError};

const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// The idle time before the costs are taken.
const IDLE_TIME: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Peer(#[from] ConnectionError),
    #[error(
        "no further file can be opened: run `ulimit -n` with a larger number in the shell that \
         starts this, or use fewer --connections"
    )]
    Files,
    #[error(
        "this machine has no further port for a connection to one address: wait a minute, widen \
         net.ipv4.ip_local_port_range, or use fewer --connections"
    )]
    Ports,
    #[error(transparent)]
    Full(ConnectError),
    #[error("the heartbeat was refused: {code}: {message}")]
    Refused { code: String, message: String },
    #[error("the heartbeat got no ack: {0}")]
    Unanswered(io::Error),
}

pub fn run(arguments: &Connections) -> Result<Report, Failure> {
    let count = arguments.connections;
    if let Some(ports) = local_ports()
        && count > ports
    {
        return Err(Failure::usage(format!(
            "{count} connections don't fit: this machine has {ports} ports for connections to one \
             address. Use fewer --connections, or widen net.ipv4.ip_local_port_range"
        )));
    }
    let setup = Setup::new(arguments.common.to.as_deref(), count)?;
    let opened = open_all(&setup, count).map_err(Failure::failed)?;
    Ok(report(&setup, count, &opened))
}

struct Opened {
    count: u64,
    /// Those that the server closed while they were idle.
    closed: u64,
    opening: Duration,
    /// Processor time while they were opened.
    cpu: Cpu,
    idle_cpu: Cpu,
    /// Bytes of memory before and after.
    resident_before: Option<u64>,
    resident: Option<u64>,
    /// The reason why there are no more.
    fault: Option<String>,
}

fn open_all(setup: &Setup, count: u64) -> Result<Opened, OpenError> {
    let mut heartbeats = Variants::new(&Selection::One(Example::Heartbeat));
    let names = names("idle", count as usize + 1);
    let mut open = |name: &str| {
        let heartbeat = heartbeats.next_for(Some(name), Target::Keep);
        open(&setup.to, &heartbeat.json)
    };
    // The first one makes the server allocate everything that it has only once.
    let _first = open(&names[count as usize])?;
    let clock = || CpuClock::start(setup.process.clone());
    let resident = || setup.process.as_ref().and_then(Process::resident_bytes);
    let resident_before = resident();
    let bar = Progress::of_load(Extent::Messages(count));
    let opening_clock = clock();
    let start = Instant::now();
    let mut streams = Vec::with_capacity(count as usize);
    let mut fault = None;
    for name in &names[..count as usize] {
        match open(name) {
            Ok(stream) => streams.push(stream),
            Err(error) => {
                fault = Some(format!("connection {}: {error}", streams.len() + 1));
                break;
            }
        }
        if streams.len().is_multiple_of(100) {
            bar.show(streams.len() as u64, start.elapsed());
        }
    }
    let opening = start.elapsed();
    let cpu = opening_clock.stop();
    let idle_clock = clock();
    std::thread::sleep(IDLE_TIME);
    Ok(Opened {
        count: streams.len() as u64,
        idle_cpu: idle_clock.stop(),
        resident: resident(),
        closed: streams.iter().filter(|stream| is_closed(stream)).count() as u64,
        opening,
        cpu,
        resident_before,
        fault,
    })
}

fn report(setup: &Setup, count: u64, opened: &Opened) -> Report {
    let title = format!(
        "connections: {} opened and idle, each after one heartbeat, through {}",
        number(opened.count),
        setup.shown()
    );
    let mut report = Report::new("connections", title);
    report.option("server", setup.option());
    report.option("connections", count);
    report.count("opened", opened.count);
    report.count("acknowledged", opened.count);
    report.count("closed", opened.closed);
    let rate = rate(opened.count, opened.opening);
    report.figure("seconds", Some(opened.opening.as_secs_f64()));
    report.figure("connections_per_second", Some(rate));
    report.line("opened", &counted(opened.count, rate));
    let grown = opened.resident.zip(opened.resident_before);
    let grown = grown.map(|(after, before)| after.saturating_sub(before) as f64);
    let memory = grown.map(|bytes| bytes / opened.count.max(1) as f64);
    let resident = opened.resident.map(|bytes| bytes as f64);
    report.figure("resident_bytes_per_connection", memory);
    report.figure("resident_bytes", resident);
    if let (Some(memory), Some(resident)) = (memory, resident) {
        let megabytes = resident / 1e6;
        let text = format!("{memory:.0} bytes a connection, {megabytes:.1} MB in all");
        report.line("server memory", &text);
    }
    report.cpu(opened.cpu, opened.count, "connection");
    let idle_us = opened.idle_cpu.server.map(|time| time.as_secs_f64() * 1e6);
    let idle_us = idle_us.map(|us| us / IDLE_TIME.as_secs_f64());
    report.figure("server_idle_cpu_us_per_second", idle_us);
    if let Some(us) = idle_us {
        report.line("idle CPU", &format!("{} a second", micros(us)));
    }
    if opened.closed > 0 {
        let text = format!("{} closed by the server while idle", number(opened.closed));
        report.faults.push(text);
    }
    report.faults.extend(opened.fault.clone());
    report
}

fn has_no_file(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

fn has_no_port(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
}

/// Opens a connection, sends `json` and reads the ack.
fn open(to: &str, json: &[u8]) -> Result<TcpStream, OpenError> {
    let mut stream = blocking_client::connect(to).map_err(|error| match error {
        ConnectionError::Unreachable { error: io, .. } if has_no_file(&io) => OpenError::Files,
        ConnectionError::Unreachable { error: io, .. } if has_no_port(&io) => OpenError::Ports,
        error => error.into(),
    })?;
    let mut frame = Vec::new();
    frame::write(&mut frame, json);
    let answered = stream
        .set_read_timeout(Some(ACK_TIMEOUT))
        .and_then(|()| stream.write_all(&frame))
        .and_then(|()| frame::read(&mut stream));
    let answer = answered.map_err(OpenError::Unanswered)?;
    let Some(answer) = ServerMessage::read(&answer) else {
        let odd = io::Error::new(ErrorKind::InvalidData, "what came is no answer");
        return Err(OpenError::Unanswered(odd));
    };
    match answer.payload.code {
        None => Ok(stream),
        Some(code) if code == ErrorCode::LimitExceeded.as_str() => {
            Err(OpenError::Full(ConnectError::Full))
        }
        Some(code) => Err(OpenError::Refused {
            code,
            message: answer.payload.message.unwrap_or_default(),
        }),
    }
}

fn is_closed(mut stream: &TcpStream) -> bool {
    let looked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.read(&mut [0]));
    !looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The ports that the system has for connections to one address.
fn local_ports() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let (first, last) = range.trim().split_once(char::is_whitespace)?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.trim().parse().ok()?);
    Some(last.checked_sub(first)? + 1)
}
