//! Saying hello and being welcomed.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ConnectError;
use super::input::Input;
use crate::ids::Name;
use crate::limits::FRAME_BYTES_MAX_MAX;
use crate::wire::{ErrorCode, ErrorReport, FrameCodecError, Hello, Message, Payload, Welcome};

pub(super) struct Welcomed<S> {
    pub input: Input<ReadHalf<S>>,
    pub writer: WriteHalf<S>,
    pub welcome: Welcome,
    /// The hello that was welcomed: less than asked, if the server can't do more.
    pub hello: Hello,
    /// Frames that arrived before the welcome.
    pub early: Vec<Bytes>,
}

pub(super) async fn greet<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    address: &str,
    source: &Name,
    hello: Hello,
) -> Result<Welcomed<S>, ConnectError> {
    let (reader, writer) = tokio::io::split(stream);
    // The server's limit isn't known yet; memory follows the bytes received.
    let mut greeting = Greeting {
        address,
        input: Input::new(reader, FRAME_BYTES_MAX_MAX),
        writer,
        early: Vec::new(),
    };
    let mut said = hello;
    let welcome = loop {
        match greeting.say(source, &said).await {
            // An older server: the connection still stands.
            Err(ConnectError::Refused(report)) if ask_for_less(&mut said, &report) => {}
            welcome => break welcome?,
        }
    };
    Ok(Welcomed {
        welcome,
        hello: said,
        input: greeting.input,
        writer: greeting.writer,
        early: greeting.early,
    })
}

/// Asks no more for the option that a server doesn't know, if the client can do without:
/// returns whether it asks for less now.
fn ask_for_less(hello: &mut Hello, report: &ErrorReport) -> bool {
    if report.known_code() != Some(ErrorCode::ProtocolUnsupported) {
        return false;
    }
    match report.field().as_deref() {
        Some("payload.resumable" | "payload.resume") => {
            let resumable = hello.resumable.take().is_some();
            hello.resume.take().is_some() || resumable
        }
        Some("payload.acks" | "payload.ack_details") => {
            let acks = hello.acks.take().is_some();
            hello.ack_details.take().is_some() || acks
        }
        _ => false,
    }
}

struct Greeting<'a, S> {
    address: &'a str,
    input: Input<ReadHalf<S>>,
    writer: WriteHalf<S>,
    early: Vec<Bytes>,
}

impl<S: AsyncRead + AsyncWrite> Greeting<'_, S> {
    /// Says hello and waits for the welcome. Messages before it are kept as early.
    async fn say(&mut self, source: &Name, hello: &Hello) -> Result<Welcome, ConnectError> {
        let hello = Message::hello(source, hello.clone()).expect("its source is a name");
        // A server that is full may answer and close without reading the hello.
        let written = self.writer.write_all(&hello.to_frame()).await;
        let mut parting_word = None;
        while let Some(frame) = self.input.next().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    let refused = parting_word.map(ConnectError::Refused);
                    return Err(refused.unwrap_or_else(|| self.broken(error)));
                }
            };
            let message = match Message::from_json(&frame) {
                Ok(message) => message,
                Err(error) if speaks_of_welcome(&frame) => return Err(self.not_tickwire(error)),
                Err(_) => {
                    self.early.push(frame);
                    continue;
                }
            };
            match message.payload {
                Payload::Welcome(welcome) if welcome.hello_msg_id == hello.msg_id => {
                    return Ok(*welcome);
                }
                Payload::Error(report) if report.msg_id() == Some(hello.msg_id) => {
                    return Err(ConnectError::Refused(report));
                }
                // It may be the server's reason to close, or somebody's message.
                Payload::Error(report) => {
                    parting_word = Some(report);
                    self.early.push(frame);
                }
                _ => self.early.push(frame),
            }
        }
        Err(match (parting_word, written) {
            (Some(report), _) => ConnectError::Refused(report),
            (None, Ok(())) => ConnectError::ClosedByServer {
                address: self.address.to_owned(),
            },
            (None, Err(error)) => self.broken(error.into()),
        })
    }

    fn broken(&self, error: FrameCodecError) -> ConnectError {
        match error {
            FrameCodecError::Io(error) => ConnectError::Unreachable {
                address: self.address.to_owned(),
                error,
            },
            FrameCodecError::Frame(error) => self.not_tickwire(error),
        }
    }

    fn not_tickwire(&self, reason: impl ToString) -> ConnectError {
        ConnectError::NotTickwire {
            address: self.address.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Returns whether a message that can't be read claims to be a welcome.
fn speaks_of_welcome(json: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        msg_type: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Head<'_>>(json).is_ok_and(|head| head.msg_type == "welcome")
}
