//! A plain connection to a server: blocking sockets, frames in and out.
//!
//! The tools speak the protocol by hand instead of through the library's
//! client, because they send and show bytes exactly as they are.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tickwire::ids::{MsgId, Name};
use tickwire::limits::{FRAME_BYTES_MAX_MAX, FRAME_PREFIX_BYTES, PROTOCOL_VERSION, WINDOW_BYTES};
use tickwire::wire::{FrameError, FrameState, frame_state, write_frame};

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to welcome a connection.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The address is none.
    #[error("{to}: can't be resolved ({error}): --to takes HOST:PORT, such as 127.0.0.1:7411")]
    Unresolved {
        /// The address.
        to: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// Nothing listens there.
    #[error("nothing listens on {0}: start `tickwire serve` or pass --to")]
    NothingListens(String),
    /// The server can't be reached.
    #[error("can't reach {to}: {error}")]
    Unreachable {
        /// The address.
        to: String,
        /// Why.
        error: io::Error,
    },
    /// What listens there doesn't speak the protocol.
    #[error("{to} doesn't answer like a tickwire server: {reason}")]
    NotTickwire {
        /// The address.
        to: String,
        /// What it does instead.
        reason: String,
    },
    /// The server refused the hello.
    #[error("{to} refuses the connection: {code}: {message}")]
    Refused {
        /// The address.
        to: String,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
}

/// A connection that was welcomed.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub stream: TcpStream,
    /// Frames from it.
    pub frames: Frames<TcpStream>,
    /// The server's own name, the `source` of its answers.
    pub server: String,
    /// The largest frame that the server takes.
    pub frame_bytes_max: usize,
}

/// What to say in a `hello` beside the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Claims the source as the connection's name.
    Source,
    /// Claims nothing.
    Nothing,
}

/// A `hello` as a frame, and its id.
pub fn hello(source: &Name, claim: Claim) -> (MsgId, Vec<u8>) {
    let msg_id = MsgId::from(uuid::Uuid::new_v4());
    let mut payload = json!({ "protocol": PROTOCOL_VERSION });
    if claim == Claim::Nothing {
        payload["register"] = false.into();
    }
    let json = json!({
        "msg_id": msg_id.as_str(),
        "msg_type": "hello",
        "timestamp": now(),
        "source": source.as_str(),
        "target": null,
        "payload": payload,
    });
    let mut frame = Vec::new();
    write_frame(&mut frame, json.to_string().as_bytes()).expect("a hello fits a frame");
    (msg_id, frame)
}

/// The current time as messages carry it.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

impl Peer {
    /// Connects to `to`, says hello and waits for the welcome.
    pub fn connect(to: &str, source: &Name, claim: Claim) -> Result<Self, PeerError> {
        let stream = connect(to)?;
        let unreachable = |error| PeerError::Unreachable {
            to: to.to_owned(),
            error,
        };
        stream.set_nodelay(true).map_err(unreachable)?;
        let (hello_id, frame) = hello(source, claim);
        (&stream).write_all(&frame).map_err(unreachable)?;
        stream
            .set_read_timeout(Some(WELCOME_TIMEOUT))
            .map_err(unreachable)?;
        let frames = Frames::new(stream.try_clone().map_err(unreachable)?);
        let mut peer = Self {
            stream,
            frames,
            server: String::new(),
            frame_bytes_max: FRAME_BYTES_MAX_MAX,
        };
        peer.await_welcome(to, &hello_id)?;
        peer.stream.set_read_timeout(None).map_err(unreachable)?;
        Ok(peer)
    }

    /// Reads up to the welcome. What arrives before it is kept for later.
    fn await_welcome(&mut self, to: &str, hello_id: &MsgId) -> Result<(), PeerError> {
        let stranger = |reason: String| PeerError::NotTickwire {
            to: to.to_owned(),
            reason,
        };
        let mut early = Vec::new();
        loop {
            let frame = match self.frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(stranger("it closed the connection".to_owned())),
                Err(FramesError::Io(error)) if is_timeout(&error) => {
                    return Err(stranger(format!(
                        "no welcome within {} s",
                        WELCOME_TIMEOUT.as_secs()
                    )));
                }
                Err(error) => return Err(stranger(error.to_string())),
            };
            match ServerMessage::read(frame) {
                Some(message) if message.payload.hello_msg_id() == Some(hello_id.as_str()) => {
                    let Body { server, limits, .. } = message.payload;
                    self.server = server.map_or(message.source, |server| server.name);
                    if let Some(limits) = limits {
                        self.frame_bytes_max = limits.frame_bytes;
                    }
                    break;
                }
                Some(message) if message.msg_type == "error" => {
                    return Err(PeerError::Refused {
                        to: to.to_owned(),
                        code: message.payload.code.unwrap_or_default(),
                        message: message.payload.message.unwrap_or_default(),
                    });
                }
                _ => early.push(frame.to_vec()),
            }
        }
        self.frames.early.extend(early);
        Ok(())
    }
}

fn connect(to: &str) -> Result<TcpStream, PeerError> {
    let addresses: Vec<SocketAddr> = to
        .to_socket_addrs()
        .map_err(|error| PeerError::Unresolved {
            to: to.to_owned(),
            error,
        })?
        .collect();
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(match last.kind() {
        ErrorKind::ConnectionRefused => PeerError::NothingListens(to.to_owned()),
        _ => PeerError::Unreachable {
            to: to.to_owned(),
            error: last,
        },
    })
}

/// Whether a read ended because its time was up.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The framing is lost.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Frames out of a stream of bytes.
#[derive(Debug)]
pub struct Frames<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the unread bytes begin.
    begin: usize,
    /// Where they end.
    end: usize,
    /// Frames that were read before somebody wanted them.
    early: VecDeque<Vec<u8>>,
    current: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Frames that `reader` gives.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; WINDOW_BYTES],
            begin: 0,
            end: 0,
            early: VecDeque::new(),
            current: Vec::new(),
        }
    }

    /// The next frame without its prefix; `None` at the end of the stream, in
    /// the middle of a frame or not. After a timeout it can be asked again.
    pub fn next(&mut self) -> Result<Option<&[u8]>, FramesError> {
        while self.is_drained()? {
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
        Ok(self.next_at_hand()?)
    }

    /// The next frame if all of it is at hand.
    #[inline]
    pub fn next_at_hand(&mut self) -> Result<Option<&[u8]>, FrameError> {
        if let Some(frame) = self.early.pop_front() {
            self.current = frame;
            return Ok(Some(&self.current));
        }
        // The limit of any server: memory follows what comes, not the prefix.
        match frame_state(&self.buffer[self.begin..self.end], FRAME_BYTES_MAX_MAX)? {
            FrameState::Complete { len } => {
                let start = self.begin + FRAME_PREFIX_BYTES;
                self.begin = start + len;
                Ok(Some(&self.buffer[start..start + len]))
            }
            FrameState::Partial { .. } => Ok(None),
        }
    }

    /// Whether no whole frame is at hand, so that [`next`](Self::next) would
    /// have to wait.
    pub fn is_drained(&self) -> Result<bool, FrameError> {
        let unread = &self.buffer[self.begin..self.end];
        Ok(self.early.is_empty()
            && matches!(
                frame_state(unread, FRAME_BYTES_MAX_MAX)?,
                FrameState::Partial { .. }
            ))
    }

    /// Reads once; the bytes read, 0 at the end of the stream.
    pub fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        Ok(read)
    }
}

/// A message that the server itself may have sent.
#[derive(Debug)]
pub struct ServerMessage {
    /// Its type.
    pub msg_type: String,
    /// Who sent it.
    pub source: String,
    /// What it says.
    pub payload: Body,
}

/// What the server's answers say; each type has some of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    /// Of an ack: the message.
    pub acknowledged_msg_id: Option<String>,
    /// Of a batch ack: all messages.
    pub acknowledged_msg_ids: Option<Vec<String>>,
    /// Of an ack: how many receivers missed the message.
    pub dropped: Option<u64>,
    /// Of an error.
    pub code: Option<String>,
    /// Of an error.
    pub message: Option<String>,
    /// Of an error.
    pub details: Details,
    /// Of a welcome: what it answers.
    hello_msg_id: Option<String>,
    server: Option<Server>,
    limits: Option<Limits>,
}

/// An error's details.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The offending message.
    pub msg_id: Option<String>,
    /// The offending field.
    pub field: Option<String>,
    /// How many messages a report is about.
    pub count: Option<u64>,
    /// Whose queue a report is about.
    pub target: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Server {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Limits {
    frame_bytes: usize,
}

impl Body {
    /// Of a welcome: the hello that it answers.
    pub fn hello_msg_id(&self) -> Option<&str> {
        self.hello_msg_id.as_deref()
    }
}

/// The envelope's fields that tell whose message it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    msg_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl ServerMessage {
    /// Reads `frame` whoever sent it; `None` if it isn't shaped like something
    /// that a server says.
    pub fn read(frame: &[u8]) -> Option<Self> {
        Self::from_head(serde_json::from_slice(frame).ok()?)
    }

    /// Reads `frame` if its source is `server`.
    pub fn of(server: &str, frame: &[u8]) -> Option<Self> {
        let head: Head<'_> = serde_json::from_slice(frame).ok()?;
        if head.source != server {
            return None;
        }
        Self::from_head(head)
    }

    fn from_head(head: Head<'_>) -> Option<Self> {
        Some(Self {
            payload: serde_json::from_str(head.payload.get()).ok()?,
            msg_type: head.msg_type.into_owned(),
            source: head.source.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let mut bytes = Vec::new();
        let long = vec![b'x'; 3 * WINDOW_BYTES];
        for frame in [b"{}".as_slice(), &long, b"{\"a\":1}"] {
            write_frame(&mut bytes, frame).unwrap();
        }
        let mut frames = Frames::new(bytes.as_slice());
        assert_eq!(frames.next().unwrap(), Some(b"{}".as_slice()));
        assert_eq!(frames.next().unwrap(), Some(long.as_slice()));
        assert!(!frames.is_drained().unwrap());
        assert_eq!(frames.next().unwrap(), Some(b"{\"a\":1}".as_slice()));
        assert!(frames.is_drained().unwrap());
        assert_eq!(frames.next().unwrap(), None);
    }

    #[test]
    fn a_frame_that_arrived_before_the_welcome_comes_first() {
        let mut frames = Frames::new(b"\0\0\0\x02{}".as_slice());
        frames.early.push_back(b"{1}".to_vec());
        assert!(!frames.is_drained().unwrap());
        assert_eq!(frames.next().unwrap(), Some(b"{1}".as_slice()));
        assert_eq!(frames.next().unwrap(), Some(b"{}".as_slice()));
    }

    #[test]
    fn tells_the_servers_messages_from_others() {
        let ack = br#"{"msg_type":"ack","source":"tickwire","payload":{"acknowledged_msg_id":"x","dropped":2}}"#;
        let message = ServerMessage::of("tickwire", ack).unwrap();
        assert_eq!(message.payload.acknowledged_msg_id.as_deref(), Some("x"));
        assert_eq!(message.payload.dropped, Some(2));
        assert!(ServerMessage::of("other", ack).is_none());
        assert!(ServerMessage::of("tickwire", b"{}").is_none());
        assert!(ServerMessage::of("tickwire", b"nonsense").is_none());
    }

    #[test]
    fn says_that_nothing_listens() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap();
        let name = Name::new("n").unwrap();
        let error = Peer::connect(&address.to_string(), &name, Claim::Nothing).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("nothing listens on {address}: start `tickwire serve` or pass --to")
        );
    }
}
