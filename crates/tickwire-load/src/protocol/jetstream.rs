//! NATS with a stream in files that takes every message, and says so.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use super::{Acks, AnswerForm, Nats, Party, Protocol, Reply, SUBJECT, nats};

/// The subject of the server's answers.
const INBOX: &str = "_INBOX.peers";
/// The stream.
const STREAM: &str = "orders";

/// The one protocol of this kind.
#[derive(Debug, Clone, Copy)]
pub struct JetStream;

impl Protocol for JetStream {
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]) {
        out.extend_from_slice(format!("PUB {SUBJECT} {INBOX} {}\r\n", body.len()).as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        Nats.delivered_bytes(body_bytes) + format!("{INBOX} ").len()
    }

    fn receiver(&self, address: SocketAddr, names: &[&str]) -> io::Result<Party> {
        Nats.receiver(address, names)
    }

    /// The stream is made, if it isn't there.
    fn sender(&self, address: SocketAddr, _acks: Acks) -> io::Result<Party> {
        let mut stream = nats::open(address, format!("SUB {INBOX} 1\r\n").as_bytes())?;
        let settings = json!({
            "name": STREAM, "subjects": [SUBJECT], "storage": "file", "retention": "limits",
            "num_replicas": 1,
        });
        let settings = settings.to_string();
        let request = format!(
            "PUB $JS.API.STREAM.CREATE.{STREAM} {INBOX} {}\r\n{settings}\r\n",
            settings.len()
        );
        stream.write_all(request.as_bytes())?;
        await_reply(&mut stream)?;
        Ok(stream.into())
    }

    fn answers(&self, _acks: Acks, _receivers: usize) -> AnswerForm {
        AnswerForm::Found(find_reply)
    }

    fn idler(&self, address: SocketAddr, index: usize) -> io::Result<TcpStream> {
        Nats.idler(address, index)
    }
}

fn await_reply(stream: &mut TcpStream) -> io::Result<()> {
    let (mut reply, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte)?;
        reply.extend_from_slice(&byte);
        if find_reply(&reply).map_err(io::Error::other)?.is_some() {
            return Ok(());
        }
    }
}

/// A reply is a line `MSG SUBJECT 1 BYTES` and a line of JSON. A ping stands between
/// replies.
fn find_reply(bytes: &[u8]) -> Result<Option<Reply>, String> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n") else {
        return Ok(None);
    };
    let line = &bytes[..end];
    if line == b"PING" {
        let ping = Reply {
            bytes: end + 2,
            answers: false,
        };
        return Ok(Some(ping));
    }
    let words = || String::from_utf8_lossy(line).into_owned();
    let length = line.strip_prefix(b"MSG ").and_then(|_| {
        let last = line.rsplit(|byte| *byte == b' ').next()?;
        std::str::from_utf8(last).ok()?.parse::<usize>().ok()
    });
    let length = length.ok_or_else(words)?;
    let whole = end + 2 + length + 2;
    let Some(body) = bytes.get(end + 2..whole) else {
        return Ok(None);
    };
    if memchr::memmem::find(body, b"\"error\"").is_some() {
        return Err(String::from_utf8_lossy(body).trim().to_owned());
    }
    Ok(Some(Reply {
        bytes: whole,
        answers: true,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_found_once_they_are_whole() {
        let ack = b"MSG _INBOX.peers 1 27\r\n{\"stream\":\"orders\",\"seq\":1}\r\nMSG";
        let whole = ack.len() - 3;
        let found = |bytes: usize, answers| Ok(Some(Reply { bytes, answers }));
        for bytes in 0..whole {
            assert_eq!(find_reply(&ack[..bytes]), Ok(None));
        }
        assert_eq!(find_reply(ack), found(whole, true));
        assert_eq!(find_reply(b"PING\r\nMSG"), found(6, false));
        let refusal = b"MSG _INBOX.peers 1 18\r\n{\"error\":{\"c\":50}}\r\n";
        assert_eq!(find_reply(refusal).unwrap_err(), r#"{"error":{"c":50}}"#);
        assert_eq!(find_reply(b"-ERR 'no'\r\n").unwrap_err(), "-ERR 'no'");
    }
}
