//! The story of a newcomer: messages that nobody listens for outlive a kill.

use std::path::Path;

use serde_json::Value;

use crate::binary::{compact, message_files};
use crate::conformance::MESSAGES;
use crate::draft::Draft;
use crate::process::{Outcome, Serve, run, tickwire};
use crate::raw_client::RawClient;

const GATEWAY: &str = "api-gateway";

async fn serve(folder: &Path) -> Serve {
    let folder = folder.display().to_string();
    Serve::start(&["--data-dir", &folder, "--durable", GATEWAY]).await
}

async fn send_all(server: &Serve) -> Outcome {
    let to = server.address.to_string();
    let files = message_files();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    run(&mut tickwire(&[&["send", "--to", &to], &*files].concat())).await
}

/// The examples for the gateway alone, in the order in which they are sent.
fn examples() -> Vec<String> {
    let is_for_gateway = |message: &[u8]| {
        let message: Value = serde_json::from_slice(message).expect("an example");
        message["target"] == GATEWAY
    };
    let mut examples: Vec<_> = MESSAGES.iter().collect();
    examples.sort_by_key(|(file, _)| *file);
    let examples = examples.into_iter().filter(|(_, it)| is_for_gateway(it));
    examples.map(|(_, message)| compact(message)).collect()
}

/// Fails if there is a message for the gateway.
async fn expect_nothing(server: &Serve) {
    let mut gateway = RawClient::owning(server.address, &[GATEWAY]).await;
    let hello = Draft::hello("fence");
    gateway.greet(&hello).await;
    gateway.leave().await;
}

#[tokio::test]
async fn messages_sent_before_a_kill_are_printed_after_it_and_then_never_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = folder.path().join("journal");
    let mut server = serve(&journal).await;
    let outcome = send_all(&server).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let printed = outcome.stdout.clone() + &outcome.stderr;
    for words in [
        "10 acknowledged",
        "1 refused",
        "TARGET_UNAVAILABLE",
        "quantower-connector",
    ] {
        assert!(printed.contains(words), "{words}: {outcome:?}");
    }
    server.kill().await;

    let mut server = serve(&journal).await;
    let to = server.address.to_string();
    let mut listen = tickwire(&["listen", GATEWAY, "--to", &to, "--count", "6"]);
    let outcome = run(&mut listen).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines, examples(), "{outcome:?}");
    expect_nothing(&server).await;
    server.kill().await;
    expect_nothing(&serve(&journal).await).await;
}

#[tokio::test]
async fn a_listener_that_only_looks_leaves_everything_for_the_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = serve(folder.path()).await;
    let outcome = send_all(&server).await;
    assert!(outcome.stdout.contains("10 acknowledged"), "{outcome:?}");
    server.kill().await;
    let server = serve(folder.path()).await;
    let to = server.address.to_string();
    let listen = ["listen", GATEWAY, "--to", &to, "--count", "6"];
    for arguments in [&[&listen[..], &["--no-ack"]].concat()[..], &listen] {
        let outcome = run(&mut tickwire(arguments)).await;
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(lines, examples(), "{arguments:?}: {outcome:?}");
    }
    expect_nothing(&server).await;
}
