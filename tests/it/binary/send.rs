//! `tickwire send` to servers that stop doing their part.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::draft::Draft;
use crate::process::{Outcome, run, tickwire};
use crate::raw_client::framed;

/// A server of a test: it welcomes one connection, and goes on as it is told.
fn fake_server(then: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let hello = read_frame(&mut stream);
        let limits = json!({"frame_bytes": 1 << 20, "stall_timeout_ms": 50});
        let welcome = json!({"protocol": 1, "hello_msg_id": hello["msg_id"],
            "server": {"name": "tickwire"}, "limits": limits});
        stream
            .write_all(&said("welcome", welcome))
            .expect("it reads");
        then(stream);
    });
    (address, thread)
}

fn read_frame(stream: &mut TcpStream) -> Value {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a frame");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("a frame");
    serde_json::from_slice(&frame).expect("JSON")
}

/// A frame that the server says.
fn said(msg_type: &str, payload: Value) -> Vec<u8> {
    let message = json!({"msg_id": "550e8400-e29b-41d4-a716-446655440000", "msg_type": msg_type,
        "timestamp": "2026-01-03T12:41:25Z", "source": "tickwire", "target": null,
        "payload": payload});
    framed(message.to_string().as_bytes())
}

/// Writes messages that answer nothing until the other side is gone.
fn flood(mut stream: &TcpStream) {
    let notice = said("ack", json!({"acknowledged_msg_id": "of-nobody"}));
    while stream.write_all(&notice).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The outcome of `messages` sent with a limit of 200 ms.
async fn send(address: SocketAddr, messages: &[Draft], more: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.json");
    let frames: Vec<u8> = messages.iter().flat_map(Draft::frame).collect();
    std::fs::write(&path, frames).expect("written");
    let path = path.display().to_string();
    let to = address.to_string();
    let limit = ["send", "--to", &to, "--answer-timeout", "200ms"];
    run(&mut tickwire(&[&limit[..], more, &[&path]].concat())).await
}

fn orders(count: usize, bytes: usize) -> Vec<Draft> {
    (0..count)
        .map(|_| Draft::order("a", "api-gateway").padded(bytes))
        .collect()
}

// It waited for ever, for the silence was counted only once all was written.
#[tokio::test]
async fn a_server_that_writes_and_no_longer_reads_is_given_up() {
    let (address, server) = fake_server(|stream| flood(&stream));
    let messages = orders(5_000, 2_000);
    let outcome = send(address, &messages, &[]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("0 acknowledged"), "{outcome:?}");
    for words in [
        "and is given up: see whether it hangs",
        "orders.json:1: no answer came from here to line ",
    ] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
    }
    server.join().expect("no panic");
}

#[tokio::test]
async fn a_server_that_reads_and_no_longer_answers_is_given_up() {
    let (address, server) = fake_server(|mut stream| {
        let first = read_frame(&mut stream);
        let ack = json!({"acknowledged_msg_id": first["msg_id"]});
        // On a machine that is busy it may be gone by now.
        let _ = stream.write_all(&said("ack", ack));
        let reader = stream.try_clone().expect("a second handle");
        let reading = std::thread::spawn(move || {
            let _ = std::io::copy(&mut &reader, &mut std::io::sink());
        });
        flood(&stream);
        reading.join().expect("no panic");
    });
    let messages = orders(3, 100);
    let outcome = send(address, &messages, &["--json"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("the server has not answered for"),
        "{outcome:?}"
    );
    let summary: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let acknowledged = summary["acknowledged"].as_u64().expect("a count") as usize;
    assert!(acknowledged <= 1, "{outcome:?}");
    assert_eq!(summary["unanswered"], 3 - acknowledged);
    let unknown = summary["unknown"].as_array().expect("a list");
    let ids: Vec<_> = unknown.iter().map(|one| one["msg_id"].clone()).collect();
    let unanswered = &messages[acknowledged..];
    assert!(
        ids.iter().eq(unanswered.iter().map(|message| &message.id)),
        "{outcome:?}"
    );
    server.join().expect("no panic");
}
