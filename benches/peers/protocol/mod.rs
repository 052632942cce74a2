//! What each server is spoken to in, raw: the bytes are prepared beforehand and
//! what arrives is counted, so that no client library's cost is counted against
//! a server.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

mod frames;
mod mqtt;
mod nats;
mod redis;

pub use frames::{Framed, for_each_frame};
pub use mqtt::Mqtt;
pub use nats::Nats;
pub use redis::Redis;

/// Where everything is sent: tickwire's `target`, the others' subject, channel
/// or topic.
pub const SUBJECT: &str = "api-gateway";

/// Whatever takes longer than this is given up.
pub const IO_TIMEOUT: Duration = Duration::from_secs(5);

/// Which answers a sender asks for; only tickwire has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acks {
    /// One a message.
    Each,
    /// One for many.
    Batch,
    /// None.
    None,
}

/// What a sender gets back while it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answers {
    /// Nothing.
    None,
    /// These bytes for each message.
    Fixed(Vec<u8>),
    /// A frame with an ack for each message but acks.
    Frames,
    /// Frames with acks that name many ids.
    Batches,
}

/// How a server is spoken to.
pub trait Protocol: Sync {
    /// Appends what publishes a message.
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]);

    /// Bytes that arrive at a receiver for a message of so many bytes.
    fn delivered_bytes(&self, body_bytes: usize) -> usize;

    /// A connection to which everything is delivered: to `names` at tickwire,
    /// to [`SUBJECT`] elsewhere.
    fn receiver(&self, address: SocketAddr, names: &[&str]) -> io::Result<TcpStream>;

    /// A connection ready to send.
    fn sender(&self, address: SocketAddr, acks: Acks) -> io::Result<TcpStream>;

    /// What comes back to such a connection, when there are so many receivers.
    fn answers(&self, acks: Acks, receivers: usize) -> Answers;

    /// A connection that has sent one message, has seen it taken, and stays.
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
#[cfg(target_os = "linux")]
pub fn leave_unpaced(stream: &TcpStream) {
    // Where there is no Reno there is no need for it.
    let _ = socket2::SockRef::from(stream).set_tcp_congestion(b"reno");
}

/// There is nothing to take off.
#[cfg(not(target_os = "linux"))]
pub fn leave_unpaced(_stream: &TcpStream) {}

/// Reads exactly what is expected.
fn expect(stream: &mut TcpStream, expected: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes)?;
    if bytes == expected {
        return Ok(());
    }
    // The rest of what it says instead, if there is any.
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut rest = [0; 256];
    let more = stream.read(&mut rest).unwrap_or(0);
    bytes.extend_from_slice(&rest[..more]);
    let text = String::from_utf8_lossy(&bytes);
    Err(io::Error::other(format!("it says {text:?}")))
}
