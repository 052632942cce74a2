//! `tickwire journal`, beside a running server and on a damaged journal.

use std::path::Path;

use serde_json::Value;

use crate::binary::message_files;
use crate::process::{Outcome, Serve, run, tickwire};

async fn journal(command: &str, folder: &Path) -> Outcome {
    let folder = folder.to_str().expect("UTF-8");
    run(&mut tickwire(&["journal", command, "--json", folder])).await
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

#[tokio::test]
async fn the_tools_read_beside_a_server_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let data_dir = path.to_str().expect("UTF-8");
    let mut serve = Serve::start(&["--data-dir", data_dir, "--durable", "api-gateway"]).await;
    let address = serve.address.to_string();
    let files = message_files();
    let mut arguments = vec!["send", "--to", &address];
    arguments.extend(files.iter().map(String::as_str));
    run(&mut tickwire(&arguments)).await;
    let listed = json(&journal("ls", path).await);
    assert_eq!(listed["segments"][0]["messages"], 6);
    let counted = json(&journal("stat", path).await);
    assert_eq!(counted["names"][0]["name"], "api-gateway");
    assert_eq!(counted["names"][0]["messages"], 6);
    let verified = journal("verify", path).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    serve.kill().await;
    let segment = path.join("000000000001.segment");
    let mut bytes = std::fs::read(&segment).expect("it is there");
    bytes[200] ^= 1;
    std::fs::write(&segment, &bytes).expect("written");
    let verified = journal("verify", path).await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert_eq!(json(&verified)["damages"][0]["segment"], 1);
    assert!(std::fs::read(&segment).expect("it is there") == bytes);
}

#[tokio::test]
async fn a_journal_that_lost_records_is_opened_when_that_is_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data_dir = folder.path().to_str().expect("UTF-8");
    let start = ["--data-dir", data_dir, "--durable", "api-gateway"];
    let mut serve = Serve::start(&start).await;
    let address = serve.address.to_string();
    for file in message_files() {
        run(&mut tickwire(&["send", "--to", &address, &file])).await;
    }
    serve.kill().await;
    let segment = folder.path().join("000000000001.segment");
    let mut bytes = std::fs::read(&segment).expect("it is there");
    bytes[200] ^= 1;
    std::fs::write(&segment, &bytes).expect("written");
    let arguments = [&["serve", "--listen", "127.0.0.1:0"][..], &start].concat();
    let refused = run(&mut tickwire(&arguments)).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("--accept-loss"),
        "{}",
        refused.stderr
    );
    let accepting = [&start[..], &["--accept-loss"]].concat();
    let serve = Serve::start(&accepting).await;
    let address = serve.address.to_string();
    let listen = ["listen", "api-gateway", "--to", &address, "--count", "5"];
    let listened = run(&mut tickwire(&listen)).await;
    assert_eq!(listened.stdout.lines().count(), 5, "{listened:?}");
    let kept_aside = folder.path().join("000000000001.segment.damaged-1");
    assert!(std::fs::read(kept_aside).expect("it is there") == bytes);
}
