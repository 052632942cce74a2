//! `tickwire send`: sends messages from files, and tells the fate of each.
//!
//! One thread reads the inputs and writes frames, the main thread reads the
//! answers meanwhile: a server that can't get rid of its answers stops reading,
//! so a client that wrote all first would wait for ever.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clap::Args;
use tickwire::ids::{MsgId, Name};
use tickwire::limits::LISTEN_DEFAULT;
use tickwire::wire::{ErrorCode, FrameCodecError};

use self::patience::{ANSWER_TIMEOUT, Lack, Observation, Patience};
use self::report::{RefusedMessage, Report};
use self::writing::Writer;
use super::answer::ServerMessage;
use super::blocking_client::{self, BlockingClient, nothing_claimed};
use super::frames::is_timeout;
use super::input::{self, Input};
use super::ledger::{Ledger, Tally};
use super::{Failure, Outcome, units};

mod patience;
mod report;
mod writing;

const SOURCE: &str = "tickwire-send";
/// The longest time between two looks at the server.
const TICK_MAX: Duration = Duration::from_millis(500);
/// The shortest time between two looks, where the limit is short.
const TICK_MIN: Duration = Duration::from_millis(10);

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
business: what it refuses is shown with file, line, code, field and reason. Byte \
order marks and record separators (RFC 7464) between messages are passed over.

An accepted message of type ack gets no answer of its own; it counts as routed \
once everything sent has been answered.

A server that owes answers and gives none, or that takes no bytes, is given up \
after 60 s, or after twice the time for which it may pause a sender. Then it is \
shown which messages had no answer: their fate is unknown.

Exit codes: 0 all accepted, 1 some refused or unanswered, 2 wrong usage.";

/// Send messages from files, and say what became of each
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The server
    #[arg(long, value_name = "HOST:PORT", default_value = LISTEN_DEFAULT, value_parser = blocking_client::address)]
    to: String,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// How long an answer may take, for tests of what follows
    #[arg(long, value_name = "DURATION", hide = true, value_parser = answer_timeout)]
    answer_timeout: Option<Duration>,
    /// Files with messages; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let inputs: Vec<Input> = arguments.files.iter().map(Input::new).collect();
    let amount = input::look_through(&inputs).map_err(Failure::failed)?;
    let source = Name::new(SOURCE).expect("a name");
    let mut client = BlockingClient::connect(&arguments.to, &source, nothing_claimed())
        .map_err(Failure::failed)?;
    let answer_timeout = arguments.answer_timeout.unwrap_or(ANSWER_TIMEOUT);
    let limit = patience::limit(answer_timeout, client.stall_timeout);
    let tick = (limit / 8).clamp(TICK_MIN, TICK_MAX);
    prepare(&client.stream, tick).map_err(Failure::failed)?;
    let patience = Patience::new(limit, tick);

    let report = Report::new(&inputs, amount, arguments.json);
    let (fence_id, fence) = blocking_client::hello_frame(&source, nothing_claimed());
    let shared = Arc::new(Shared::default());
    let stream = client.stream.try_clone().map_err(Failure::failed)?;
    let writer = Writer::new(
        stream,
        client.frame_bytes_max,
        Arc::clone(&shared),
        Arc::clone(&report),
    );
    let writing = std::thread::spawn(move || writer.send_all(&inputs, &fence));

    let lost = read_answers(&mut client, &fence_id, &shared, &report, patience).err();
    if lost.is_some() {
        report.unanswered(&shared.ledger().lost());
    } else {
        shared.ledger().fenced();
    }
    report.finish();
    let tally = shared.ledger().tally;
    report.summary(&tally)?;
    if let Some(reason) = lost {
        // The writer may still wait for input, or for a server that takes nothing.
        return Err(Failure::failed(reason));
    }
    // Past the fence there is nothing left to write.
    let written = writing.join().expect("the writing thread doesn't panic");
    written.map_err(Failure::failed)?;
    Ok(Outcome::of(tally.is_clean()))
}

fn answer_timeout(text: &str) -> Result<Duration, &'static str> {
    units::duration(text).ok_or(units::DURATION_FORM)
}

/// Has reads and writes return every `tick`, for a look at the clocks.
fn prepare(stream: &TcpStream, tick: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(tick))?;
    stream.set_write_timeout(Some(tick))?;
    // Where it can't be had, a large buffer takes bytes that nobody reads.
    #[cfg(target_os = "linux")]
    let _ = {
        let socket = socket2::SockRef::from(stream);
        socket.set_tcp_notsent_lowat(tickwire::limits::CLIENT_UNSENT_BYTES)
    };
    Ok(())
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// Bytes that the kernel has taken.
    taken: AtomicU64,
    /// Others wait for it.
    unwritten: AtomicBool,
    /// The fence was written, which is always answered.
    fence_sent: AtomicBool,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger
            .lock()
            .expect("nobody panics while counting messages")
    }

    /// Returns all there is to see but the bytes and answers read.
    fn seen(&self) -> Observation {
        let taken = self.taken.load(Ordering::Acquire);
        Observation {
            owed: self.fence_sent.load(Ordering::Acquire) || self.ledger().is_owed(taken),
            unwritten: self.unwritten.load(Ordering::Acquire),
            taken,
            ..Observation::default()
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("the server closed the connection before everything was answered")]
    Closed,
    #[error(
        "the server has not answered for {}, and is given up: see whether it hangs, and send \
         again what has no answer if it may arrive twice",
        units::show_duration(*.0)
    )]
    Unanswered(Duration),
    #[error(
        "the server has taken no bytes for {}, and is given up: see whether it hangs, and send \
         again what has no answer if it may arrive twice, and what stands behind it",
        units::show_duration(*.0)
    )]
    NotReading(Duration),
    #[error("the connection was lost: {0}")]
    Broken(#[from] FrameCodecError),
}

/// Reads answers up to the welcome of the hello `fence_id`.
fn read_answers(
    client: &mut BlockingClient,
    fence_id: &MsgId,
    shared: &Shared,
    report: &Report,
    mut patience: Patience,
) -> Result<(), Interruption> {
    loop {
        let read = read_once(client)?;
        let mut answered = false;
        while let Some(frame) = client.frames.next_at_hand()? {
            // Nothing else should come to a connection without a name.
            let Some(message) = ServerMessage::of(&client.server, &frame) else {
                continue;
            };
            if message.payload.welcomes(fence_id) {
                return Ok(());
            }
            answered |= take_answer(message, shared, report);
        }
        if answered {
            report.progress(shared.ledger().settled());
        }
        let seen = Observation {
            answered,
            read,
            read_all: client.frames.has_read_all,
            ..shared.seen()
        };
        match patience.observe(Instant::now(), &seen) {
            None => {}
            Some(Lack::Answers) => return Err(Interruption::Unanswered(patience.limit)),
            Some(Lack::Reading) => return Err(Interruption::NotReading(patience.limit)),
        }
    }
}

/// Reads for a tick, unless a frame is at hand. Returns the bytes read.
fn read_once(client: &mut BlockingClient) -> Result<usize, Interruption> {
    if !client.frames.is_drained() {
        return Ok(0);
    }
    match client.frames.fill() {
        Ok(0) => Err(Interruption::Closed),
        Ok(read) => Ok(read),
        Err(error) if is_timeout(&error) => Ok(0),
        Err(error) => Err(FrameCodecError::from(error).into()),
    }
}

/// Takes a message of the server. Returns whether it answers one that was sent.
fn take_answer(message: ServerMessage, shared: &Shared, report: &Report) -> bool {
    let body = message.payload;
    let id = |text: &str| MsgId::from_text(text.as_bytes());
    if message.msg_type != "error" {
        let mut ledger = shared.ledger();
        let mut answered = false;
        // A hello among the messages is answered by its welcome.
        if let Some(hello) = body.hello_msg_id.as_deref().and_then(id) {
            answered |= ledger.acknowledged(&hello);
            ledger.expect_acks(!body.silences_acks());
        }
        for msg_id in body.covered().filter_map(id) {
            answered |= ledger.acknowledged(&msg_id);
        }
        ledger.tally.dropped += body.dropped();
        return answered;
    }
    let code = body.code.unwrap_or_default();
    let reason = body.message.unwrap_or_default();
    let known = ErrorCode::from_text(&code);
    if known == Some(ErrorCode::Undelivered) {
        shared.ledger().tally.undelivered += body.details.count.unwrap_or(1);
        report.notice(&code, &reason);
        return false;
    }
    let msg_id = body.details.msg_id.as_deref().and_then(id);
    // Another error is about the connection.
    let about_a_message = msg_id.is_some() || known.is_some_and(ErrorCode::is_invalid_frame);
    let sent = about_a_message
        .then(|| shared.ledger().refused(msg_id.as_ref()))
        .flatten();
    let answered = sent.is_some();
    match sent {
        Some(sent) => report.refused(RefusedMessage {
            file: report.file(sent.input),
            line: sent.line,
            code,
            field: body.details.field,
            reason,
            target: sent.target.map(Into::into),
            msg_id: msg_id.map(|msg_id| msg_id.to_string()),
        }),
        None => report.notice(&code, &reason),
    }
    answered
}

const ROUTED: &str = "routed (an ack gets no answer of its own)";
const SILENT: &str = "accepted in silence (a hello among them asked for no acks)";

fn summary(tally: &Tally) -> String {
    let unless_none = |begin, count: u64, text| match count {
        0 => String::new(),
        _ => format!("{begin}{count} {text}"),
    };
    [
        format!("{} sent: {} acknowledged", tally.sent, tally.acknowledged),
        unless_none(" (", tally.dropped, "times missed by a receiver)"),
        unless_none(", ", tally.routed, ROUTED),
        unless_none(", ", tally.silent, SILENT),
        format!(", {} refused", tally.refused),
        unless_none(", ", tally.undelivered, "given up before delivery"),
        unless_none(", ", tally.unanswered, "unanswered"),
    ]
    .concat()
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
}
