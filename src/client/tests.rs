//! The client against a server that follows a test's script.

mod closing;
mod connecting;
mod flushing;
mod model;
mod receiving;
mod reconnecting;
mod resending;
mod sending;
mod settling;
mod silence;
mod subscribing;

use std::future::{Ready, ready};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::codec::Framed;

use super::*;
use crate::ids::MsgId;
use crate::limits::{CLIENT_QUEUE_BYTES, UNANSWERED_MAX_DEFAULT};
use crate::wire::{
    ErrorReport, FrameCodec, Granted, GrantedLimits, Hello, RawObject, ServerIdentity, Target,
};

const SERVER: &str = "tickwire";

/// The server's end of a connection.
struct ServerEnd<S> {
    frames: Framed<S, FrameCodec>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerEnd<S> {
    fn on(stream: S) -> Self {
        Self {
            frames: Framed::new(stream, FrameCodec::default()),
        }
    }

    /// The next message of the client; `None` once it has ended its output.
    async fn hear(&mut self) -> Option<Message> {
        let frame = self.frames.next().await?.unwrap();
        Some(Message::from_json(&frame).unwrap())
    }

    /// Hears the next message, and acknowledges it.
    async fn hear_and_ack(&mut self) -> Message {
        let message = self.hear().await.unwrap();
        self.ack(&message).await;
        message
    }

    async fn say_json(&mut self, json: impl Into<Bytes>) {
        self.frames.send(json.into()).await.unwrap();
    }

    async fn say(&mut self, message: Message) {
        self.say_json(message.to_json()).await;
    }

    async fn ack(&mut self, message: &Message) {
        self.say(Message::ack_of(SERVER, message).unwrap()).await;
    }

    async fn refuse(&mut self, message: &Message, code: &str) {
        self.say(error(code, Some(message))).await;
    }

    async fn welcome(&mut self) -> Message {
        self.grant(Granted::new()).await
    }

    /// Welcomes the client and grants it this; returns its hello.
    async fn grant(&mut self, granted: Granted) -> Message {
        let hello = self.hear().await.unwrap();
        self.say(welcome_with(&hello, granted)).await;
        hello
    }

    /// The bytes of the next message of the client.
    async fn hear_json(&mut self) -> Bytes {
        self.frames.next().await.unwrap().unwrap()
    }
}

/// Connections that a client makes by itself, at the server's end.
struct Network {
    accepted: mpsc::UnboundedReceiver<DuplexStream>,
    state: Arc<NetworkState>,
}

struct NetworkState {
    /// Whether a connection can be made.
    up: AtomicBool,
    attempts: AtomicUsize,
}

impl Network {
    async fn accept(&mut self) -> ServerEnd<DuplexStream> {
        ServerEnd::on(self.accepted.recv().await.unwrap())
    }

    /// Accepts the client's next connection, and grants it this.
    async fn welcome(&mut self, granted: Granted) -> ServerEnd<DuplexStream> {
        let mut peer = self.accept().await;
        peer.grant(granted).await;
        peer
    }

    fn set_up(&self, up: bool) {
        self.state.up.store(up, Ordering::Relaxed);
    }

    /// Returns how often the client has tried to connect.
    fn attempts(&self) -> usize {
        self.state.attempts.load(Ordering::Relaxed)
    }

    /// Fails if the client tries to connect any more.
    async fn assert_no_more_attempts(&self) {
        let attempts = self.attempts();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(self.attempts(), attempts);
    }
}

/// A network whose connections hold `bytes`, and the function that dials it.
fn network(bytes: usize) -> (impl FnMut() -> Ready<io::Result<DuplexStream>>, Network) {
    let (accept, accepted) = mpsc::unbounded_channel();
    let state = Arc::new(NetworkState {
        up: AtomicBool::new(true),
        attempts: AtomicUsize::new(0),
    });
    let network = Network {
        accepted,
        state: state.clone(),
    };
    let dial = move || {
        state.attempts.fetch_add(1, Ordering::Relaxed);
        if !state.up.load(Ordering::Relaxed) {
            return ready(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, far) = duplex(bytes);
        accept.send(far).unwrap();
        ready(Ok(near))
    };
    (dial, network)
}

/// A client that makes its connections by itself, and the first of them.
async fn networked(
    bytes: usize,
    config: ClientConfig,
    granted: Granted,
) -> (Client, Receiver, ServerEnd<DuplexStream>, Network) {
    let (dial, mut network) = network(bytes);
    let connecting = Client::connect_through("the network", dial, config);
    let (client, peer) = tokio::join!(connecting, network.welcome(granted));
    let (client, receiver) = client.unwrap();
    (client, receiver, peer, network)
}

fn granted(resumable: bool, resume: bool) -> Granted {
    Granted {
        resumable: Some(resumable),
        resume: Some(resume),
        ..Granted::new()
    }
}

fn hello_in(message: &Message) -> &Hello {
    match &message.payload {
        Payload::Hello(hello) => hello,
        other => panic!("no hello: {other:?}"),
    }
}

async fn disconnected(receiver: &mut Receiver) -> Disconnect {
    match receiver.receive().await {
        Some(Event::Disconnected(why)) => why,
        other => panic!("not disconnected: {other:?}"),
    }
}

async fn reconnected(receiver: &mut Receiver) -> Reconnection {
    match receiver.receive().await {
        Some(Event::Reconnected(reconnection)) => reconnection,
        other => panic!("not reconnected: {other:?}"),
    }
}

/// The last event.
async fn closed(receiver: &mut Receiver) -> Disconnect {
    match receiver.receive().await {
        Some(Event::Closed(why)) => {
            assert!(receiver.receive().await.is_none());
            why
        }
        other => panic!("not closed: {other:?}"),
    }
}

/// A send in a task of its own, so that it goes on by itself.
fn sending(client: &Client, message: Message) -> JoinHandle<Result<Ack, SendError>> {
    let client = client.clone();
    tokio::spawn(async move { client.send(message).await })
}

fn welcome_to(hello: &Message) -> Message {
    welcome_with(hello, Granted::new())
}

fn welcome_with(hello: &Message, granted: Granted) -> Message {
    let limits = GrantedLimits::new(2000_u64, 8_388_608_u64, 65_536_u64);
    welcome_within(hello, granted, limits)
}

fn welcome_within(hello: &Message, granted: Granted, limits: GrantedLimits) -> Message {
    let server = ServerIdentity::new(Name::new(SERVER).unwrap(), "0.0.0");
    let names = vec![hello.source.clone()];
    let welcome = Welcome::new(1_u64, hello.msg_id, server, names, limits, granted);
    Message::new(SERVER, &hello.source, welcome).unwrap()
}

fn error(code: &str, about: Option<&Message>) -> Message {
    let mut report = ErrorReport::new(code, "as the test wants it");
    report.details = about.map(|message| {
        let details = format!(
            r#"{{"msg_id":"{}","field":"payload.run_id"}}"#,
            message.msg_id
        );
        RawObject::from_text(details).unwrap()
    });
    Message::new(SERVER, Target::Everyone, report).unwrap()
}

fn note(text: &str) -> Message {
    Message::error("quantower-connector", "api-gateway", "NOTE", text).unwrap()
}

fn text_of(message: &Message) -> &str {
    match &message.payload {
        Payload::Error(report) => &report.message,
        other => panic!("not a note: {other:?}"),
    }
}

/// A note from another participant, of about 300 bytes.
fn from_gateway(text: &str) -> Message {
    let text = format!("{text:<100}");
    Message::error("api-gateway", "quantower-connector", "NOTE", text).unwrap()
}

fn config() -> ClientConfig {
    ClientConfig::new("quantower-connector")
}

/// A connection that has been welcomed, through a pipe that holds `bytes`.
async fn connected_through(
    bytes: usize,
    config: ClientConfig,
) -> (Client, Receiver, ServerEnd<DuplexStream>) {
    let (near, far) = duplex(bytes);
    let mut peer = ServerEnd::on(far);
    let (client, _) = tokio::join!(Client::over(near, config), peer.welcome());
    let (client, receiver) = client.unwrap();
    (client, receiver, peer)
}

async fn connected(config: ClientConfig) -> (Client, Receiver, ServerEnd<DuplexStream>) {
    connected_through(1 << 20, config).await
}

async fn message(receiver: &mut Receiver) -> Message {
    match receiver.receive().await {
        Some(Event::Message(inbound)) => inbound.message().unwrap(),
        other => panic!("no message: {other:?}"),
    }
}

async fn notice(receiver: &mut Receiver) -> String {
    match receiver.receive().await {
        Some(Event::Notice(report)) => report.code,
        other => panic!("no notice: {other:?}"),
    }
}

/// Whatever happened to the messages of a client, each has given its room back, once,
/// unless the client has come to its end.
fn assert_all_room_is_free(client: &Client, unanswered_max: usize) {
    let shared = &client.handle.shared;
    if !client.is_closed() {
        let bytes = shared.queue_room.available_permits();
        let messages = shared.unanswered_room.available_permits();
        assert_eq!((messages, bytes), (unanswered_max, CLIENT_QUEUE_BYTES));
    }
}

/// Long enough, in paused time, for everything to happen that can.
async fn settle_down() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Polls a future once.
async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|context| {
        let once = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(once.is_pending())
    })
    .await
}
