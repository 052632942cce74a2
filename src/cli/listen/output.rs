//! The output of `listen`: messages as they come.

use std::io::{self, Write};

use futures_util::FutureExt;
use tickwire::client::{Disconnect, Event, Receiver};
use tickwire::wire::{ErrorCode, Welcome, frame_prefix};

use super::arguments::Arguments;
use super::leaving::Leaving;
use super::settling::{NotSettled, Settling};
use crate::cli::compact::append_compact;
use crate::cli::say;

#[derive(Debug, thiserror::Error)]
pub enum EarlyEnd {
    #[error("another connection took over the name {0}")]
    TakenOver(String),
    #[error(transparent)]
    Closed(Disconnect),
    #[error("the connection was closed")]
    Over,
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    NotSettled(#[from] NotSettled),
}

pub struct Output<'a, W> {
    out: W,
    arguments: &'a Arguments,
    settling: Settling,
    line: Vec<u8>,
}

impl<'a, W: Write> Output<'a, W> {
    pub fn new(out: W, arguments: &'a Arguments, settling: Settling) -> Self {
        let line = Vec::new();
        Self {
            out,
            arguments,
            settling,
            line,
        }
    }

    /// Prints messages until enough have come, or none can come any more, or there is a
    /// reason for `leaving`. Settles those that were printed.
    pub async fn print(
        mut self,
        receiver: &mut Receiver,
        leaving: &mut Leaving,
    ) -> Result<(), EarlyEnd> {
        let ended = match self.print_each(receiver, leaving).await {
            Ok(()) => self.show().await,
            Err(EarlyEnd::Output(error)) => Err(error),
            // The client has come to its end: nothing can be settled any more.
            Err(ended) => {
                self.out.flush()?;
                return Err(ended);
            }
        };
        self.settling.finish().await?;
        Ok(ended?)
    }

    /// Shows the messages so far, and settles them.
    async fn show(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.settling.flushed().await;
        Ok(())
    }

    async fn print_each(
        &mut self,
        receiver: &mut Receiver,
        leaving: &mut Leaving,
    ) -> Result<(), EarlyEnd> {
        let mut remaining = self.arguments.count;
        while remaining != Some(0) {
            let event = match receiver.receive().now_or_never() {
                Some(event) => event,
                None => {
                    // Nothing more is at hand.
                    self.show().await?;
                    tokio::select! {
                        biased;
                        () = leaving.come() => return Ok(()),
                        event = receiver.receive() => event,
                    }
                }
            };
            match event.ok_or(EarlyEnd::Over)? {
                Event::Message(inbound) => {
                    self.write(inbound.json())?;
                    if self.settling.written(inbound) {
                        self.show().await?;
                    }
                    remaining = remaining.map(|remaining| remaining - 1);
                }
                Event::Notice(report) => {
                    if report.known_code() == Some(ErrorCode::NameTakenOver) {
                        return Err(EarlyEnd::TakenOver(self.arguments.name.clone()));
                    }
                    let (code, message) = (report.code, report.message);
                    say(format_args!("the server says {code}: {message}"));
                }
                Event::Disconnected(why) => {
                    self.show().await?;
                    say(format_args!("{why}; connecting again"));
                }
                Event::Reconnected(again) => {
                    say(format_args!("connected again"));
                    say_if_more_is_taken(self.arguments, &again.welcome);
                    self.settling.welcomed(&again.welcome);
                    if self.settling.is_on() {
                        leaving.heed_signals()?;
                    }
                }
                Event::Closed(why) => return Err(EarlyEnd::Closed(why)),
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, json: &[u8]) -> io::Result<()> {
        if self.arguments.raw {
            let prefix = frame_prefix(json.len()).map_err(io::Error::other)?;
            self.out.write_all(&prefix)?;
            return self.out.write_all(json);
        }
        self.line.clear();
        append_compact(json, &mut self.line);
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

/// Tells that messages beyond `--count` may be lost, where the server hands them over.
pub fn say_if_more_is_taken(arguments: &Arguments, welcome: &Welcome) {
    if let Some(count) = arguments.count
        && welcome.granted.window.is_none()
    {
        say(format_args!(
            "this server can't be asked for {count} messages alone: what is queued \
             beyond may be taken as well, and lost at the end"
        ));
    }
}

#[cfg(test)]
pub mod tests {
    use tickwire::wire::{Message, Timestamp, write_frame};
    use tickwire::{Client, ClientConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::arguments::tests::arguments;
    use super::*;

    const MESSAGE: &[u8] = b"{ \"source\": \"a\",\n \"msg_type\": \"x\", \"payload\": {} }";

    fn server_error(code: &str) -> Vec<u8> {
        Message::error("tickwire", "n", code, "m")
            .unwrap()
            .to_json()
            .into_bytes()
    }

    /// Hears a frame of a client.
    pub async fn hear(stream: &mut DuplexStream) -> Message {
        let length = stream.read_u32().await.unwrap();
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.unwrap();
        Message::from_json(&frame).unwrap()
    }

    /// Says frames to a client.
    pub async fn say(stream: &mut DuplexStream, frames: &[&[u8]]) {
        let mut bytes = Vec::new();
        for frame in frames {
            write_frame(&mut bytes, frame).unwrap();
        }
        stream.write_all(&bytes).await.unwrap();
    }

    /// The welcome to a hello, with `more` in its payload.
    pub fn welcome_to(hello: &Message, more: &str) -> String {
        format!(
            r#"{{"msg_id":"{0}","msg_type":"welcome","timestamp":"{1}","source":"tickwire",
            "payload":{{"protocol":1,"hello_msg_id":"{0}","names":["n"],"granted":{{}},
            "server":{{"name":"tickwire","version":"0"}}{more},
            "limits":{{"frame_bytes":9999,"queue_bytes":9999,"queue_messages":9}}}}}}"#,
            hello.msg_id,
            Timestamp::now()
        )
    }

    /// Welcomes a client as a server does, and sends it `frames`.
    pub async fn welcome(stream: &mut DuplexStream, frames: &[&[u8]]) {
        let welcome = welcome_to(&hear(stream).await, "");
        say(stream, &[&[welcome.as_bytes()], frames].concat()).await;
    }

    /// Returns the print of `frames`, and the reason of the end.
    fn listen(frames: &[&[u8]], more: &[&str]) -> (Vec<u8>, Result<(), String>) {
        let arguments = arguments(more).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (near, mut far) = duplex(1 << 20);
            let connecting = Client::over(near, ClientConfig::new("n"));
            let (connected, ()) = tokio::join!(connecting, async move {
                welcome(&mut far, frames).await;
            });
            let (client, mut receiver) = connected.unwrap();
            let settling = Settling::new(&client, client.name(), true);
            let mut printed = Vec::new();
            let output = Output::new(&mut printed, &arguments, settling);
            let result = output.print(&mut receiver, &mut Leaving::new()).await;
            let result = result.map_err(|ended| ended.to_string());
            (printed, result)
        })
    }

    #[test]
    fn prints_a_line_a_message_and_stops_at_count() {
        let (printed, result) = listen(&[MESSAGE, MESSAGE, MESSAGE], &["--count", "2"]);
        let line = "{\"source\":\"a\",\"msg_type\":\"x\",\"payload\":{}}\n";
        assert_eq!(String::from_utf8(printed).unwrap(), line.repeat(2));
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn raw_writes_the_bytes_as_they_came() {
        let (printed, _) = listen(&[MESSAGE], &["--count", "1", "--raw"]);
        let mut expected = Vec::new();
        write_frame(&mut expected, MESSAGE).unwrap();
        assert_eq!(printed, expected);
    }

    #[test]
    fn what_the_server_itself_says_is_not_printed() {
        let missed = server_error("MESSAGES_DROPPED");
        let (printed, result) = listen(&[&missed, MESSAGE], &["--count", "1"]);
        assert!(printed.starts_with(b"{\"source\":\"a\""));
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn an_end_for_good_is_a_failure_and_all_is_printed_before() {
        let taken = server_error("NAME_TAKEN_OVER");
        let (printed, result) = listen(&[MESSAGE, &taken, MESSAGE], &[]);
        assert_eq!(printed.iter().filter(|byte| **byte == b'\n').count(), 1);
        let expected = "another connection took over the name n".to_owned();
        assert_eq!(result, Err(expected));
        let (printed, result) = listen(&[MESSAGE], &[]);
        assert_eq!(printed.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert!(result.is_err());
    }
}
