//! NATS core: text lines around the payload.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Acks, AnswerForm, Party, Protocol, SUBJECT, connect, expect};

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"echo\":false}\r\n";

/// The one protocol of this kind.
#[derive(Debug, Clone, Copy)]
pub struct Nats;

impl Protocol for Nats {
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]) {
        out.extend_from_slice(format!("PUB {SUBJECT} {}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        format!("MSG {SUBJECT} 1 {body_bytes}\r\n\r\n").len() + body_bytes
    }

    fn receiver(&self, address: SocketAddr, _names: &[&str]) -> io::Result<Party> {
        Ok(open(address, format!("SUB {SUBJECT} 1\r\n").as_bytes())?.into())
    }

    fn sender(&self, address: SocketAddr, _acks: Acks) -> io::Result<Party> {
        Ok(open(address, b"")?.into())
    }

    fn answers(&self, _acks: Acks, _receivers: usize) -> AnswerForm {
        AnswerForm::None
    }

    fn idler(&self, address: SocketAddr, _index: usize) -> io::Result<TcpStream> {
        open(address, b"PUB health-monitor 2\r\nok\r\n")
    }

    /// A first ping, two seconds after the connection's beginning. The server
    /// waits for its answer until two more went unanswered, minutes later; no
    /// connection of these runs lives so long.
    fn stray_bytes(&self) -> &'static [u8] {
        b"PING\r\n"
    }
}

/// Connects, says `lines`, and returns once the server has taken them.
pub(super) fn open(address: SocketAddr, lines: &[u8]) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let mut info = Vec::new();
    let mut byte = [0];
    while !info.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        info.extend_from_slice(&byte);
    }
    stream.write_all(&[CONNECT.as_bytes(), lines, b"PING\r\n"].concat())?;
    expect(&mut stream, b"PONG\r\n")?;
    Ok(stream)
}
