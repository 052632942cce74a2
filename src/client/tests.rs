//! The client against a server that says exactly what a test tells it to.

mod closing;
mod connecting;
mod receiving;
mod sending;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio_util::codec::Framed;

use super::*;
use crate::wire::{ErrorReport, FrameCodec, Granted, GrantedLimits, RawObject, ServerIdentity};

const SERVER: &str = "tickwire";

/// The server's end of a connection.
struct Peer<S> {
    frames: Framed<S, FrameCodec>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
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
        let hello = self.hear().await.unwrap();
        self.say(welcome_to(&hello)).await;
        hello
    }
}

fn welcome_to(hello: &Message) -> Message {
    let server = ServerIdentity::new(Name::new(SERVER).unwrap(), "0.0.0");
    let limits = GrantedLimits::new(2000_u64, 8_388_608_u64, 65_536_u64);
    let names = vec![hello.source.clone()];
    let welcome = Welcome::new(1_u64, hello.msg_id, server, names, limits, Granted::new());
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
) -> (Client, Receiver, Peer<DuplexStream>) {
    let (near, far) = duplex(bytes);
    let mut peer = Peer::on(far);
    let (client, _) = tokio::join!(Client::over(near, config), peer.welcome());
    let (client, receiver) = client.unwrap();
    (client, receiver, peer)
}

async fn connected(config: ClientConfig) -> (Client, Receiver, Peer<DuplexStream>) {
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
