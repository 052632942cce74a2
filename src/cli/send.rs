//! `tickwire send`: sends messages as they stand in files, and says what became
//! of each.
//!
//! One thread reads the inputs and writes frames, the main thread reads the
//! answers meanwhile: a server that can't get rid of its answers stops reading,
//! so a client that wrote all first would wait for ever.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clap::Args;
use tickwire::ids::{MsgId, Name};
use tickwire::limits::{LISTEN_DEFAULT, WINDOW_BYTES};
use tickwire::wire::{ErrorCode, Kind, Parser, Validation, write_frame};

use self::report::{Refused, Report};
use super::answer::ServerMessage;
use super::fence::{Ledger, Sent, Tally};
use super::frames::{FramesError, is_timeout};
use super::input::{self, Event, Input, InputError};
use super::peer::{self, Claim, Peer};
use super::split::Piece;
use super::{Failure, Outcome};

mod report;

/// Under which name `send` speaks.
const SOURCE: &str = "tickwire-send";
/// How long the server may be silent after all was sent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the silence is looked at.
const TICK: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  tickwire send order.json
  tickwire send --to 10.0.0.5:7411 monday.jsonl tuesday.jsonl
  generate-orders | tickwire send -
  tickwire send --json orders.jsonl | jq .refused

A file holds messages one after another: one pretty-printed object, several, or \
JSON Lines. All files are looked through before the first message is sent; a \
file that is not JSON sends nothing. Standard input (-) is sent as it comes.

Each message is sent byte for byte as it stands. What is in it is the server's \
business: what it refuses is shown with file, line, code, field and reason.

An accepted message of type ack gets no answer of its own; it counts as routed \
once everything sent has been answered.

Exit codes: 0 all accepted, 1 some refused or unanswered, 2 wrong usage.";

/// Send messages from files, and say what became of each
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN_DEFAULT, value_parser = peer::address)]
    to: String,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Files with messages; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// Sends everything and waits for the answers.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let inputs: Vec<Input> = arguments.files.iter().map(Input::new).collect();
    let amount = input::look_through(&inputs).map_err(Failure::failed)?;
    let source = Name::new(SOURCE).expect("a name");
    let mut peer =
        Peer::connect(&arguments.to, &source, Claim::Nothing).map_err(Failure::failed)?;
    peer.stream
        .set_read_timeout(Some(TICK))
        .map_err(Failure::failed)?;

    let report = Report::new(&inputs, amount, arguments.json);
    let (fence_id, fence) = peer::hello(&source, Claim::Nothing);
    let shared = Arc::new(Shared::default());
    let writer = Writer {
        stream: peer.stream.try_clone().map_err(Failure::failed)?,
        out: Vec::with_capacity(2 * WINDOW_BYTES),
        parser: Parser::new(Validation::Envelope),
        frame_bytes_max: peer.frame_bytes_max,
        shared: Arc::clone(&shared),
        report: Arc::clone(&report),
    };
    let writing = std::thread::spawn(move || writer.send_all(&inputs, &fence));

    let lost = read_answers(&mut peer, &fence_id, &shared, &report).err();
    match lost {
        None => shared.ledger().fenced(),
        Some(_) => shared.ledger().lost(),
    }
    report.finish();
    let tally = shared.ledger().tally();
    report.summary(&tally)?;
    if let Some(reason) = lost {
        // The writer may wait for more input, which has no use any more.
        return Err(Failure::failed(reason));
    }
    // Past the fence there is nothing left to write.
    writing
        .join()
        .expect("the writing thread doesn't panic")
        .map_err(Failure::failed)?;
    Ok(if tally.is_clean() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// What the two threads share.
#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// Whether the fence was written, so that no input keeps the server silent.
    fence_sent: AtomicBool,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger
            .lock()
            .expect("nobody panics while counting messages")
    }
}

/// Reads inputs and writes frames.
struct Writer {
    stream: TcpStream,
    out: Vec<u8>,
    /// Says what the server will be able to tell of a message. The payload is
    /// not its concern: whatever the server makes of it, it can name the message.
    parser: Parser,
    frame_bytes_max: usize,
    shared: Arc<Shared>,
    report: Arc<Report>,
}

impl Writer {
    /// Sends all inputs, then the fence. What stands before an error of an
    /// input is sent, and the fence too, so that its fate becomes known.
    fn send_all(mut self, inputs: &[Input], fence: &[u8]) -> Result<(), InputError> {
        let mut result = Ok(());
        for (index, input) in inputs.iter().enumerate() {
            result = input.each_piece(|event| match event {
                Event::Piece(piece) => self.queue(index, piece),
                // Nothing more is at hand: don't let what there is wait.
                Event::Idle => self.flush(),
            });
            if result.is_err() {
                break;
            }
        }
        self.out.extend_from_slice(fence);
        // A failed write needs no word here: whoever reads the answers learns
        // why the connection ended.
        let _ = self.flush();
        self.shared.fence_sent.store(true, Ordering::Release);
        match result {
            // The connection is gone, which is not the input's fault.
            Err(InputError::Stopped(_)) => Ok(()),
            result => result,
        }
    }

    fn queue(&mut self, input: usize, piece: Piece<'_>) -> io::Result<()> {
        let line = piece.place.line;
        if piece.json.len() > self.frame_bytes_max {
            self.shared.ledger().refused_unsent();
            self.report.refused(Refused {
                input,
                line,
                code: ErrorCode::FrameTooLarge.as_str().to_owned(),
                field: None,
                reason: format!(
                    "the message has {} bytes, the server takes {}: not sent",
                    piece.json.len(),
                    self.frame_bytes_max
                ),
                target: target_of(piece.json),
                msg_id: None,
            });
            return Ok(());
        }
        let start = self.out.len();
        write_frame(&mut self.out, piece.json).map_err(io::Error::other)?;
        let frame_start = self.out.len() - piece.json.len();
        let frame = &mut self.out[frame_start..];
        debug_assert!(start < frame_start);
        let sent = match self.parser.parse(frame) {
            Ok(header) => Sent {
                msg_id: Some(header.msg_id),
                is_ack: header.kind == Kind::Ack,
                target: self
                    .parser
                    .target(frame, &header.names)
                    .map(|target| String::from_utf8_lossy(target).into()),
                input,
                line,
            },
            Err(refusal) => Sent {
                msg_id: refusal.msg_id,
                is_ack: false,
                target: target_of(piece.json).map(Into::into),
                input,
                line,
            },
        };
        self.shared.ledger().sent(sent);
        if self.out.len() >= WINDOW_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written
    }
}

/// The `target` of a message that may be invalid.
fn target_of(json: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Head {
        target: Option<String>,
    }
    serde_json::from_slice::<Head>(json).ok()?.target
}

/// Why the fence was not reached.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the server closed the connection before everything was answered")]
    Closed,
    #[error("the server has not answered for {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error("the connection was lost: {0}")]
    Broken(#[from] FramesError),
}

/// Reads answers up to the welcome of the hello `fence_id`.
fn read_answers(
    peer: &mut Peer,
    fence_id: &MsgId,
    shared: &Shared,
    report: &Report,
) -> Result<(), Lost> {
    let mut last_answer = Instant::now();
    loop {
        let frame = match peer.frames.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(Lost::Closed),
            Err(FramesError::Io(error)) if is_timeout(&error) => {
                if !shared.fence_sent.load(Ordering::Acquire) {
                    last_answer = Instant::now();
                } else if last_answer.elapsed() > ANSWER_TIMEOUT {
                    return Err(Lost::Silent);
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        last_answer = Instant::now();
        // Nothing else can come: this connection has no name and no
        // subscription.
        let Some(message) = ServerMessage::of(&peer.server, frame) else {
            continue;
        };
        if message.payload.hello_msg_id() == Some(fence_id.as_str()) {
            return Ok(());
        }
        take_answer(message, shared, report);
        report.progress(shared.ledger().settled());
    }
}

fn take_answer(message: ServerMessage, shared: &Shared, report: &Report) {
    let body = message.payload;
    let id = |text: &str| MsgId::from_text(text.as_bytes());
    if message.msg_type != "error" {
        let mut ledger = shared.ledger();
        // A hello among the messages is answered by its welcome.
        if let Some(hello) = body.hello_msg_id().and_then(id) {
            ledger.acknowledged(&hello);
            ledger.expect_acks(!body.silences_acks());
        }
        for msg_id in body.covered().filter_map(id) {
            ledger.acknowledged(&msg_id);
        }
        ledger.dropped(body.dropped());
        return;
    }
    let code = body.code.unwrap_or_default();
    let reason = body.message.unwrap_or_default();
    let known = ErrorCode::from_text(&code);
    if known == Some(ErrorCode::Undelivered) {
        shared.ledger().undelivered(body.details.count.unwrap_or(1));
        report.notice(&code, &reason);
        return;
    }
    let msg_id = body.details.msg_id.as_deref().and_then(id);
    // An error that names no message and finds no fault with a frame is about
    // the connection.
    let about_a_message = msg_id.is_some() || known.is_some_and(ErrorCode::is_invalid_frame);
    let sent = about_a_message
        .then(|| shared.ledger().refused(msg_id.as_ref()))
        .flatten();
    match sent {
        Some(sent) => report.refused(Refused {
            input: sent.input,
            line: sent.line,
            code,
            field: body.details.field,
            reason,
            target: sent.target.map(Into::into),
            msg_id: msg_id.map(|msg_id| msg_id.to_string()),
        }),
        None => report.notice(&code, &reason),
    }
}

/// One line that says what became of all messages.
fn summary(tally: &Tally) -> String {
    let mut line = format!("{} sent: {} acknowledged", tally.sent, tally.acknowledged);
    if tally.dropped > 0 {
        line += &format!(" ({} times missed by a receiver)", tally.dropped);
    }
    if tally.routed > 0 {
        line += &format!(
            ", {} routed (an ack gets no answer of its own)",
            tally.routed
        );
    }
    if tally.silent > 0 {
        line += &format!(
            ", {} accepted in silence (a hello among them asked for no acks)",
            tally.silent
        );
    }
    line += &format!(", {} refused", tally.refused);
    if tally.undelivered > 0 {
        line += &format!(", {} given up before delivery", tally.undelivered);
    }
    if tally.unanswered > 0 {
        line += &format!(", {} unanswered", tally.unanswered);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_there_is_to_say() {
        let mut tally = Tally {
            sent: 11,
            acknowledged: 10,
            refused: 1,
            ..Tally::default()
        };
        assert_eq!(summary(&tally), "11 sent: 10 acknowledged, 1 refused");
        tally.refused = 0;
        tally.routed = 1;
        assert_eq!(
            summary(&tally),
            "11 sent: 10 acknowledged, 1 routed (an ack gets no answer of its own), 0 refused"
        );
        tally.routed = 0;
        tally.silent = 1;
        assert_eq!(
            summary(&tally),
            "11 sent: 10 acknowledged, 1 accepted in silence (a hello among them asked for no \
             acks), 0 refused"
        );
        tally.silent = 0;
        tally.routed = 1;
        tally.unanswered = 2;
        tally.dropped = 3;
        assert_eq!(
            summary(&tally),
            "11 sent: 10 acknowledged (3 times missed by a receiver), 1 routed (an ack gets \
             no answer of its own), 0 refused, 2 unanswered"
        );
    }

    #[test]
    fn reads_the_target_of_what_is_otherwise_wrong() {
        assert_eq!(
            target_of(b"{\"target\":\"a\",\"x\":1}"),
            Some("a".to_owned())
        );
        assert_eq!(target_of(b"{\"target\":null}"), None);
        assert_eq!(target_of(b"{\"target\":1}"), None);
        assert_eq!(target_of(b"nonsense"), None);
    }
}
