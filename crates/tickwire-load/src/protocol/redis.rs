//! Redis pub/sub: RESP arrays. Each PUBLISH is answered by the number of its
//! receivers.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Acks, AnswerForm, Party, Protocol, SUBJECT, connect, expect};

/// The one protocol of this kind.
#[derive(Debug, Clone, Copy)]
pub struct Redis;

impl Protocol for Redis {
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]) {
        write_array(out, &[b"PUBLISH", SUBJECT.as_bytes(), body]);
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        let mut head = Vec::new();
        // The head's "*2" is as long as the delivery's "*3".
        write_array(&mut head, &[b"message", SUBJECT.as_bytes()]);
        head.len() + format!("${body_bytes}\r\n\r\n").len() + body_bytes
    }

    fn receiver(&self, address: SocketAddr, _names: &[&str]) -> io::Result<Party> {
        let mut stream = connect(address)?;
        let mut command = Vec::new();
        write_array(&mut command, &[b"SUBSCRIBE", SUBJECT.as_bytes()]);
        stream.write_all(&command)?;
        let mut reply = Vec::new();
        write_array(&mut reply, &[b"subscribe", SUBJECT.as_bytes(), b""]);
        // The third element is a number, not a string.
        reply.truncate(reply.len() - b"$0\r\n\r\n".len());
        reply.extend_from_slice(b":1\r\n");
        expect(&mut stream, &reply)?;
        Ok(stream.into())
    }

    fn sender(&self, address: SocketAddr, _acks: Acks) -> io::Result<Party> {
        Ok(connect(address)?.into())
    }

    fn answers(&self, _acks: Acks, receivers: usize) -> AnswerForm {
        AnswerForm::Fixed(format!(":{receivers}\r\n").into_bytes())
    }

    fn idler(&self, address: SocketAddr, _index: usize) -> io::Result<TcpStream> {
        let mut stream = connect(address)?;
        let mut command = Vec::new();
        write_array(&mut command, &[b"PUBLISH", b"health-monitor", b"ok"]);
        stream.write_all(&command)?;
        expect(&mut stream, b":0\r\n")?;
        Ok(stream)
    }
}

fn write_array(out: &mut Vec<u8>, elements: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", elements.len()).as_bytes());
    for element in elements {
        out.extend_from_slice(format!("${}\r\n", element.len()).as_bytes());
        out.extend_from_slice(element);
        out.extend_from_slice(b"\r\n");
    }
}
