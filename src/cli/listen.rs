//! `tickwire listen`: prints what is sent to a name.

use std::io::{self, BufWriter, ErrorKind, Write};

use clap::Args;
use futures_util::FutureExt;
use tickwire::client::{ConnectError, Disconnect, Event, Receiver, SendError};
use tickwire::ids::Name;
use tickwire::limits::{LISTEN_DEFAULT, LISTEN_PROBE_INTERVAL, WINDOW_BYTES};
use tickwire::wire::{Condition, ErrorCode, ErrorReport, Subscribe, Welcome};
use tickwire::{Client, ClientConfig};
use tokio::runtime::Runtime;

use self::condition::{condition, pointer};
use self::mismatch::Mismatch;
use self::output::Output;
use self::reader::reader_gone;
use super::patient::Patient;
use super::peer::{self, PeerError};
use super::{DIM, Failure, Outcome, say};

mod condition;
mod mismatch;
mod output;
mod reader;

const EXAMPLES: &str = "\
Examples:
  tickwire listen api-gateway
  tickwire listen api-gateway | jq .payload
  tickwire listen api-gateway --count 1        wait for one message
  tickwire listen api-gateway --raw > capture  the exact bytes
  tickwire listen desk --where payload.payload_json.symbol=BTCUSDT
  tickwire listen desk --where msg_type=ingest_event --where 'payload.payload_json.bar.close>45000'
  tickwire listen desk --latest payload.payload_json.symbol --snapshot

Claims the name, from whoever owns it, and prints each message that is sent to \
it, and every broadcast, on a line of its own: white space outside strings is \
removed, all else stays as it was sent. --raw writes the exact bytes instead, \
each message after its length as a big-endian u32.

With --where, --latest or --snapshot it subscribes: of the broadcasts only those \
are printed for which all conditions hold. A condition is a path, an operator \
and a value:
  path      source, msg_type, a dotted path like payload.payload_json.symbol, or \
a JSON pointer like /payload/payload_json/symbol
  operator  =  <  <=  >  >=  and ^= for the beginning of a text; a path alone: the \
field is there
  value     a number, true, false or null is taken as such, everything else as \
a text, and so is what stands in quotes: 'payload.run_id=\"42\"'. One that \
begins with = < > ^ ! or ~ stands in quotes: 'payload.note=\"=1\"'
A number never equals a text. The first broadcast that has a text where a number was asked for is told, with what to write for the text.
--count N takes no more than N messages from the server, broadcasts among them: what else is queued for the name stays there for whoever owns it next. When it is said that the server can't do that, messages beyond may be lost at the end.

--latest KEY: while this terminal is behind, a newer message takes the place of \
the older one with the same value at KEY. --snapshot: first the last broadcast \
for each value of that key, so that all is there at once.

When the connection is lost, or the server falls silent, it connects again, for \
as long as it takes, and says so. What is printed then may lack what came meanwhile.

Exit codes: 0 after --count messages, or at once when nobody reads the output \
any more; \
1 if another connection took the name over, or if the server can't be reached \
or refuses; 2 wrong usage.";

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
    /// Of the broadcasts only those with this; several must all hold
    #[arg(long = "where", value_name = "CONDITION", value_parser = condition)]
    conditions: Vec<Condition>,
    /// While behind, of each value at this path only the newest broadcast
    #[arg(long, value_name = "KEY", value_parser = pointer)]
    latest: Option<String>,
    /// Begin with the last broadcast for each value of the key
    #[arg(long)]
    snapshot: bool,
    /// The key of --snapshot, where --latest doesn't name it
    #[arg(long, value_name = "KEY", value_parser = pointer, requires = "snapshot",
        conflicts_with = "latest")]
    key: Option<String>,
}

/// Why listening ended too early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("another connection took over the name {0}")]
    TakenOver(String),
    #[error(transparent)]
    Closed(Disconnect),
    #[error("the connection was closed")]
    Over,
    #[error("can't write: {0}")]
    Output(#[from] io::Error),
}

/// Prints messages until enough have come, or there is no connection to be had.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let name = Name::new(&arguments.name)
        .map_err(|error| Failure::usage(format!("{:?}: {error}", arguments.name)))?;
    let subscribe = arguments.subscribe().map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    run_to_end(runtime, async {
        tokio::select! {
            biased;
            outcome = listen(arguments, &name, subscribe) => outcome,
            // Or it would own the name, and take the next message with it.
            () = reader_gone() => Ok(Outcome::Done),
        }
    })
}

/// Runs `work`, and waits for nothing that it has left behind: a lookup of a
/// host can't be cancelled, and may hang for long in a thread of the runtime.
fn run_to_end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

impl Arguments {
    /// How many messages to take from the server at most.
    fn window(&self) -> Option<u32> {
        u32::try_from(self.count?).ok()
    }

    /// Says so where messages beyond those asked for may be taken and lost.
    fn say_what_is_not_granted(&self, welcome: &Welcome) {
        if let Some(count) = self.count
            && welcome.granted.window.is_none()
        {
            say(format_args!(
                "this server can't be asked for {count} messages alone: what is queued \
                 beyond may be taken as well, and lost at the end"
            ));
        }
    }

    /// The subscription that they ask for.
    fn subscribe(&self) -> Result<Option<Subscribe>, &'static str> {
        if self.conditions.is_empty() && self.latest.is_none() && !self.snapshot {
            return Ok(None);
        }
        let all = Subscribe::new("listen");
        let mut subscribe = self.conditions.iter().cloned().fold(all, Subscribe::with);
        if let Some(key) = &self.latest {
            subscribe = subscribe.latest(key);
        }
        if self.snapshot {
            let key = self.latest.as_ref().or(self.key.as_ref()).ok_or(
                "--snapshot has the last broadcast for each value of a key: name the key with \
                 --key payload.payload_json.symbol, or use --latest",
            )?;
            subscribe = subscribe.with_snapshot(key);
        }
        Ok(Some(subscribe))
    }
}

async fn listen(
    arguments: &Arguments,
    name: &Name,
    subscribe: Option<Subscribe>,
) -> Result<Outcome, Failure> {
    let mut config = config(name);
    if let Some(window) = arguments.window() {
        config = config.window(window);
    }
    let connecting = Client::connect(&arguments.to, config).await;
    let (client, mut receiver) = connecting.map_err(|error| explain(&arguments.to, error))?;
    if let Some(subscribe) = subscribe {
        let subscribed = client.subscribe(subscribe).await;
        subscribed.map_err(not_subscribed)?;
    }
    arguments.say_what_is_not_granted(&client.welcome());
    if let Some(mismatch) = Mismatch::of(&arguments.conditions) {
        mismatch.tell(&arguments.to, name).await;
    }
    say(format_args!(
        "{DIM}listening as {name} on {}{DIM:#}",
        arguments.to
    ));
    let output = Output {
        out: BufWriter::with_capacity(WINDOW_BYTES, Patient(io::stdout().lock())),
        raw: arguments.raw,
        line: Vec::new(),
    };
    match print_messages(&mut receiver, arguments, output).await {
        Ok(()) => Ok(Outcome::Done),
        Err(Ended::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        Err(ended) => Err(Failure::failed(ended)),
    }
}

fn config(name: &Name) -> ClientConfig {
    ClientConfig::new(name.as_str())
        // It sends nothing that would have to be remembered.
        .resumable(false)
        // And so it would have nothing to notice a silent server by.
        .probe(LISTEN_PROBE_INTERVAL)
}

fn explain(to: &str, error: ConnectError) -> Failure {
    match error {
        ConnectError::Unreachable { error, .. } if error.kind() == ErrorKind::ConnectionRefused => {
            Failure::failed(PeerError::NothingListens(to.to_owned()))
        }
        error => Failure::failed(error),
    }
}

fn not_subscribed(error: SendError) -> Failure {
    match error {
        SendError::Refused(report) if report.known_code() == Some(ErrorCode::InvalidFilter) => {
            let field = report.field().unwrap_or_default();
            Failure::usage(format!("{field}: {}", report.message))
        }
        error => Failure::failed(format!("can't subscribe: {error}")),
    }
}

async fn print_messages(
    receiver: &mut Receiver,
    arguments: &Arguments,
    mut output: Output<impl Write>,
) -> Result<(), Ended> {
    let mut remaining = arguments.count;
    while remaining != Some(0) {
        let event = match receiver.receive().now_or_never() {
            Some(event) => event,
            None => {
                // Nothing more is at hand: show what came.
                output.out.flush()?;
                receiver.receive().await
            }
        };
        match event {
            Some(Event::Message(inbound)) => {
                output.write(inbound.json())?;
                remaining = remaining.map(|remaining| remaining - 1);
                continue;
            }
            Some(Event::Notice(report)) => {
                if report.known_code() == Some(ErrorCode::NameTakenOver) {
                    output.out.flush()?;
                    return Err(Ended::TakenOver(arguments.name.clone()));
                }
                say_report(&report);
            }
            Some(Event::Disconnected(why)) => {
                output.out.flush()?;
                say(format_args!("{why}; connecting again"));
            }
            Some(Event::Reconnected(again)) => {
                say(format_args!("connected again"));
                arguments.say_what_is_not_granted(&again.welcome);
            }
            Some(Event::Closed(why)) => {
                output.out.flush()?;
                return Err(Ended::Closed(why));
            }
            Some(_) => {}
            None => {
                output.out.flush()?;
                return Err(Ended::Over);
            }
        }
    }
    output.out.flush()?;
    Ok(())
}

/// Says what the server itself has to tell.
fn say_report(report: &ErrorReport) {
    say(format_args!(
        "the server says {}: {}",
        report.code, report.message
    ));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use tickwire::wire::{Message, write_frame};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const MESSAGE: &[u8] = b"{ \"source\": \"a\",\n \"msg_type\": \"x\", \"payload\": {} }";

    #[derive(Debug, Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(more: &[&str]) -> Result<Arguments, clap::Error> {
        let all = [&["listen", "n"], more].concat();
        CommandLine::try_parse_from(all).map(|line| line.arguments)
    }

    fn server_error(code: &str) -> Vec<u8> {
        Message::error("tickwire", "n", code, "m")
            .unwrap()
            .to_json()
            .into_bytes()
    }

    /// A server that welcomes a client, says `frames`, and ends.
    async fn serve(mut stream: tokio::io::DuplexStream, frames: &[&[u8]]) {
        welcome(&mut stream, frames).await;
    }

    async fn welcome(stream: &mut tokio::io::DuplexStream, frames: &[&[u8]]) {
        let length = stream.read_u32().await.unwrap();
        let mut hello = vec![0; length as usize];
        stream.read_exact(&mut hello).await.unwrap();
        let hello = Message::from_json(&hello).unwrap();
        let welcome = format!(
            r#"{{"msg_id":"{0}","msg_type":"welcome","timestamp":"{1}","source":"tickwire",
            "payload":{{"protocol":1,"hello_msg_id":"{0}","names":["n"],"granted":{{}},
            "server":{{"name":"tickwire","version":"0"}},
            "limits":{{"frame_bytes":9999,"queue_bytes":9999,"queue_messages":9}}}}}}"#,
            hello.msg_id,
            peer::now()
        );
        let mut bytes = Vec::new();
        for frame in [&[welcome.as_bytes()], frames].concat() {
            write_frame(&mut bytes, frame).unwrap();
        }
        stream.write_all(&bytes).await.unwrap();
    }

    /// What is printed of `frames`, and how it ends.
    fn listen(frames: &[&[u8]], more: &[&str]) -> (Vec<u8>, Result<(), String>) {
        let arguments = arguments(more).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (near, far) = duplex(1 << 20);
            let connecting = Client::over(near, ClientConfig::new("n"));
            let (connected, ()) = tokio::join!(connecting, serve(far, frames));
            let (_client, mut receiver) = connected.unwrap();
            let mut printed = Vec::new();
            let output = Output {
                out: &mut printed,
                raw: arguments.raw,
                line: Vec::new(),
            };
            let result = print_messages(&mut receiver, &arguments, output).await;
            (printed, result.map_err(|ended| ended.to_string()))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_left() {
        let (near, mut far) = duplex(1 << 20);
        let connecting = Client::over(near, config(&Name::new("n").unwrap()));
        let (connected, ()) = tokio::join!(connecting, welcome(&mut far, &[]));
        let (_client, mut receiver) = connected.unwrap();
        let event = tokio::time::timeout(Duration::from_secs(60), receiver.receive());
        assert!(matches!(
            event.await.unwrap(),
            Some(Event::Closed(Disconnect::Silent { .. }))
        ));
    }

    #[test]
    fn a_lookup_that_hangs_does_not_hold_up_the_end() {
        let (hang_up, hangs) = std::sync::mpsc::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let lookup = async {
                let hanging = tokio::task::spawn_blocking(move || hangs.recv());
                tokio::time::timeout(Duration::from_millis(1), hanging).await
            };
            let timed_out = run_to_end(runtime, lookup).is_err();
            end.send(timed_out).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(true));
        drop(hang_up);
        running.join().unwrap();
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

    #[test]
    fn subscribes_only_where_it_is_asked_for_less_or_for_more() {
        let symbol = "/payload/payload_json/symbol";
        let dotted = "payload.payload_json.symbol";
        let with = |more: &[&str]| arguments(more).unwrap().subscribe();
        let all = || Subscribe::new("listen");
        assert_eq!(with(&["--count", "1"]), Ok(None));
        let conditions = ["--where", "source=feed", "--where", "payload.run_id"];
        let expected = all()
            .with(Condition::eq("source", "feed"))
            .with(Condition::present("/payload/run_id"));
        assert_eq!(with(&conditions), Ok(Some(expected)));
        let expected = all().latest(symbol);
        assert_eq!(with(&["--latest", dotted]), Ok(Some(expected.clone())));
        let expected = expected.with_snapshot(symbol);
        assert_eq!(
            with(&["--latest", dotted, "--snapshot"]),
            Ok(Some(expected))
        );
        let expected = all().with_snapshot(symbol);
        assert_eq!(with(&["--snapshot", "--key", symbol]), Ok(Some(expected)));
    }

    #[test]
    fn wrong_usage_says_what_to_do() {
        let error = arguments(&["--snapshot"]).unwrap().subscribe().unwrap_err();
        assert!(error.contains("--key"), "{error}");
        for wrong in [
            &["--where", "a!=b"][..],
            &["--latest", "a..b"],
            &["--key", "a"],
            &["--snapshot", "--key", "a", "--latest", "a"],
        ] {
            let error = arguments(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
