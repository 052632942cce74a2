//! `tickwire listen`: prints what is sent to a name.

use std::io::{self, BufWriter, ErrorKind, Write};

use clap::Args;
use tickwire::ids::Name;
use tickwire::limits::{LISTEN_DEFAULT, WINDOW_BYTES};
use tickwire::wire::{ErrorCode, frame_prefix};

use super::answer::ServerMessage;
use super::compact::append_compact;
use super::frames::{Frames, FramesError};
use super::peer::{self, Claim, Peer};
use super::{DIM, Failure, Outcome, say};

const EXAMPLES: &str = "\
Examples:
  tickwire listen api-gateway
  tickwire listen api-gateway | jq .payload
  tickwire listen api-gateway --count 1        wait for one message
  tickwire listen api-gateway --raw > capture  the exact bytes

Claims the name, from whoever owns it, and prints each message that is sent to \
it, and every broadcast, on a line of its own: white space outside strings is \
removed, all else stays as it was sent. --raw writes the exact bytes instead, \
each message after its length as a big-endian u32.

Exit codes: 0 after --count messages, when the server shuts down (without \
--count), or when nobody reads the output any more; 1 if another connection \
took the name over, or if the connection ended otherwise; 2 wrong usage.";

/// Print what is sent to a name
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The name to own
    name: String,
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN_DEFAULT, value_parser = peer::address)]
    to: String,
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Write the exact bytes, each message after its length
    #[arg(long)]
    raw: bool,
}

/// Why listening ended too early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("another connection took over the name {0}")]
    TakenOver(String),
    #[error("the server shut down before the messages asked for had arrived")]
    ShutDown,
    #[error("the server closed the connection")]
    Closed,
    #[error("the connection was lost: {0}")]
    Broken(#[from] FramesError),
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
}

/// Prints messages until enough have come, or the connection ends.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let name = Name::new(&arguments.name)
        .map_err(|error| Failure::usage(format!("{:?}: {error}", arguments.name)))?;
    let mut peer = Peer::connect(&arguments.to, &name, Claim::Source).map_err(Failure::failed)?;
    say(format_args!(
        "{DIM}listening as {name} on {}{DIM:#}",
        arguments.to
    ));
    let output = Output {
        out: BufWriter::with_capacity(WINDOW_BYTES, io::stdout().lock()),
        raw: arguments.raw,
        line: Vec::new(),
    };
    match print_messages(&mut peer.frames, &peer.server, arguments, output) {
        Ok(()) => Ok(Outcome::Done),
        Err(Ended::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        Err(ended) => Err(Failure::failed(ended)),
    }
}

fn print_messages<R: io::Read>(
    frames: &mut Frames<R>,
    server: &str,
    arguments: &Arguments,
    mut output: Output<impl Write>,
) -> Result<(), Ended> {
    let mut remaining = arguments.count;
    let mut shutting_down = false;
    while remaining != Some(0) {
        if frames.is_drained().map_err(FramesError::from)? {
            output.out.flush()?;
        }
        let Some(frame) = frames.next()? else {
            output.out.flush()?;
            return match (shutting_down, remaining) {
                (true, None) => Ok(()),
                (true, Some(_)) => Err(Ended::ShutDown),
                (false, _) => Err(Ended::Closed),
            };
        };
        if let Some(message) = ServerMessage::of(server, frame) {
            match heed(&message) {
                Some(ErrorCode::NameTakenOver) => {
                    output.out.flush()?;
                    return Err(Ended::TakenOver(arguments.name.clone()));
                }
                Some(ErrorCode::ServerShuttingDown) => shutting_down = true,
                _ => {}
            }
            continue;
        }
        output.write(frame)?;
        remaining = remaining.map(|remaining| remaining - 1);
    }
    output.out.flush()?;
    Ok(())
}

/// Says what the server itself has to tell, and gives its code.
fn heed(message: &ServerMessage) -> Option<ErrorCode> {
    let code = message.payload.code.as_deref()?;
    let known = ErrorCode::from_text(code);
    if known != Some(ErrorCode::NameTakenOver) {
        let text = message.payload.message.as_deref().unwrap_or_default();
        say(format_args!("the server says {code}: {text}"));
    }
    known
}

/// Messages as lines, or as frames.
struct Output<W> {
    out: W,
    raw: bool,
    line: Vec<u8>,
}

impl<W: Write> Output<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<()> {
        if self.raw {
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

#[cfg(test)]
mod tests {
    use tickwire::wire::write_frame;

    use super::*;

    const MESSAGE: &[u8] = b"{ \"source\": \"a\",\n \"msg_type\": \"x\", \"payload\": {} }";

    fn server_error(code: &str) -> Vec<u8> {
        format!(
            "{{\"source\":\"tickwire\",\"msg_type\":\"error\",\"payload\":{{\"code\":\"{code}\",\"message\":\"m\"}}}}"
        )
        .into_bytes()
    }

    /// What is printed of `frames`, and how it ends.
    fn listen(frames: &[&[u8]], count: Option<u64>, raw: bool) -> (Vec<u8>, Result<(), String>) {
        let mut bytes = Vec::new();
        for frame in frames {
            write_frame(&mut bytes, frame).unwrap();
        }
        let arguments = Arguments {
            name: "n".to_owned(),
            to: String::new(),
            count,
            raw,
        };
        let mut printed = Vec::new();
        let output = Output {
            out: &mut printed,
            raw,
            line: Vec::new(),
        };
        let mut frames = Frames::new(bytes.as_slice());
        let result = print_messages(&mut frames, "tickwire", &arguments, output);
        (printed, result.map_err(|ended| ended.to_string()))
    }

    #[test]
    fn prints_a_line_a_message_and_stops_at_count() {
        let (printed, result) = listen(&[MESSAGE, MESSAGE, MESSAGE], Some(2), false);
        let line = "{\"source\":\"a\",\"msg_type\":\"x\",\"payload\":{}}\n";
        assert_eq!(String::from_utf8(printed).unwrap(), line.repeat(2));
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn raw_writes_the_bytes_as_they_came() {
        let (printed, _) = listen(&[MESSAGE], Some(1), true);
        let mut expected = Vec::new();
        write_frame(&mut expected, MESSAGE).unwrap();
        assert_eq!(printed, expected);
    }

    #[test]
    fn the_end_of_the_server_is_fine_unless_a_count_is_missing() {
        let end = server_error("SERVER_SHUTTING_DOWN");
        assert_eq!(listen(&[MESSAGE, &end], None, false).1, Ok(()));
        assert!(listen(&[MESSAGE, &end], Some(2), false).1.is_err());
        assert!(listen(&[MESSAGE], None, false).1.is_err());
    }

    #[test]
    fn what_the_server_itself_says_is_not_printed() {
        let missed = server_error("MESSAGES_DROPPED");
        let (printed, result) = listen(&[&missed, MESSAGE], Some(1), false);
        assert!(printed.starts_with(b"{\"source\":\"a\""));
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn losing_the_name_ends_it() {
        let taken = server_error("NAME_TAKEN_OVER");
        let (printed, result) = listen(&[MESSAGE, &taken, MESSAGE], None, false);
        assert_eq!(printed.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(
            result,
            Err("another connection took over the name n".to_owned())
        );
    }
}
