//! A server with a log that nobody reads, or that can't be written: it serves,
//! it stops in order, and it sums up the lines that it could not write.

mod streams;

use std::io::{Read, pipe};
use std::process::Stdio;
use std::thread;

use tokio::process::Command;

use self::streams::{dead_terminal, full_pipe, listening, non_blocking};
use crate::draft::Draft;
use crate::process::{Serve, signal_to, tickwire, until_owned};
use crate::raw_client::{RawClient, within};

/// A server with one thread, which no log line may hold up, that takes few
/// connections and keeps nothing for an owner that has left.
fn serve(stderr: impl Into<Stdio>) -> Command {
    let mut command = tickwire(&["serve", "--listen", "127.0.0.1:0", "--threads", "1"]);
    command
        .env("TICKWIRE_CONNECTIONS_MAX", "4")
        .env("TICKWIRE_LINGER", "0s")
        .env("TICKWIRE_QUEUE_BYTES", "64MiB")
        .env("TICKWIRE_LOG", "debug")
        .stderr(stderr);
    command
}

/// Whatever becomes of its log, a server refuses a connection too many and
/// accepts the next, reports what it gives up, and drains when it is stopped.
async fn serves_and_stops_in_order(stderr: impl Into<Stdio>) {
    let serve = Serve::spawn_logging(&mut serve(stderr)).await;
    let address = serve.address;

    let mut sender = RawClient::owning(address, &["sender"]).await;
    let mut first = RawClient::owning(address, &["first"]).await;
    let slow = RawClient::owning_narrow(address, &["slow"]).await;
    let last = RawClient::owning(address, &["last"]).await;
    let mut refused = RawClient::connect(address).await;
    refused.expect_last_words("LIMIT_EXCEEDED").await;
    last.leave().await;

    // Far more than the kernel takes.
    for _ in 0..60 {
        let order = Draft::order("sender", "slow").padded(100_000);
        sender.ask_acked(&order).await;
    }
    slow.reset();
    let report = sender.receive().await;
    assert_eq!(report.code(), "UNDELIVERED", "{report:?}");

    // As soon as the places that became free are.
    let mut next = within("another connection", async {
        loop {
            let mut next = RawClient::connect(address).await;
            next.send(&Draft::hello("next")).await;
            match next.reader.receive_or_break().await {
                Some(answer) if answer.kind() == "welcome" => break next,
                _ => continue,
            }
        }
    })
    .await;
    let order = Draft::order("sender", "next");
    sender.ask_acked(&order).await;
    assert_eq!(next.receive().await.text("/msg_id"), order.id);

    let ended = tokio::spawn(serve.end_by("-TERM"));
    for peer in [&mut sender, &mut first, &mut next] {
        peer.expect_last_words("SERVER_SHUTTING_DOWN").await;
    }
    let status = within("serve to end", ended).await.expect("no panic");
    assert_eq!(status.code(), Some(0), "{status:?}");
}

// `tickwire serve 2>&1 | tee log` and ctrl-c; `tickwire serve 2> >(head -1)`.
#[tokio::test]
async fn a_closed_standard_error_is_no_reason_to_fail() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    serves_and_stops_in_order(writer).await;
}

#[tokio::test]
async fn a_standard_error_that_nobody_drains_holds_nothing_up() {
    let (reader, writer) = full_pipe();
    serves_and_stops_in_order(writer).await;
    drop(reader);
}

// Whoever shares a terminal or a pipe may set it so for all.
#[tokio::test]
async fn a_standard_error_that_does_not_block_holds_nothing_up() {
    let (reader, writer) = full_pipe();
    serves_and_stops_in_order(non_blocking(&writer)).await;
    drop(reader);
}

#[tokio::test]
async fn a_full_disk_is_no_reason_to_fail() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    serves_and_stops_in_order(full.expect("a device of Linux")).await;
}

#[tokio::test]
async fn a_terminal_that_is_gone_is_no_reason_to_fail() {
    serves_and_stops_in_order(dead_terminal()).await;
}

/// Reads all that a stream has, beside the test.
fn read_to_end(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("UTF-8");
        text
    })
}

// Each connection that ends is a line. More of them than are kept must neither
// be kept nor pass over in silence.
#[tokio::test]
async fn a_reader_that_starts_late_is_told_how_much_it_missed() {
    const CONNECTIONS: usize = 7_500;
    for blocks in [true, false] {
        let (reader, writer) = full_pipe();
        // No other end may stay open, or the reader never sees the end.
        let stderr = match blocks {
            true => Stdio::from(writer),
            false => {
                let again = non_blocking(&writer);
                drop(writer);
                Stdio::from(again)
            }
        };
        let mut command = serve(stderr);
        let mut serve =
            Serve::spawn_logging(command.env("TICKWIRE_CONNECTIONS_MAX", "20000")).await;
        drop(command);
        for _ in 0..CONNECTIONS {
            RawClient::connect(serve.address).await.reset();
        }
        // Accepted after all of them.
        let mut peer = RawClient::owning(serve.address, &["peer"]).await;
        let read = read_to_end(reader);
        serve.signal("-TERM").await;
        peer.expect_last_words("SERVER_SHUTTING_DOWN").await;
        assert_eq!(serve.ended().await.code(), Some(0));

        let text = read.join().expect("it is read");
        // Where the process may have few files open, it says so when it starts.
        let about_files = |line: &&str| line.contains("RLIMIT_NOFILE");
        let log: Vec<_> = (text.lines())
            .filter(|line| line.contains("tickwire") && !about_files(line))
            .collect();
        let missing: usize = log
            .iter()
            .filter_map(|line| line.split_once("tickwire::log: "))
            .map(|(_, text)| {
                let count = text
                    .split(' ')
                    .next()
                    .and_then(|count| count.parse::<usize>().ok());
                count.unwrap_or_else(|| panic!("no count: {text}"))
            })
            .sum();
        assert!(missing > 0, "all of {} lines were kept", log.len());
        let told = log.iter().filter(|line| !line.contains("tickwire::log: "));
        // Beside the connections' there are the peer's own line, and "stopping".
        assert_eq!(told.count() + missing, CONNECTIONS + 2);
    }
}

#[tokio::test]
async fn what_is_lost_by_an_end_at_once_is_said_by_name() {
    let (reader, writer) = full_pipe();
    let mut command = serve(writer);
    let mut serve = Serve::spawn_logging(command.env("TICKWIRE_DRAIN_TIMEOUT", "1h")).await;
    drop(command);
    let _slow = RawClient::owning_narrow(serve.address, &["slow"]).await;
    let mut sender = RawClient::owning(serve.address, &["sender"]).await;
    for _ in 0..60 {
        let order = Draft::order("sender", "slow").padded(100_000);
        sender.ask_acked(&order).await;
    }
    let mut read = read_lines(reader);
    serve.signal("-TERM").await;
    let before = until(&mut read, "stopping").await;
    assert!(before.iter().all(|line| !line.contains("tickwire::loss")));
    serve.signal("-TERM").await;
    let status = serve.ended().await;
    assert_eq!(status.code(), Some(1));
    let of_slow = until(&mut read, "lost by an end at once").await;
    let of_slow = of_slow.last().expect("a line");
    assert!(of_slow.contains("target=slow count="), "{of_slow}");
    let count = of_slow.rsplit_once("count=").expect("a count").1;
    assert_ne!(count, "0");
    let all = until(&mut read, "stopped at once: what was queued is lost").await;
    let all = all.last().expect("a line");
    assert!(all.ends_with(&format!("count={count}")), "{all}");
    until(&mut read, "given up since the start").await;
}

/// Reads a stream's lines beside the test.
fn read_lines(stream: impl Read + Send + 'static) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    use std::io::BufRead;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::BufReader::new(stream).lines() {
            if sender.send(line.expect("UTF-8")).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The lines up to one that contains `text`.
async fn until(
    lines: &mut tokio::sync::mpsc::UnboundedReceiver<String>,
    text: &str,
) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let line = within(text, lines.recv()).await;
        let line = line.unwrap_or_else(|| panic!("no {text:?}: {seen:#?}"));
        seen.push(line);
        if seen.last().is_some_and(|line| line.contains(text)) {
            return seen;
        }
    }
}

// A parent that reads no standard output can't know the address; the server is
// to serve all the same.
#[tokio::test]
async fn a_standard_output_that_nobody_reads_is_no_reason_not_to_serve() {
    let (reader, writer) = full_pipe();
    let (closed, to_closed) = pipe().expect("a pipe");
    drop(closed);
    let streams: [Stdio; 3] = [
        non_blocking(&writer).into(),
        writer.into(),
        to_closed.into(),
    ];
    let servers = streams.map(|stdout| tokio::spawn(serves_without_a_reader(stdout)));
    for server in servers {
        server.await.expect("no panic");
    }
    drop(reader);
}

async fn serves_without_a_reader(stdout: Stdio) {
    let mut command = serve(Stdio::inherit());
    let mut child = command.stdout(stdout).spawn().expect("starts");
    let id = child.id().expect("it runs");
    let address = listening(id).await;
    let mut peer = RawClient::owning(address, &["peer"]).await;
    signal_to(id, "-TERM").await;
    peer.expect_last_words("SERVER_SHUTTING_DOWN").await;
    let status = within("serve to end", child.wait()).await;
    assert_eq!(status.expect("it is ours").code(), Some(0));
}

// A reader that shares its end of the pipe with a program that set it so.
#[tokio::test]
async fn a_listener_waits_for_a_standard_output_that_does_not_block() {
    const MESSAGES: usize = 60;
    let serve = Serve::start(&[]).await;
    let to = serve.address.to_string();
    let (reader, writer) = pipe().expect("a pipe");
    // And one message that shows that it listens.
    let count = (MESSAGES + 1).to_string();
    let mut command = tickwire(&["listen", "gateway", "--to", &to, "--count", &count]);
    let mut child = command
        .stdout(non_blocking(&writer))
        .stderr(Stdio::inherit())
        .spawn()
        .expect("starts");
    drop((writer, command));
    until_owned(serve.address, "gateway").await;
    let mut sender = RawClient::speaking_for_others(serve.address).await;
    for _ in 0..MESSAGES {
        let order = Draft::order("sender", "gateway").padded(10_000);
        sender.ask_acked(&order).await;
    }
    let read = read_to_end(reader);
    let status = within("the listener to end", child.wait()).await;
    assert_eq!(status.expect("it is ours").code(), Some(0));
    let text = read.join().expect("it is read");
    assert_eq!(text.lines().count(), MESSAGES + 1);
}

#[tokio::test]
async fn a_server_that_can_not_start_does_not_wait_to_say_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let (reader, writer) = full_pipe();
    let mut command = tickwire(&["serve", "--listen", &address]);
    let mut child = command.stderr(writer).spawn().expect("starts");
    let status = within("serve to end", child.wait()).await;
    assert_eq!(status.expect("it is ours").code(), Some(1));
    drop(reader);
}
