//! The languages of the servers, raw: bytes are prepared beforehand and arrivals
//! are counted, so that no client library's cost is counted against a server.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

mod framed;
mod jetstream;
mod mqtt;
mod nats;
mod redis;

pub use framed::Framed;
pub use jetstream::JetStream;
pub use mqtt::Mqtt;
pub use nats::Nats;
pub use redis::{Redis, RedisStreams};

/// The destination of all messages: tickwire's `target`, the rivals' subject,
/// channel or topic.
pub const SUBJECT: &str = "api-gateway";

/// The time after which a connection that doesn't move is given up.
pub const IO_TIMEOUT: Duration = Duration::from_secs(5);

/// The acks that a sender asks for; only tickwire has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acks {
    /// One for each message.
    Each,
    /// One for up to 1,024 messages.
    Batch,
    /// None; errors still come.
    None,
}

impl Acks {
    /// The word for it in a `hello`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Batch => "batch",
            Self::None => "none",
        }
    }
}

/// The answers that come back to a sender.
#[derive(Debug, Clone)]
pub enum AnswerForm {
    /// None that count.
    None,
    /// These bytes for each message.
    Fixed(Vec<u8>),
    /// tickwire's acks and errors.
    Acks(Acks),
    /// Bytes that differ from one to the next: this finds the end of each.
    Found(FindReply),
}

/// Finds the first reply in bytes that were read, once it is whole. Words for a refusal
/// are its error.
pub type FindReply = fn(&[u8]) -> Result<Option<Reply>, String>;

/// A reply of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Its bytes.
    pub bytes: usize,
    /// Whether it says that a message was taken.
    pub answers: bool,
}

/// A connection that is ready for a load.
#[derive(Debug)]
pub struct Party {
    /// The socket, blocking.
    pub stream: TcpStream,
    /// Bytes that were read behind the greeting.
    pub unread: Vec<u8>,
    /// The server's name in its own messages; empty where it has none.
    pub server: String,
    /// The last thing that a sender says.
    pub fence: Option<Fence>,
}

/// A `hello` behind all messages: its answer shows that they were answered.
#[derive(Debug, Clone)]
pub struct Fence {
    /// The id of the `hello`.
    pub id: String,
    /// Its frame.
    pub frame: Vec<u8>,
}

impl From<TcpStream> for Party {
    fn from(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            server: String::new(),
            fence: None,
        }
    }
}

/// The language of a server.
pub trait Protocol: Sync {
    /// Appends the bytes that publish a message.
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]);

    /// Bytes that arrive at a receiver for a message of so many bytes.
    fn delivered_bytes(&self, body_bytes: usize) -> usize;

    /// Opens a connection that gets all messages: those to `names` at tickwire,
    /// those to [`SUBJECT`] elsewhere.
    fn receiver(&self, address: SocketAddr, names: &[&str]) -> io::Result<Party>;

    /// Opens a connection that is ready to send.
    fn sender(&self, address: SocketAddr, acks: Acks) -> io::Result<Party>;

    /// The answers to such a connection, where there are so many receivers.
    fn answers(&self, acks: Acks, receivers: usize) -> AnswerForm;

    /// Opens a connection that has sent one message, has seen it taken, and
    /// stays.
    fn idler(&self, address: SocketAddr, index: usize) -> io::Result<TcpStream>;

    /// Bytes that a receiver may get beside the messages.
    fn stray_bytes(&self) -> &'static [u8] {
        b""
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, IO_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    leave_unpaced(&stream);
    Ok(stream)
}

/// Takes the pacing of BBR, which some systems have by default, off a connection:
/// the load shall outrun the servers, and the copy loop is to be the limit also
/// for tickwire, which does the same. The other servers are left as they come.
pub fn leave_unpaced(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    // Where there is no Reno there is no need for it.
    let _ = socket2::SockRef::from(stream).set_tcp_congestion(b"reno");
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// Reads exactly the expected bytes.
fn expect(stream: &mut TcpStream, expected: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes)?;
    if bytes == expected {
        return Ok(());
    }
    // The rest of an error, if there is any.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut rest = [0; 256];
    let more = stream.read(&mut rest).unwrap_or(0);
    bytes.extend_from_slice(&rest[..more]);
    let text = String::from_utf8_lossy(&bytes);
    Err(io::Error::other(format!("it says {text:?}")))
}
