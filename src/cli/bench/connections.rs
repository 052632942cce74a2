//! Many connections that have each sent one message and are idle then: what
//! each costs the server.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tickwire::limits::{FRAME_BYTES_MAX_DEFAULT, FRAME_PREFIX_BYTES};
use tickwire::wire::{ErrorCode, write_frame};

use super::arguments::Connections;
use super::drive::Extent;
use super::load::names;
use super::messages::{Example, Selection, Target, Variants};
use super::process::Process;
use super::progress;
use super::report::{Report, micros, number, per_second};
use super::setup::{ConnectError, CpuClock, Setup};
use crate::cli::Failure;
use crate::cli::answer::ServerMessage;
use crate::cli::peer::{self, PeerError};

/// How long a heartbeat may wait for its ack.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all are idle before it is looked what they cost.
const IDLE_TIME: Duration = Duration::from_millis(500);

/// Why no further connection could be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Peer(#[from] PeerError),
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

/// Runs `connections`.
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
    let mut heartbeats = Variants::new(&Selection::One(Example::Heartbeat), 0x7411);
    // The first one makes the server allocate what it has only once.
    let names = names("idle", count as usize + 1);
    let mut open = |name: &str| {
        let json = heartbeats.next_for(Some(name), Target::Keep);
        open(setup.address(), &json)
    };
    let _first = open(&names[count as usize]).map_err(Failure::failed)?;
    let process = setup.process.as_ref();
    let resident_before = process.and_then(Process::resident_bytes);

    let extent = Extent::Messages(count);
    let bar = progress::bar(extent);
    let clock = CpuClock::start(&setup);
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
            progress::show(&bar, extent, streams.len() as u64, start.elapsed());
        }
    }
    let opening = start.elapsed();
    let cpu = clock.stop();
    let idle = CpuClock::start(&setup);
    std::thread::sleep(IDLE_TIME);
    let idle = idle.stop();
    bar.finish_and_clear();
    let resident = process.and_then(Process::resident_bytes);
    let closed = streams.iter().filter(|stream| is_closed(stream)).count() as u64;

    let opened = streams.len() as u64;
    let title = format!(
        "connections: {} opened and idle, each after one heartbeat, through {}",
        number(opened),
        setup.shown()
    );
    let mut report = Report::new("connections", title);
    report.option("server", setup.option());
    report.option("connections", count);
    report.count("opened", opened);
    report.count("acknowledged", opened);
    report.count("closed", closed);
    let rate = opened as f64 / opening.as_secs_f64().max(1e-9);
    report.figure("seconds", Some(opening.as_secs_f64()));
    report.figure("connections_per_second", Some(rate));
    report.line(
        "opened",
        &format!("{:>14} {:>16}", number(opened), per_second(rate)),
    );
    let per_connection = |bytes: Option<u64>| Some(bytes? as f64 / opened.max(1) as f64);
    let grown = resident.zip(resident_before);
    let grown = grown.map(|(after, before)| after.saturating_sub(before));
    let memory = per_connection(grown);
    report.figure("resident_bytes_per_connection", memory);
    report.figure("resident_bytes", resident.map(|bytes| bytes as f64));
    if let (Some(memory), Some(resident)) = (memory, resident) {
        let megabytes = resident as f64 / 1e6;
        let text = format!("{memory:.0} bytes a connection, {megabytes:.1} MB in all");
        report.line("server memory", &text);
    }
    report.cpu(cpu, opened, "connection");
    let idle_us = idle.server.map(|time| time.as_secs_f64() * 1e6);
    let idle_us = idle_us.map(|us| us / IDLE_TIME.as_secs_f64());
    report.figure("server_idle_cpu_us_per_second", idle_us);
    if let Some(us) = idle_us {
        report.line("idle CPU", &format!("{} a second", micros(us)));
    }
    if closed > 0 {
        let text = format!("{} closed by the server while idle", number(closed));
        report.faults.push(text);
    }
    report.faults.extend(fault);
    Ok(report)
}

/// Opens a connection, sends `json` and reads the ack.
fn open(to: &str, json: &[u8]) -> Result<TcpStream, OpenError> {
    let mut stream = peer::connect(to).map_err(|error| match error {
        PeerError::Unreachable { error, .. } if error.raw_os_error() == Some(libc::EMFILE) => {
            OpenError::Files
        }
        PeerError::Unreachable { error, .. } if error.kind() == ErrorKind::AddrNotAvailable => {
            OpenError::Ports
        }
        error => error.into(),
    })?;
    let mut frame = Vec::new();
    write_frame(&mut frame, json).expect("a heartbeat fits a frame");
    let answered = stream
        .set_read_timeout(Some(ACK_TIMEOUT))
        .and_then(|()| stream.write_all(&frame))
        .and_then(|()| read_frame(&mut stream));
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

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut prefix = [0; FRAME_PREFIX_BYTES];
    stream.read_exact(&mut prefix)?;
    let len = u32::from_be_bytes(prefix) as usize;
    if len > FRAME_BYTES_MAX_DEFAULT {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "what came is no frame",
        ));
    }
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn is_closed(mut stream: &TcpStream) -> bool {
    let looked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.read(&mut [0]));
    !looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// How many ports the system hands out for connections to one address.
fn local_ports() -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let (first, last) = range.trim().split_once(char::is_whitespace)?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.trim().parse().ok()?);
    Some(last.checked_sub(first)? + 1)
}
