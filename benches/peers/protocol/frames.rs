//! tickwire's frames, and the copy loop's, which knows no more of them than
//! their lengths.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tickwire::wire::write_frame;
use uuid::Uuid;

use super::{Acks, Answers, Protocol, connect};

/// Either of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    /// Says `hello` first.
    Tickwire,
    /// Takes the first connection for the receiver, and the second for the
    /// sender.
    CopyLoop,
}

impl Protocol for Framed {
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]) {
        write_frame(out, body).expect("a message fits a frame");
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        4 + body_bytes
    }

    fn receiver(&self, address: SocketAddr, names: &[&str]) -> io::Result<TcpStream> {
        let mut stream = connect(address)?;
        if *self == Self::Tickwire {
            let payload = json!({"protocol": 1, "names": names});
            hello(&mut stream, "peers-receiver", payload)?;
        }
        Ok(stream)
    }

    fn sender(&self, address: SocketAddr, acks: Acks) -> io::Result<TcpStream> {
        let mut stream = connect(address)?;
        if *self == Self::Tickwire {
            let mut payload = json!({"protocol": 1, "register": false});
            match acks {
                // What holds anyway, also where `acks` is not known.
                Acks::Each => {}
                Acks::Batch => payload["acks"] = "batch".into(),
                Acks::None => payload["acks"] = "none".into(),
            }
            hello(&mut stream, "quantower-connector", payload)?;
        }
        Ok(stream)
    }

    fn answers(&self, acks: Acks, _receivers: usize) -> Answers {
        match (self, acks) {
            (Self::CopyLoop, _) | (_, Acks::None) => Answers::None,
            (_, Acks::Each) => Answers::Frames,
            (_, Acks::Batch) => Answers::Batches,
        }
    }

    fn idler(&self, address: SocketAddr, index: usize) -> io::Result<TcpStream> {
        let mut stream = connect(address)?;
        let heartbeat = json!({
            "msg_id": Uuid::new_v4().to_string(), "msg_type": "heartbeat",
            "timestamp": "2026-01-03T12:41:00.000Z",
            "source": format!("connector-{index}"), "target": "health-monitor",
            "payload": {"status": "ok", "timestamp": "2026-01-03T12:41:00.000Z"},
        });
        exchange(&mut stream, &heartbeat, "ack")?;
        Ok(stream)
    }
}

fn hello(stream: &mut TcpStream, source: &str, payload: Value) -> io::Result<()> {
    let hello = json!({
        "msg_id": Uuid::new_v4().to_string(), "msg_type": "hello",
        "timestamp": "2026-01-03T12:41:00.000Z", "source": source, "payload": payload,
    });
    exchange(stream, &hello, "welcome")
}

/// Sends a message that must be answered by one of a type.
fn exchange(stream: &mut TcpStream, message: &Value, answer_type: &str) -> io::Result<()> {
    let mut frame = Vec::new();
    write_frame(&mut frame, message.to_string().as_bytes()).expect("it fits a frame");
    stream.write_all(&frame)?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut answer = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut answer)?;
    let value: Value = serde_json::from_slice(&answer)?;
    if value["msg_type"] == answer_type {
        return Ok(());
    }
    let (code, text) = (&value["payload"]["code"], &value["payload"]["message"]);
    Err(io::Error::other(format!("it answers {code}: {text}")))
}

/// Hands each complete frame at the front to `take`, and returns how many bytes
/// they are.
#[inline]
pub fn for_each_frame(
    bytes: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<usize, String> {
    let mut at = 0;
    while let Some((prefix, rest)) = bytes[at..].split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*prefix) as usize;
        let Some(frame) = rest.get(..len) else { break };
        take(frame)?;
        at += 4 + len;
    }
    Ok(at)
}
