//! Other people's clients are written from `docs/protocol.md`: its bytes, its
//! messages and its program must be true.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use tickwire::wire::{ErrorCode, Kind, Parser, Validation};

use crate::conformance::MESSAGES;
use crate::python::python;
use crate::queues::fill;
use crate::raw_client::{RawClient, Received, framed, start_server, start_server_with};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

/// The fenced blocks of one kind, in their order.
fn blocks(kind: &str) -> Vec<&'static str> {
    let opening = format!("\n```{kind}\n");
    let mut blocks = Vec::new();
    let mut rest = DOCUMENT;
    while let Some(start) = rest.find(&opening) {
        rest = &rest[start + opening.len()..];
        let end = rest.find("\n```").expect("the block ends");
        blocks.push(&rest[..=end]);
        rest = &rest[end..];
    }
    assert!(!blocks.is_empty(), "no {kind} in the document");
    blocks
}

/// The bytes of a hex dump: an offset, up to 16 bytes, and their characters.
fn bytes_of(dump: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let (offset, rest) = line.split_once("  ").expect("an offset");
        let offset = usize::from_str_radix(offset, 16).expect("hexadecimal");
        assert_eq!(offset, bytes.len(), "{line}");
        let (hex, characters) = rest.split_once('|').expect("characters");
        let row: Vec<u8> = hex
            .split_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
            .collect();
        let shown: String = row.iter().map(|&byte| shown(byte)).collect();
        assert_eq!(characters.strip_suffix('|'), Some(&*shown), "{line}");
        bytes.extend(row);
    }
    bytes
}

fn dump_of(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let (left, right) = hex.split_at(hex.len().min(8));
        let hex = format!("{}  {}", left.join(" "), right.join(" "));
        let shown: String = chunk.iter().map(|&byte| shown(byte)).collect();
        dump += &format!("{:04x}  {hex:<48}  |{shown}|\n", row * 16);
    }
    dump
}

fn shown(byte: u8) -> char {
    match byte {
        0x20..0x7F => char::from(byte),
        _ => '.',
    }
}

/// The parts that differ from run to run made equal.
fn without_what_varies(mut message: Value) -> Value {
    for pointer in [
        "/msg_id",
        "/timestamp",
        "/payload/timestamp",
        "/payload/server/version",
    ] {
        if let Some(value) = message.pointer_mut(pointer) {
            assert!(value.is_string(), "{pointer}");
            *value = Value::Null;
        }
    }
    message
}

fn version_length(welcome: &[u8]) -> usize {
    let message: Value = serde_json::from_slice(welcome).expect("JSON");
    let version = message.pointer("/payload/server/version");
    version.and_then(Value::as_str).map_or(0, str::len)
}

#[tokio::test]
async fn the_documents_exchange_is_what_happens() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let mut gateway = RawClient::owning(server.local_addr(), &["api-gateway"]).await;
    let (from_client, from_server) = (blocks("hex client"), blocks("hex server"));
    assert_eq!(from_client.len(), from_server.len());
    for (sent, answered) in from_client.into_iter().zip(from_server) {
        let sent = bytes_of(sent);
        let answered = bytes_of(answered);
        let (length, frame) = answered.split_first_chunk::<4>().expect("a length");
        assert_eq!(u32::from_be_bytes(*length) as usize, frame.len());
        peer.send_bytes(&sent).await;
        let received = peer.receive().await;
        let documented: Value = serde_json::from_slice(frame).expect("JSON");
        let kind = documented["msg_type"].clone();
        assert_eq!(
            without_what_varies(received.json.clone()),
            without_what_varies(documented),
            "what comes is\n{}",
            dump_of(&framed(&received.frame))
        );
        // Another length would show another spelling.
        let length = |frame: &[u8]| frame.len() - version_length(frame);
        assert_eq!(length(&received.frame), length(frame), "{received:?}");
        if kind == "ack" {
            assert_eq!(gateway.receive().await.frame, sent[4..]);
        }
    }
}

#[test]
fn the_documents_messages_are_valid() {
    let mut parser = Parser::new(Validation::Payload);
    let mut kinds = HashSet::new();
    for block in blocks("json") {
        let value: Value = serde_json::from_str(block).expect(block);
        // Some blocks show a payload alone.
        if let Some(kind) = value.get("msg_type") {
            let kind = kind.as_str().expect("a type").to_owned();
            if kind != "welcome" {
                let verdict = parser.parse(block.as_bytes());
                assert!(verdict.is_ok(), "{verdict:?}: {block}");
            }
            kinds.insert(kind);
        }
    }
    for kind in Kind::WORDS.iter().chain(&["welcome"]) {
        assert!(kinds.contains(*kind), "no example of {kind}");
    }
}

#[test]
fn the_document_shows_every_error() {
    let shown: HashSet<String> = blocks("json")
        .into_iter()
        .map(|block| serde_json::from_str::<Value>(block).expect(block))
        .filter_map(|value| Some(value.get("code")?.as_str()?.to_owned()))
        .collect();
    for code in ErrorCode::ALL {
        assert!(shown.contains(code.as_str()), "no example of {code}");
    }
}

/// The subject of a report made equal, which differs as well.
fn report_without_what_varies(report: &Value) -> Value {
    let mut report = without_what_varies(report.clone());
    let details = report.pointer_mut("/payload/details").expect("details");
    for (key, value) in details.as_object_mut().expect("an object") {
        match key.as_str() {
            "first_msg_id" | "last_msg_id" => assert!(value.is_string(), "{key}"),
            "count" => assert!(value.is_u64(), "{key}"),
            _ => continue,
        }
        *value = Value::Null;
    }
    report
}

/// `report` must be as the document shows its code, as a whole message where it
/// shows one, and as a payload.
#[track_caller]
fn assert_is_documented(report: &Received) {
    let actual = report_without_what_varies(&report.json);
    let payload = |value: &Value| {
        let whole = serde_json::json!({ "payload": value });
        report_without_what_varies(&whole)["payload"].clone()
    };
    let mut shown = 0;
    for block in blocks("json") {
        let value: Value = serde_json::from_str(block).expect(block);
        if value["payload"]["code"] == report.code() {
            assert_eq!(report_without_what_varies(&value), actual);
            shown += 1;
        } else if value["code"] == report.code() {
            assert_eq!(payload(&value), actual["payload"]);
            shown += 1;
        }
    }
    assert!(shown > 0, "{report:?}");
}

#[tokio::test]
async fn the_documents_reports_are_what_is_told() {
    let server = start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .linger(Duration::ZERO)
    })
    .await;
    let address = server.local_addr();
    let mut sender = RawClient::speaking_for_others(address).await;
    for missed in [true, false] {
        let mut gateway = RawClient::owning_narrow(address, &["api-gateway"]).await;
        fill(&mut sender, "api-gateway").await;
        if missed {
            let mut received = gateway.receive().await;
            while received.code() != "MESSAGES_DROPPED" {
                received = gateway.receive().await;
            }
            assert_is_documented(&received);
        } else {
            drop(gateway);
            assert_is_documented(&sender.receive().await);
        }
    }
}

/// The payload of `report` must be among those that the document shows.
#[track_caller]
fn assert_is_shown(report: &Received) {
    let payload = &report.json["payload"];
    let shown = blocks("json").into_iter();
    let mut shown = shown.map(|block| serde_json::from_str::<Value>(block).expect(block));
    assert!(shown.any(|value| value == *payload), "{payload}");
}

/// Time is the runtime's own here, and skips whatever nobody does anything in.
#[tokio::test(start_paused = true)]
async fn the_documents_timeouts_are_what_is_told() {
    let server = start_server().await;
    let address = server.local_addr();
    let seconds = async |count| tokio::time::sleep(Duration::from_secs(count)).await;
    let mut mute = RawClient::connect(address).await;
    let mut broken_off = RawClient::connect(address).await;
    broken_off.send_bytes(&[0, 0]).await;
    let mut dripping = RawClient::connect(address).await;
    dripping.send_bytes(&[0, 0, 1, 0]).await;
    for _ in 0..11 {
        seconds(1).await;
        dripping.writer.try_send_bytes(b" ").await;
    }
    for (peer, code) in [
        (&mut broken_off, "FRAME_TIMEOUT"),
        (&mut dripping, "FRAME_TIMEOUT"),
        (&mut mute, "FIRST_MESSAGE_TIMEOUT"),
    ] {
        let error = peer.receive().await;
        assert_eq!(error.code(), code, "{error:?}");
        assert_is_shown(&error);
        // The server's own clock for the next may not have begun with ours.
        seconds(15).await;
    }
}

#[tokio::test]
async fn the_documents_client_does_what_send_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("client.py");
    let program = blocks("python")[0];
    assert!(program.lines().count() <= 30, "it is meant to be short");
    std::fs::write(&path, program).expect("written");
    let path = path.display().to_string();

    let server = start_server().await;
    let address = server.local_addr().to_string();
    let mut gateway = RawClient::owning(server.local_addr(), &["api-gateway"]).await;
    let files: Vec<String> = MESSAGES
        .iter()
        .map(|(name, _)| format!("tests/fixtures/messages/{name}.json"))
        .collect();
    let arguments = [path.as_str(), address.as_str()].into_iter();
    let arguments: Vec<&str> = arguments.chain(files.iter().map(String::as_str)).collect();
    let Some(output) = python(&arguments).await else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.matches("ack ").count(), 10, "{printed}");
    assert_eq!(printed.matches("error ").count(), 1, "{printed}");
    assert!(printed.contains("TARGET_UNAVAILABLE"), "{printed}");
    assert!(printed.trim_end().ends_with("welcome"), "{printed}");
    let mut delivered = Vec::new();
    for _ in 0..7 {
        let received: Received = gateway.receive().await;
        delivered.push(received.frame);
    }
    for (name, message) in MESSAGES {
        let value: Value = serde_json::from_slice(message).expect("an example");
        let due = value["target"].is_null() || value["target"] == "api-gateway";
        assert_eq!(
            delivered.iter().any(|frame| frame == message),
            due,
            "{name}"
        );
    }
}
