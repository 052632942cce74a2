//! The binary as a newcomer runs it: serve, listen, send, check and demo.

mod bench;
mod check;
mod configuration;
#[cfg(target_os = "linux")]
mod descriptors;
mod listen;
mod listening;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
mod polling;
mod send;
#[cfg(unix)]
mod settling;
#[cfg(unix)]
mod signals;

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::conformance::MESSAGES;
use crate::draft::Draft;
use crate::process::{Listen, Outcome, Serve, run, tickwire, until_owned};
use crate::raw_client::{RawClient, within};

/// The files of the eleven messages, as a shell would expand them.
pub fn message_files() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages");
    let entries = std::fs::read_dir(folder).expect("the fixtures");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .collect();
    files.sort();
    assert_eq!(files.len(), 11);
    files
}

async fn send(server: &Serve, files: &[String]) -> Outcome {
    let to = server.address.to_string();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    run(&mut tickwire(&[&["send", "--to", &to], &*files].concat())).await
}

/// Removes white space outside strings.
pub fn compact(json: &[u8]) -> String {
    let mut text = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for character in str::from_utf8(json).expect("UTF-8").chars() {
        if in_string || !character.is_ascii_whitespace() {
            text.push(character);
        }
        match character {
            '"' if !escaped => in_string = !in_string,
            _ => (),
        }
        escaped = in_string && character == '\\' && !escaped;
    }
    text
}

/// The examples addressed to `target`, or to everyone, compact and sorted.
fn examples_for(target: &str) -> Vec<String> {
    let mut lines: Vec<_> = MESSAGES
        .iter()
        .filter(|(_, message)| {
            let message: Value = serde_json::from_slice(message).expect("an example");
            message["target"].is_null() || message["target"] == target
        })
        .map(|(_, message)| compact(message))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_listener_prints_what_another_terminal_sends() {
    let serve = Serve::start(&[]).await;
    let mut gateway = Listen::start(serve.address, "api-gateway").await;
    let outcome = send(&serve, &message_files()).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let printed = outcome.stdout.clone() + &outcome.stderr;
    assert!(printed.contains("10 acknowledged"), "{printed}");
    assert!(printed.contains("1 refused"), "{printed}");
    assert!(printed.contains("TARGET_UNAVAILABLE"), "{printed}");
    assert!(printed.contains("quantower-connector"), "{printed}");

    let expected = examples_for("api-gateway");
    assert_eq!(expected.len(), 7, "six, and the broadcast");
    let mut lines = Vec::new();
    for _ in 0..7 {
        lines.push(gateway.line().await);
    }
    lines.sort();
    assert_eq!(lines, expected);

    // With a second listener nothing is refused any more.
    let mut connector = Listen::start(serve.address, "quantower-connector").await;
    let outcome = send(&serve, &message_files()).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let mut lines = vec![connector.line().await, connector.line().await];
    lines.sort();
    assert_eq!(lines, examples_for("quantower-connector"));
}

#[tokio::test]
async fn a_listener_ends_by_itself_after_as_many_messages_as_it_was_told() {
    let serve = Serve::start(&[]).await;
    let to = serve.address.to_string();
    let mut command = tickwire(&["listen", "gateway", "--to", &to, "--count", "3"]);
    let child = command.spawn().expect("starts");
    // The probe is the first of the three.
    until_owned(serve.address, "gateway").await;
    let mut sender = RawClient::speaking_for_others(serve.address).await;
    for _ in 0..2 {
        let text = "white space, and a \"quote\", stay";
        let record = Draft::log_record("a", "gateway").payload("message", text);
        sender.ask_acked(&record).await;
    }
    let output = within("the listener to end", child.wait_with_output()).await;
    let output = output.expect("its output is read");
    assert!(output.status.success());
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
    assert_eq!(
        stdout
            .matches(r#"white space, and a \"quote\", stay"#)
            .count(),
        2,
        "{stdout}"
    );
}

#[tokio::test]
async fn a_raw_listener_prints_frames_as_they_came() {
    let serve = Serve::start(&[]).await;
    let to = serve.address.to_string();
    let mut command = tickwire(&["listen", "gateway", "--to", &to, "--count", "2", "--raw"]);
    let child = command.spawn().expect("starts");
    until_owned(serve.address, "gateway").await;
    let mut sender = RawClient::speaking_for_others(serve.address).await;
    let frame = br#" {"msg_id": "550e8400-e29b-41d4-a716-446655440000", "msg_type": "heartbeat",
        "timestamp": "2026-01-03T12:41:00Z", "source": "a", "target": "gateway",
        "payload": {"status": "\u0061live", "timestamp": "2026-01-03T12:41:00Z"} } "#;
    sender.send_frame(frame).await;
    assert_eq!(sender.receive().await.kind(), "ack");
    let output = within("the listener to end", child.wait_with_output()).await;
    let output = output.expect("its output is read");
    assert!(output.status.success());
    assert!(output.stdout.ends_with(&crate::raw_client::framed(frame)));
}

#[tokio::test]
async fn send_takes_concatenated_json_and_json_lines_from_standard_input() {
    let serve = Serve::start(&[]).await;
    let _gateway = RawClient::owning(serve.address, &["api-gateway"]).await;
    let to = serve.address.to_string();
    let mut child = tickwire(&["send", "--to", &to, "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = Vec::new();
    for number in 0..30 {
        input.extend(Draft::order("a", "api-gateway").frame());
        // On one line, on lines of their own, and between empty ones.
        input.extend_from_slice([&b""[..], b"\n", b"\r\n\n "][number % 3]);
    }
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(&input).await.expect("it reads");
    drop(stdin);
    let output = within("send to end", child.wait_with_output()).await;
    let output = output.expect("its output is read");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(printed.contains("30 acknowledged"), "{printed}");
}

// `tickwire send orders.jsonl | head -0` must not call messages a failure that
// were all accepted.
#[tokio::test]
async fn send_accounts_for_every_message_whatever_acks_a_hello_among_them_chooses() {
    let serve = Serve::start(&[]).await;
    let _gateway = RawClient::owning(serve.address, &["api-gateway"]).await;
    let hello = |acks: &str| {
        Draft::hello("a")
            .payload("acks", acks)
            .payload("register", false)
    };
    let order = || Draft::order("a", "api-gateway");
    let mut messages = vec![order(), hello("batch").payload("ack_details", true)];
    messages.extend((0..50).map(|_| order()));
    messages.extend([hello("none"), order(), Draft::order("a", "nobody"), order()]);
    messages.extend([hello("each"), order()]);
    let frames: Vec<u8> = messages.iter().flat_map(Draft::frame).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("messages.json");
    std::fs::write(&path, frames).expect("written");
    let outcome = send(&serve, &[path.display().to_string()]).await;
    assert!(
        outcome.stdout.contains(
            "58 sent: 55 acknowledged, 2 accepted in silence (a hello among them asked for no \
             acks), 1 refused"
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn nobody_reading_the_summary_is_no_failure() {
    let serve = Serve::start(&[]).await;
    let to = serve.address.to_string();
    for arguments in [&["send", "--to", &to, "-"][..], &["check", "-"]] {
        let mut child = tickwire(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("starts");
        // Gone before there is anything to say.
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().expect("it is piped");
        let heartbeat = Draft::heartbeat("a", "health-monitor").frame();
        stdin.write_all(&heartbeat).await.expect("it reads");
        drop(stdin);
        let output = within("the command to end", child.wait_with_output()).await;
        let output = output.expect("its output is read");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn send_fails_where_nobody_listens() {
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = free.local_addr().expect("its address").to_string();
    drop(free);
    let files = message_files();
    let outcome = run(&mut tickwire(&["send", "--to", &to, &files[0]])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(&to), "{outcome:?}");
}

#[tokio::test]
async fn check_says_where_a_message_is_wrong() {
    let files = message_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let outcome = run(&mut tickwire(&[&["check"], &*files].concat())).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.json");
    let mut file = std::fs::File::create(&path).expect("a file");
    // The second message's status, on line 9.
    let good = Draft::heartbeat("a", "b").frame();
    file.write_all(&good).expect("written");
    file.write_all(
        b"\n\n{\n  \"msg_id\": \"550e8400-e29b-41d4-a716-446655440000\",\n  \
        \"msg_type\": \"heartbeat\", \"timestamp\": \"2026-01-03T12:41:00Z\",\n  \
        \"source\": \"a\", \"target\": null,\n  \"payload\": {\n    \
        \"timestamp\": \"2026-01-03T12:41:00Z\",\n    \"status\": 7\n  }\n}\n",
    )
    .expect("written");
    drop(file);
    let bad = path.display().to_string();
    let outcome = run(&mut tickwire(&["check", files[0], &bad])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let printed = outcome.stdout + &outcome.stderr;
    assert!(printed.contains("bad.json:9:"), "{printed}");
    assert!(printed.contains("payload.status"), "{printed}");

    let missing = folder.path().join("missing.json").display().to_string();
    let outcome = run(&mut tickwire(&["check", &missing])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("missing.json"), "{outcome:?}");
}

#[tokio::test]
async fn demo_shows_all_message_types_and_ends_after_its_count() {
    // At its own pace it takes 20 seconds, and each that is late makes it longer.
    let mut command = tickwire(&["demo", "--count", "200", "--rate", "200"]);
    let outcome = run(&mut command).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for kind in [
        "event/order",
        "event/execution",
        "event/market_data",
        "event/strategy_event",
        "event/system_event",
        "log_record",
        "heartbeat",
        "error",
        "ack",
    ] {
        assert!(outcome.stdout.contains(kind), "{kind}: {}", outcome.stdout);
    }
    for name in [
        "quantower-connector",
        "market-data-feed",
        "trade-service",
        "api-gateway",
        "strategy-manager",
        "order-manager",
        "batch-processor",
        "health-monitor",
        "log-aggregator",
    ] {
        assert!(outcome.stdout.contains(name), "{name}: {}", outcome.stdout);
    }
    // Colours are for terminals.
    assert!(!outcome.stdout.contains('\u{1b}'));
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    for arguments in [
        &["serv"][..],
        &["--no-such-option"],
        &["serve", "--no-such-option"],
        &["serve", "--listen"],
        &["send"],
        &["listen"],
        &["listen", "n", "--where", "a!=b"],
        &["listen", "n", "--latest", "a..b"],
        &["listen", "n", "--snapshot"],
        &["check"],
        &["demo", "--count", "many"],
    ] {
        let outcome = run(&mut tickwire(arguments)).await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let outcome = run(&mut tickwire(arguments)).await;
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
        assert!(!outcome.stdout.is_empty(), "{arguments:?}");
    }
}
