//! tickwire's frames, and the copy loop's, which knows only their lengths.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Acks, AnswerForm, Party, Protocol, connect};
use crate::frame::{self, PREFIX_BYTES};

/// The time in the messages of these connections.
const TIME: &str = "2026-01-03T12:41:00.000Z";

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
        frame::write(out, body);
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        PREFIX_BYTES + body_bytes
    }

    fn receiver(&self, address: SocketAddr, names: &[&str]) -> io::Result<Party> {
        let payload = json!({"protocol": 1, "names": names});
        self.open(address, "peers-receiver", payload)
    }

    fn sender(&self, address: SocketAddr, acks: Acks) -> io::Result<Party> {
        let mut payload = json!({"protocol": 1, "register": false});
        // A server that doesn't know `acks` need not be asked for the usual.
        if acks != Acks::Each {
            payload["acks"] = acks.as_str().into();
        }
        self.open(address, "quantower-connector", payload)
    }

    fn answers(&self, acks: Acks, _receivers: usize) -> AnswerForm {
        match self {
            Self::CopyLoop => AnswerForm::None,
            Self::Tickwire => AnswerForm::Acks(acks),
        }
    }

    fn idler(&self, address: SocketAddr, index: usize) -> io::Result<TcpStream> {
        let mut stream = connect(address)?;
        let heartbeat = json!({
            "msg_id": Uuid::new_v4().to_string(), "msg_type": "heartbeat", "timestamp": TIME,
            "source": format!("connector-{index}"), "target": "health-monitor",
            "payload": {"status": "ok", "timestamp": TIME},
        });
        exchange(&mut stream, &heartbeat, "ack")?;
        Ok(stream)
    }
}

impl Framed {
    fn open(self, address: SocketAddr, source: &str, payload: Value) -> io::Result<Party> {
        let mut party = Party::from(connect(address)?);
        if self == Self::Tickwire {
            let hello = json!({
                "msg_id": Uuid::new_v4().to_string(), "msg_type": "hello", "timestamp": TIME,
                "source": source, "payload": payload,
            });
            let welcome = exchange(&mut party.stream, &hello, "welcome")?;
            let name = welcome["payload"]["server"]["name"].as_str();
            party.server = name.unwrap_or_default().to_owned();
        }
        Ok(party)
    }
}

/// Sends a message that must be answered by one of a type.
fn exchange(stream: &mut TcpStream, message: &Value, answer_type: &str) -> io::Result<Value> {
    let mut frame = Vec::new();
    frame::write(&mut frame, message.to_string().as_bytes());
    stream.write_all(&frame)?;
    let answer = frame::read(stream)?;
    let value: Value = serde_json::from_slice(&answer)?;
    if value["msg_type"] == answer_type {
        return Ok(value);
    }
    let (code, text) = (&value["payload"]["code"], &value["payload"]["message"]);
    Err(io::Error::other(format!("it answers {code}: {text}")))
}
