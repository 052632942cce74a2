//! The example connector in Python, where there is a Python to run it.

use std::pin::pin;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::draft::Draft;
use crate::played_server::PlayedServer;
use crate::raw_client::{RawClient, start_server, within};

/// A Python 3 with these arguments, or `None` where there is none.
pub async fn python(arguments: &[&str]) -> Option<Output> {
    let child = Command::new("python3")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(child) = child else {
        eprintln!("no python3 here: nothing tested");
        return None;
    };
    let output = within("python3 to end", child.wait_with_output()).await;
    Some(output.expect("its output is read"))
}

const CONNECTOR: &str = "examples/python/connector.py";

#[tokio::test]
async fn the_example_connector_sends_an_order_and_prints_its_ack() {
    let server = start_server().await;
    let address = server.local_addr().to_string();
    let mut gateway = RawClient::owning(server.local_addr(), &["my-gateway"]).await;
    let Some(output) = python(&[CONNECTOR, &address, "my-gateway"]).await else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let order = gateway.receive().await;
    assert_eq!(order.kind(), "ingest_event");
    assert_eq!(order.text("/payload/event_type"), "order");
    assert!(printed.contains("ack"), "{printed}");
    assert!(printed.contains(order.text("/msg_id")), "{printed}");
}

#[tokio::test]
async fn the_example_connector_settles_what_it_has_printed() {
    const NAME: &str = "quantower-connector";
    let (listener, address) = PlayedServer::bind().await;
    let order = Draft::order("gateway", NAME);
    let played = async {
        let mut server = PlayedServer::accept(listener).await;
        server.welcome_as_durable(NAME).await;
        let sent = server.hear().await;
        let id = sent["msg_id"].as_str().expect("an id");
        server.say(&order.frame()).await;
        let broadcast = Draft::order("gateway", Value::Null);
        server.say(&broadcast.frame()).await;
        // Whoever is done with its order says so by an ack, too.
        for source in ["api-gateway", "tickwire"] {
            let ack = Draft::ack(source, NAME).payload("acknowledged_msg_id", id);
            server.say(&ack.frame()).await;
        }
        server.hear_settled(NAME, &order).await;
        server.welcome_as_durable(NAME).await;
    };
    let arguments = [CONNECTOR, &address];
    let mut running = pin!(python(&arguments));
    let early = tokio::select! {
        output = &mut running => Some(output),
        () = played => None,
    };
    let output = match early {
        Some(output) => output,
        None => running.await,
    };
    let Some(output) = output else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(printed.contains(&order.id), "{printed}");
}

#[tokio::test]
async fn the_example_connector_says_so_when_nobody_takes_its_order() {
    let server = start_server().await;
    let address = server.local_addr().to_string();
    let Some(output) = python(&[CONNECTOR, &address]).await else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(printed.contains("TARGET_UNAVAILABLE"), "{printed}");
}

#[tokio::test]
async fn the_example_connector_says_in_one_line_that_there_is_no_server() {
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let Some(output) = python(&[CONNECTOR, &address]).await else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&address), "{said}");
}
