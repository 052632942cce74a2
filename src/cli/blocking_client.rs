//! A plain, blocking client. The tools speak the protocol by hand, because they
//! send and show bytes exactly as they are.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tickwire::ids::{MsgId, Name};
use tickwire::limits::{FRAME_BYTES_MAX_MAX, LISTEN_DEFAULT};
use tickwire::wire::{Hello, Message, write_frame};

use super::answer::{Body, ServerMessage};
use super::frames::{Frames, is_timeout};

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("{to}: can't find this host: {error}")]
    Unresolved { to: String, error: io::Error },
    #[error("nothing listens on {0}: start `tickwire serve` or pass --to")]
    NothingListens(String),
    #[error("can't reach {to}: {error}")]
    Unreachable { to: String, error: io::Error },
    #[error("{to} doesn't answer like a tickwire server: {reason}")]
    NotTickwire { to: String, reason: String },
    #[error("{to} refuses the connection: {code}: {message}")]
    Refused {
        to: String,
        code: String,
        message: String,
    },
}

#[derive(Debug)]
pub struct BlockingClient {
    pub stream: TcpStream,
    pub frames: Frames<TcpStream>,
    /// The server's own name, the `source` of its answers.
    pub server: String,
    pub frame_bytes_max: usize,
    pub stall_timeout: Option<Duration>,
}

/// Checks the value of `--to`, as far as that needs no network.
pub fn address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be HOST:PORT, such as {LISTEN_DEFAULT}"))
    }
}

/// The `hello` of a connection that claims no name.
pub fn nothing_claimed() -> Hello {
    Hello {
        register: Some(false),
        ..Hello::default()
    }
}

/// Returns `hello` as a frame, and its id.
pub fn hello_frame(source: &Name, hello: Hello) -> (MsgId, Vec<u8>) {
    let message = Message::hello(source, hello).expect("a name is one");
    let mut frame = Vec::new();
    write_frame(&mut frame, message.to_json().as_bytes()).expect("a hello fits a frame");
    (message.msg_id, frame)
}

impl BlockingClient {
    pub fn connect(to: &str, source: &Name, hello: Hello) -> Result<Self, ConnectionError> {
        let stream = connect(to)?;
        let unreachable = |error| ConnectionError::Unreachable {
            to: to.to_owned(),
            error,
        };
        stream.set_nodelay(true).map_err(unreachable)?;
        let (hello_id, frame) = hello_frame(source, hello);
        (&stream).write_all(&frame).map_err(unreachable)?;
        let frames = Frames::new(stream.try_clone().map_err(unreachable)?);
        let mut client = Self {
            stream,
            frames,
            server: String::new(),
            frame_bytes_max: FRAME_BYTES_MAX_MAX,
            stall_timeout: None,
        };
        client.await_welcome(to, &hello_id, WELCOME_TIMEOUT)?;
        client.stream.set_read_timeout(None).map_err(unreachable)?;
        Ok(client)
    }

    /// Reads up to the welcome, for `timeout` at most, and keeps other messages.
    fn await_welcome(
        &mut self,
        to: &str,
        hello_id: &MsgId,
        timeout: Duration,
    ) -> Result<(), ConnectionError> {
        let stranger = |reason: String| ConnectionError::NotTickwire {
            to: to.to_owned(),
            reason,
        };
        let begin = Instant::now();
        let mut early = Vec::new();
        let mut early_bytes = 0;
        loop {
            self.fill(begin, timeout).map_err(stranger)?;
            let next = self.frames.next_at_hand();
            let Some(frame) = next.map_err(|error| stranger(error.to_string()))? else {
                continue;
            };
            match ServerMessage::read(&frame) {
                Some(message) if message.payload.welcomes(hello_id) => {
                    self.frames.put_back(&early);
                    self.take_terms(message);
                    return Ok(());
                }
                Some(message) if message.msg_type == "error" => {
                    return Err(ConnectionError::Refused {
                        to: to.to_owned(),
                        code: message.payload.code.unwrap_or_default(),
                        message: message.payload.message.unwrap_or_default(),
                    });
                }
                _ => {
                    early_bytes += frame.len();
                    if early_bytes > FRAME_BYTES_MAX_MAX {
                        let reason = "it sends messages, and no welcome before them";
                        return Err(stranger(reason.to_owned()));
                    }
                    early.push(frame);
                }
            }
        }
    }

    /// Reads once, unless a frame is at hand. Fails with the reason why no
    /// welcome will come.
    fn fill(&mut self, begin: Instant, timeout: Duration) -> Result<(), String> {
        let left = timeout.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(format!("no welcome within {} s", timeout.as_secs()));
        }
        if !self.frames.is_drained() {
            return Ok(());
        }
        let timed = self.stream.set_read_timeout(Some(left));
        match timed.and_then(|()| self.frames.fill()) {
            Ok(0) => Err("it closed the connection".to_owned()),
            Err(error) if !is_timeout(&error) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    fn take_terms(&mut self, welcome: ServerMessage) {
        let Body { server, limits, .. } = welcome.payload;
        self.server = server.map_or(welcome.source, |server| server.name);
        if let Some(limits) = limits {
            self.stall_timeout = limits.stall_timeout();
            self.frame_bytes_max = limits.frame_bytes;
        }
    }
}

pub fn connect(to: &str) -> Result<TcpStream, ConnectionError> {
    let addresses = resolve(to, RESOLVE_TIMEOUT, |to| {
        to.to_socket_addrs().map(Iterator::collect)
    })?;
    let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(match last.kind() {
        ErrorKind::ConnectionRefused => ConnectionError::NothingListens(to.to_owned()),
        _ => ConnectionError::Unreachable {
            to: to.to_owned(),
            error: last,
        },
    })
}

/// Looks a host up, in a thread: a lookup can't be cancelled, and may hang.
fn resolve(
    to: &str,
    timeout: Duration,
    lookup: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<Vec<SocketAddr>, ConnectionError> {
    let (found, addresses) = mpsc::channel();
    let host = to.to_owned();
    let thread = std::thread::Builder::new().spawn(move || found.send(lookup(&host)));
    let addresses = thread.and_then(|_| match addresses.recv_timeout(timeout) {
        Ok(addresses) => addresses,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    });
    addresses.map_err(|error| ConnectionError::Unresolved {
        to: to.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A client of a server that reads nothing and writes `bytes` for ever.
    fn client_of_a_flood(bytes: &'static [u8], pause: Duration) -> BlockingClient {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        thread::spawn(move || {
            while far.write_all(bytes).is_ok() {
                thread::sleep(pause);
            }
        });
        BlockingClient {
            frames: Frames::new(stream.try_clone().unwrap()),
            stream,
            server: String::new(),
            frame_bytes_max: FRAME_BYTES_MAX_MAX,
            stall_timeout: None,
        }
    }

    /// Each of them once made the wait for the welcome begin anew.
    #[test]
    fn messages_and_single_bytes_dont_put_the_end_of_the_wait_off() {
        let hello = MsgId::from(uuid::Uuid::from_u128(1));
        let timeout = Duration::from_millis(50);
        for bytes in [b"\0\0\0\x02{}".as_slice(), b"\x01"] {
            let mut client = client_of_a_flood(bytes, Duration::from_millis(5));
            let error = client.await_welcome("t", &hello, timeout).unwrap_err();
            assert!(error.to_string().contains("no welcome within"), "{error}");
        }
    }

    #[test]
    fn what_comes_before_the_welcome_is_bounded() {
        static FRAMES: [u8; 1 << 20] = {
            // One frame that is all spaces.
            let mut frame = [b' '; 1 << 20];
            let length = ((1_u32 << 20) - 4).to_be_bytes();
            let mut at = 0;
            while at < 4 {
                frame[at] = length[at];
                at += 1;
            }
            frame
        };
        let hello = MsgId::from(uuid::Uuid::from_u128(1));
        let mut client = client_of_a_flood(&FRAMES, Duration::ZERO);
        let timeout = Duration::from_secs(600);
        let error = client.await_welcome("t", &hello, timeout).unwrap_err();
        assert!(error.to_string().contains("no welcome before"), "{error}");
    }

    #[test]
    fn a_lookup_that_hangs_is_given_up() {
        let (hang_up, hangs) = mpsc::channel::<()>();
        let error = resolve("host:1", Duration::from_millis(1), move |_| {
            let _ = hangs.recv();
            Ok(Vec::new())
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "host:1: can't find this host: timed out"
        );
        drop(hang_up);
    }

    #[test]
    fn says_that_nothing_listens() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap();
        let name = Name::new("n").unwrap();
        let error =
            BlockingClient::connect(&address.to_string(), &name, nothing_claimed()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("nothing listens on {address}: start `tickwire serve` or pass --to")
        );
    }
}
