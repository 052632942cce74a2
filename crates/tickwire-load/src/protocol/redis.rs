//! Redis: RESP arrays. Each PUBLISH is answered by the number of its receivers, each
//! XADD by the id of the entry.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Acks, AnswerForm, Party, Protocol, Reply, SUBJECT, connect, expect};

/// Publishing, and subscribing.
#[derive(Debug, Clone, Copy)]
pub struct Redis;

/// Adding to a stream.
#[derive(Debug, Clone, Copy)]
pub struct RedisStreams;

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

impl Protocol for RedisStreams {
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]) {
        write_array(out, &[b"XADD", SUBJECT.as_bytes(), b"*", b"m", body]);
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        Redis.delivered_bytes(body_bytes)
    }

    fn receiver(&self, address: SocketAddr, names: &[&str]) -> io::Result<Party> {
        Redis.receiver(address, names)
    }

    fn sender(&self, address: SocketAddr, acks: Acks) -> io::Result<Party> {
        Redis.sender(address, acks)
    }

    fn answers(&self, _acks: Acks, _receivers: usize) -> AnswerForm {
        AnswerForm::Found(find_id)
    }

    fn idler(&self, address: SocketAddr, index: usize) -> io::Result<TcpStream> {
        Redis.idler(address, index)
    }
}

/// An id is a line `$BYTES` and a line of its own.
fn find_id(bytes: &[u8]) -> Result<Option<Reply>, String> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n") else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(&bytes[..end]);
    let length: usize = match line.strip_prefix('$').map(str::parse) {
        Some(Ok(length)) => length,
        _ => return Err(line.into_owned()),
    };
    let whole = end + 2 + length + 2;
    Ok((bytes.len() >= whole).then_some(Reply {
        bytes: whole,
        answers: true,
    }))
}

fn write_array(out: &mut Vec<u8>, elements: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", elements.len()).as_bytes());
    for element in elements {
        out.extend_from_slice(format!("${}\r\n", element.len()).as_bytes());
        out.extend_from_slice(element);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_once_they_are_whole() {
        let id = b"$15\r\n1767444060000-0\r\n$1";
        let whole = id.len() - 2;
        for bytes in 0..whole {
            assert_eq!(find_id(&id[..bytes]), Ok(None));
        }
        let found = Reply {
            bytes: whole,
            answers: true,
        };
        assert_eq!(find_id(id), Ok(Some(found)));
        assert_eq!(find_id(b"-ERR no\r\n").unwrap_err(), "-ERR no");
    }
}
