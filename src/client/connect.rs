//! Reaching a server and being welcomed by it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::session::{Ended, Session};
use super::{Client, ClientConfig, ConnectError, Handle, Receiver, Shared, receiver};
use crate::limits::{FRAME_BYTES_MAX_MAX, KEEPALIVE_INTERVAL, WINDOW_BYTES};
use crate::wire::{ErrorReport, FrameCodec, FrameCodecError, Message, Payload, Welcome};

impl Client {
    /// Connects to the server at `address` (`HOST:PORT`) over TCP, says hello
    /// and waits for the server's welcome.
    ///
    /// # Errors
    /// Why there is no connection, and by whose fault.
    pub async fn connect(
        address: impl ToString,
        config: ClientConfig,
    ) -> Result<(Self, Receiver), ConnectError> {
        let address = address.to_string();
        within(&address, config.connect_timeout, async {
            let unreachable = |error| ConnectError::Unreachable {
                address: address.clone(),
                error,
            };
            let stream = TcpStream::connect(&address).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            // So that a dead server is found while nothing is sent.
            let keepalive = socket2::TcpKeepalive::new()
                .with_time(KEEPALIVE_INTERVAL)
                .with_interval(KEEPALIVE_INTERVAL);
            socket2::SockRef::from(&stream)
                .set_tcp_keepalive(&keepalive)
                .map_err(unreachable)?;
            let (reader, writer) = stream.into_split();
            open(reader, writer, &address, &config).await
        })
        .await
    }

    /// Like [`Client::connect`], over a stream that already stands: one wrapped
    /// in TLS, a Unix socket, a pipe in a test.
    ///
    /// # Errors
    /// Why the server did not welcome the client, and by whose fault.
    pub async fn over<S>(stream: S, config: ClientConfig) -> Result<(Self, Receiver), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let address = "the stream";
        let (reader, writer) = tokio::io::split(stream);
        within(
            address,
            config.connect_timeout,
            open(reader, writer, address, &config),
        )
        .await
    }
}

async fn within<T>(
    address: &str,
    timeout: Duration,
    work: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| {
            Err(ConnectError::Timeout {
                address: address.to_owned(),
                timeout,
            })
        })
}

async fn open<R, W>(
    reader: R,
    mut writer: W,
    address: &str,
    config: &ClientConfig,
) -> Result<(Client, Receiver), ConnectError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let name = config.checked_name()?;
    let hello = Message::hello(&name, config.hello()?)?;
    // What the server takes isn't known yet; memory follows the bytes received.
    let codec = FrameCodec::new(FRAME_BYTES_MAX_MAX);
    let mut frames = FramedRead::with_capacity(reader, codec, WINDOW_BYTES);
    let (welcome, early) = greet(&mut frames, &mut writer, &hello)
        .await
        .map_err(|error| error.at(address))?;

    let (outgoing, queue) = mpsc::unbounded_channel();
    let (ended_sender, ended) = watch::channel(None);
    let (inbox, receiver) = receiver::inbox(config.inbound_bytes, config.inbound_bytes_max);
    let shared = Arc::new(Shared {
        name,
        frame_bytes_max: usize::try_from(welcome.limits.frame_bytes).unwrap_or(usize::MAX),
        welcome: Arc::new(welcome),
        unanswered_room: Semaphore::new(config.unanswered_max),
        queue_room: Semaphore::new(crate::limits::CLIENT_QUEUE_BYTES),
        closing: CancellationToken::new(),
        ended,
    });
    let session = Session::new(shared.clone(), config, inbox, Ended(ended_sender));
    tokio::spawn(session.run(frames, writer, queue, early));
    let handle = Arc::new(Handle { shared, outgoing });
    let client = Client {
        handle: handle.clone(),
    };
    Ok((client, receiver(handle)))
}

/// Says hello and waits for the welcome. Messages that come before it are
/// early: they are kept.
async fn greet<R, W>(
    frames: &mut FramedRead<R, FrameCodec>,
    writer: &mut W,
    hello: &Message,
) -> Result<(Welcome, Vec<Bytes>), GreetError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // A server that is full may answer and close without reading the hello.
    let written = writer.write_all(&hello.to_frame()).await;
    let mut early = Vec::new();
    let mut parting_word = None;
    while let Some(frame) = frames.next().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                return Err(parting_word.map_or_else(|| error.into(), GreetError::Refused));
            }
        };
        let message = match Message::from_json(&frame) {
            Ok(message) => message,
            Err(error) if speaks_of_welcome(&frame) => {
                return Err(GreetError::NotTickwire(error.to_string()));
            }
            Err(_) => {
                early.push(frame);
                continue;
            }
        };
        match message.payload {
            Payload::Welcome(welcome) if welcome.hello_msg_id == hello.msg_id => {
                return Ok((*welcome, early));
            }
            Payload::Error(report) if report.msg_id() == Some(hello.msg_id) => {
                return Err(GreetError::Refused(report));
            }
            // It may be the server's reason to close, or somebody's message.
            Payload::Error(report) => {
                parting_word = Some(report);
                early.push(frame);
            }
            _ => early.push(frame),
        }
    }
    if let Some(report) = parting_word {
        return Err(GreetError::Refused(report));
    }
    written?;
    Err(GreetError::Closed)
}

/// Whether a message that can't be read claims to be a welcome.
fn speaks_of_welcome(json: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        msg_type: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Head<'_>>(json).is_ok_and(|head| head.msg_type == "welcome")
}

enum GreetError {
    Refused(ErrorReport),
    Closed,
    NotTickwire(String),
    Io(io::Error),
}

impl From<io::Error> for GreetError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameCodecError> for GreetError {
    fn from(error: FrameCodecError) -> Self {
        match error {
            FrameCodecError::Io(error) => Self::Io(error),
            FrameCodecError::Frame(error) => Self::NotTickwire(error.to_string()),
        }
    }
}

impl GreetError {
    fn at(self, address: &str) -> ConnectError {
        let address = address.to_owned();
        match self {
            Self::Refused(report) => ConnectError::Refused(report),
            Self::Closed => ConnectError::ClosedByServer { address },
            Self::NotTickwire(reason) => ConnectError::NotTickwire { address, reason },
            Self::Io(error) => ConnectError::Unreachable { address, error },
        }
    }
}
