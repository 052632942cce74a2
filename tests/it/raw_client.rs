//! A raw client: frames in, frames out, and a deadline on every wait that fails
//! the test instead of hanging it.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use socket2::SockRef;
use tickwire::{Server, ServerBuilder, ServerHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use crate::draft::Draft;

/// The time that anything may take before the test fails. Far above the usual,
/// for nothing here asserts on time; above the 10 s of `FRAME_TIMEOUT`.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Awaits `future`, or fails the test and names it.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}

/// A server with every default, on a free port.
pub async fn start_server() -> ServerHandle {
    start_server_with(|server| server).await
}

/// A server on a free port, with settings changed by `set`.
pub async fn start_server_with(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> ServerHandle {
    let server = set(Server::builder().listen("127.0.0.1:0"));
    server
        .start()
        .await
        .expect("a server on a free port starts")
}

/// Puts a frame's length before it.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("test frames are small");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}

/// A frame that came from the server, and its JSON.
#[derive(Debug, Clone)]
pub struct Received {
    pub frame: Bytes,
    pub json: Value,
}

impl Received {
    pub fn new(frame: Bytes) -> Self {
        let json = serde_json::from_slice(&frame)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {frame:?}"));
        Self { frame, json }
    }

    /// The text at a JSON pointer; empty if there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.json
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn kind(&self) -> &str {
        self.text("/msg_type")
    }

    /// The id that an ack acknowledges; empty if this is no ack.
    pub fn acknowledged(&self) -> &str {
        match self.kind() {
            "ack" => self.text("/payload/acknowledged_msg_id"),
            _ => "",
        }
    }

    /// The code of an error; empty if this is no error.
    pub fn code(&self) -> &str {
        match self.kind() {
            "error" => self.text("/payload/code"),
            _ => "",
        }
    }

    /// The id of the message that an error is about; empty if it names none.
    pub fn about(&self) -> &str {
        self.text("/payload/details/msg_id")
    }

    /// How many receivers an ack says the message was dropped for.
    pub fn dropped(&self) -> u64 {
        self.json
            .pointer("/payload/dropped")
            .map_or(0, |dropped| dropped.as_u64().expect("a count"))
    }

    #[track_caller]
    pub fn assert_acknowledges(&self, msg_id: &str) {
        assert_eq!(self.acknowledged(), msg_id, "expected its ack: {self:?}");
    }

    #[track_caller]
    pub fn assert_refuses(&self, msg_id: &str, code: &str) {
        assert_eq!((self.code(), self.about()), (code, msg_id), "{self:?}");
    }
}

/// One connection to the server.
pub struct RawClient {
    pub reader: Reader,
    pub writer: Writer,
}

/// The half that reads.
pub struct Reader {
    input: OwnedReadHalf,
    received: BytesMut,
}

/// The half that writes.
pub struct Writer {
    output: OwnedWriteHalf,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("connect", TcpStream::connect(address)).await;
        Self::over(stream.expect("the server listens"))
    }

    /// A connection to a server that may have been killed: `None` if it was.
    #[cfg(all(unix, feature = "cli"))]
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = within("connect", TcpStream::connect(address)).await.ok()?;
        // To a port that nobody listens on, the system may connect a socket with itself.
        let is_itself = stream.local_addr().ok()? == address;
        (!is_itself).then(|| Self::over(stream))
    }

    /// A connection with small kernel buffers, so that queues in the server
    /// fill soon when it doesn't read.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let stream = within("connect", socket.connect(address)).await;
        Self::over(stream.expect("the server listens"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP takes TCP_NODELAY");
        let (input, output) = stream.into_split();
        Self {
            reader: Reader {
                input,
                received: BytesMut::new(),
            },
            writer: Writer { output },
        }
    }

    /// A connection that said `hello` and owns exactly `names`.
    pub async fn owning(address: SocketAddr, names: &[&str]) -> Self {
        let mut peer = Self::connect(address).await;
        peer.own(names).await;
        peer
    }

    /// Like [`RawClient::owning`], over [`RawClient::connect_narrow`].
    pub async fn owning_narrow(address: SocketAddr, names: &[&str]) -> Self {
        let mut peer = Self::connect_narrow(address).await;
        peer.own(names).await;
        peer
    }

    /// A connection that speaks for others: it owns no name, whatever it says.
    pub async fn speaking_for_others(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        let hello = Draft::hello("a-tool").payload("register", false);
        peer.greet(&hello).await;
        peer
    }

    async fn own(&mut self, names: &[&str]) {
        let hello = Draft::hello(names[0]).payload("names", names);
        self.greet(&hello).await;
    }

    /// Sends a `hello` that must be granted, and gives its `welcome`.
    pub async fn greet(&mut self, hello: &Draft) -> Received {
        let answer = self.ask(hello).await;
        assert_eq!(answer.kind(), "welcome", "{answer:?}");
        assert_eq!(answer.text("/payload/hello_msg_id"), hello.id, "{answer:?}");
        answer
    }

    /// Sends a message and gives the next frame.
    pub async fn ask(&mut self, message: &Draft) -> Received {
        self.send(message).await;
        self.receive().await
    }

    /// Sends a message, receives its ack as the next frame, and returns that.
    pub async fn ask_acked(&mut self, message: &Draft) -> Received {
        let answer = self.ask(message).await;
        answer.assert_acknowledges(&message.id);
        answer
    }

    /// Sends a message that must be refused with `code`; gives the error.
    pub async fn ask_refused(&mut self, message: &Draft, code: &str) -> Received {
        let answer = self.ask(message).await;
        answer.assert_refuses(&message.id, code);
        answer
    }

    /// Everything that arrives before the answer to a message sent now. As
    /// answers leave in the order of the messages, no answer to an earlier one
    /// can come after this.
    pub async fn fence(&mut self) -> Vec<Received> {
        let fence = Draft::heartbeat("fence", "health-monitor");
        self.send(&fence).await;
        let mut before = Vec::new();
        loop {
            let received = self.receive().await;
            if received.acknowledged() == fence.id {
                return before;
            }
            before.push(received);
        }
    }

    /// Fails if anything arrives before the answer to a message sent now.
    pub async fn assert_no_answer_waits(&mut self) {
        let before = self.fence().await;
        assert!(before.is_empty(), "nothing should have come: {before:?}");
    }

    pub async fn send(&mut self, message: &Draft) {
        self.send_frame(&message.frame()).await;
    }

    pub async fn send_frame(&mut self, frame: &[u8]) {
        self.send_bytes(&framed(frame)).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.send_bytes(bytes).await;
    }

    pub async fn receive(&mut self) -> Received {
        self.reader.receive().await
    }

    /// Receives an error that closes the connection, and the end of the
    /// stream behind it.
    pub async fn expect_last_words(&mut self, code: &str) -> Received {
        let error = self.receive().await;
        assert_eq!(error.code(), code, "{error:?}");
        self.reader.expect_end().await;
        error
    }

    /// Breaks the connection off, so that the server gets a reset.
    pub fn reset(self) {
        let halves = self.reader.input.reunite(self.writer.output);
        let stream = halves.expect("both are halves of one");
        let lingers = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        lingers.expect("TCP takes SO_LINGER");
    }

    /// Ends this side's input and fails if anything but the end comes back.
    pub async fn leave(mut self) {
        self.writer.end().await;
        self.reader.expect_end().await;
    }
}

impl Writer {
    pub async fn send(&mut self, message: &Draft) {
        self.send_bytes(&framed(&message.frame())).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let written = within("write", self.output.write_all(bytes)).await;
        written.expect("the server takes bytes");
    }

    /// Writes as far as the server lets it: `false` if it broke off.
    pub async fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        within("write", self.output.write_all(bytes)).await.is_ok()
    }

    /// The same, however long it takes: where a test lets time pass that is not
    /// spent, a deadline would pass with it.
    pub async fn try_send_bytes_at_leisure(&mut self, bytes: &[u8]) -> bool {
        self.output.write_all(bytes).await.is_ok()
    }

    /// Says that nothing more will come.
    pub async fn end(&mut self) {
        // Not connected any more is just as ended.
        let _ = self.output.shutdown().await;
    }
}

impl Reader {
    pub async fn receive(&mut self) -> Received {
        Received::new(self.receive_frame().await)
    }

    /// The next frame as it came, which need not be JSON for a `Value`.
    pub async fn receive_frame(&mut self) -> Bytes {
        let frame = within("a frame", self.next_frame()).await;
        frame
            .expect("no reset")
            .expect("the server ended the stream where a frame was due")
    }

    /// The next frame, or `None` when the server ended the stream in order.
    /// A reset, or an end within a frame, fails the test.
    pub async fn receive_or_end(&mut self) -> Option<Received> {
        let frame = within("a frame", self.next_frame()).await;
        frame.expect("no reset").map(Received::new)
    }

    /// Everything up to the end of the stream.
    pub async fn receive_to_end(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        while let Some(received) = self.receive_or_end().await {
            all.push(received);
        }
        all
    }

    /// Like [`Reader::receive_to_end`], where a reset is an end, too.
    pub async fn receive_what_comes(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        while let Some(received) = self.receive_or_break().await {
            all.push(received);
        }
        all
    }

    /// The next frame, or `None` at the end of the stream, in order or not.
    pub async fn receive_or_break(&mut self) -> Option<Received> {
        self.receive_or_fault().await.ok().flatten()
    }

    /// The next frame, or `None` when the stream ended in order. May be given up
    /// before it is there, and called again.
    ///
    /// # Errors
    /// A reset, or an end within a frame.
    pub async fn receive_or_fault(&mut self) -> std::io::Result<Option<Received>> {
        let frame = within("a frame or the end", self.next_frame()).await;
        Ok(frame?.map(Received::new))
    }

    pub async fn expect_end(&mut self) {
        let more = self.receive_or_end().await;
        assert!(more.is_none(), "expected the end of the stream: {more:?}");
    }

    async fn next_frame(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            if let Some(prefix) = self.received.first_chunk::<4>() {
                let length = u32::from_be_bytes(*prefix) as usize;
                if self.received.len() >= 4 + length {
                    self.received.advance(4);
                    return Ok(Some(self.received.split_to(length).freeze()));
                }
                self.received.reserve(4 + length);
            }
            if self.input.read_buf(&mut self.received).await? == 0 {
                if self.received.is_empty() {
                    return Ok(None);
                }
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
