//! `hello` and `welcome`: names exactly as asked, options granted or refused
//! as a whole, and the fence.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_owns, assert_unowned};
use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, framed, start_server, start_server_with};

fn names_of(welcome: &Received) -> Vec<&str> {
    let names = welcome.json["payload"]["names"].as_array().expect("names");
    let mut names: Vec<_> = names
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_welcome_says_what_was_granted_and_what_the_limits_are() {
    let server = start_server_with(|server| {
        server
            .name("switch")
            .frame_bytes_max(10_000)
            .queue_bytes(200_000)
            .queue_messages(300)
            .stall_timeout(Duration::from_micros(1_234_567))
    })
    .await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let hello = Draft::hello("a").payload("ack_details", false);
    let welcome = peer.greet(&hello).await;
    assert_eq!(welcome.json["source"], "switch");
    assert_eq!(welcome.json["target"], "a");
    let payload = &welcome.json["payload"];
    assert_eq!(payload["protocol"], 1);
    assert_eq!(payload["names"], json!(["a"]));
    assert_eq!(payload["server"]["name"], "switch");
    assert_eq!(payload["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        payload["limits"],
        json!({
            "frame_bytes": 10_000, "queue_bytes": 200_000, "queue_messages": 300,
            "stall_timeout_ms": 1235
        })
    );
    assert_eq!(payload["granted"]["ack_details"], false);
}

#[tokio::test]
async fn a_hello_claims_its_source_unless_it_lists_names() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let welcome = peer.greet(&Draft::hello("source")).await;
    assert_eq!(names_of(&welcome), ["source"]);
    assert_owns(&mut peer, "source", &mut stranger).await;

    let mut peer = RawClient::connect(server.local_addr()).await;
    let listed = Draft::hello("unlisted").payload("names", json!(["x", "y"]));
    assert_eq!(names_of(&peer.greet(&listed).await), ["x", "y"]);
    assert_owns(&mut peer, "x", &mut stranger).await;
    assert_owns(&mut peer, "y", &mut stranger).await;
    assert_unowned("unlisted", &mut stranger).await;
}

#[tokio::test]
async fn a_connection_that_said_hello_claims_no_other_way() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut tool = RawClient::speaking_for_others(server.local_addr()).await;
    let mut listed = RawClient::owning(server.local_addr(), &["listed"]).await;
    for peer in [&mut tool, &mut listed] {
        for _ in 0..3 {
            peer.ask_acked(&Draft::heartbeat("other", "health-monitor"))
                .await;
        }
    }
    assert_unowned("other", &mut stranger).await;
    assert_unowned("a-tool", &mut stranger).await;
}

#[tokio::test]
async fn names_make_exactly_those_the_connections_names() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    // Also of a connection that had claimed by a message.
    peer.ask_acked(&Draft::heartbeat("claimed", "health-monitor"))
        .await;
    let hello = |names: Value| Draft::hello("tool").payload("names", names);
    let welcome = peer.greet(&hello(json!(["x", "y"]))).await;
    assert_eq!(names_of(&welcome), ["x", "y"]);
    assert_unowned("claimed", &mut stranger).await;

    let welcome = peer.greet(&hello(json!(["z", "y"]))).await;
    assert_eq!(names_of(&welcome), ["y", "z"]);
    assert_unowned("x", &mut stranger).await;
    assert_owns(&mut peer, "y", &mut stranger).await;
    assert_owns(&mut peer, "z", &mut stranger).await;

    // Without the key they stay as they are.
    let welcome = peer.greet(&Draft::hello("tool")).await;
    assert_eq!(names_of(&welcome), ["y", "z"]);
    assert_owns(&mut peer, "y", &mut stranger).await;
    assert_unowned("tool", &mut stranger).await;

    let gives_up = Draft::hello("tool").payload("register", false);
    assert_eq!(names_of(&peer.greet(&gives_up).await), [""; 0]);
    assert_unowned("y", &mut stranger).await;
    assert_unowned("z", &mut stranger).await;
    assert_eq!(names_of(&peer.greet(&Draft::hello("tool")).await), [""; 0]);

    let welcome = peer.greet(&hello(json!(["x"]))).await;
    assert_eq!(names_of(&welcome), ["x"]);
    assert_owns(&mut peer, "x", &mut stranger).await;
}

#[tokio::test]
async fn a_connection_owns_at_most_64_names() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let names: Vec<String> = (0..65).map(|number| format!("name-{number}")).collect();
    let hello = Draft::hello("a").payload("names", &names[..64]);
    assert_eq!(names_of(&peer.greet(&hello).await).len(), 64);
    assert_owns(&mut peer, "name-0", &mut stranger).await;
    assert_owns(&mut peer, "name-63", &mut stranger).await;
    let crowd = Draft::hello("a").payload("names", names);
    peer.ask_refused(&crowd, "LIMIT_EXCEEDED").await;
    assert_owns(&mut peer, "name-63", &mut stranger).await;
    assert_unowned("name-64", &mut stranger).await;
}

#[tokio::test]
async fn a_repeated_hello_is_a_fence() {
    let server = start_server().await;
    let mut target = RawClient::owning(server.local_addr(), &["target"]).await;
    let mut peer = RawClient::owning(server.local_addr(), &["peer"]).await;
    let messages: Vec<_> = (0..1_000)
        .map(|number| match number % 4 {
            0 => Draft::heartbeat("peer", "health-monitor"),
            1 => Draft::order("peer", "target"),
            2 => Draft::order("peer", "nobody"),
            _ => Draft::order("peer", Value::Null),
        })
        .collect();
    let hello = Draft::hello("peer");
    let mut bytes: Vec<u8> = messages
        .iter()
        .flat_map(|message| framed(&message.frame()))
        .collect();
    bytes.extend(framed(&hello.frame()));
    peer.send_bytes(&bytes).await;
    for (number, message) in messages.iter().enumerate() {
        let answer = peer.receive().await;
        match number % 4 {
            2 => answer.assert_refuses(&message.id, "TARGET_UNAVAILABLE"),
            _ => answer.assert_acknowledges(&message.id),
        }
    }
    let welcome = peer.receive().await;
    assert_eq!(welcome.kind(), "welcome");
    assert_eq!(welcome.text("/payload/hello_msg_id"), hello.id);
    for _ in 0..500 {
        target.receive().await;
    }
}

#[tokio::test]
async fn values_that_name_what_happens_anyway_are_granted() {
    let server = start_server().await;
    let mut peer = RawClient::connect(server.local_addr()).await;
    let options = [
        ("broadcasts", json!("all")),
        ("group", json!(false)),
        ("resumable", json!(false)),
        ("resume", json!(false)),
        ("replay", json!(false)),
        ("register", json!(true)),
    ];
    let mut all = Draft::hello("a");
    for (key, value) in options {
        let welcome = peer
            .greet(&Draft::hello("a").payload(key, value.clone()))
            .await;
        assert_eq!(welcome.json["payload"]["granted"][key], value, "{key}");
        all = all.payload(key, value);
    }
    peer.greet(&all).await;
    // Keys that nobody knows are ignored.
    let unknown = Draft::hello("a").payload("colour", "blue");
    peer.greet(&unknown).await;
}

#[tokio::test]
async fn what_is_not_built_yet_is_refused_and_nothing_changes() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut fresh = RawClient::connect(server.local_addr()).await;
    let mut owner = RawClient::owning(server.local_addr(), &["mine"]).await;
    for (key, value) in [
        ("replay", json!(true)),
        ("token", json!("secret")),
        ("protocol", json!(2)),
        ("protocol", json!(0)),
    ] {
        for peer in [&mut fresh, &mut owner] {
            let hello = Draft::hello("wanted")
                .payload("names", json!(["wanted", "mine"]))
                .payload(key, value.clone());
            let error = peer.ask_refused(&hello, "PROTOCOL_UNSUPPORTED").await;
            let field = error.text("/payload/details/field");
            assert_eq!(field, format!("payload.{key}"), "{error:?}");
            let told = error.json.to_string();
            assert!(!told.contains("secret"), "a token is never repeated");
        }
        assert_unowned("wanted", &mut stranger).await;
        assert_owns(&mut owner, "mine", &mut stranger).await;
    }
    // A connection with a refused hello has not said hello.
    fresh
        .ask_acked(&Draft::heartbeat("plain", "health-monitor"))
        .await;
    assert_owns(&mut fresh, "plain", &mut stranger).await;
}

#[tokio::test]
async fn a_refused_hello_changes_no_name() {
    let server = start_server().await;
    let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
    let mut peer = RawClient::owning(server.local_addr(), &["mine"]).await;
    let hello = |names: Value| Draft::hello("mine").payload("names", names);
    let mine = hello(json!(["other", "tickwire"]));
    peer.ask_refused(&mine, "SOURCE_NOT_ALLOWED").await;
    peer.ask_refused(&hello(json!(["other", ""])), "INVALID_PAYLOAD")
        .await;
    let wrong = hello(json!(["other"])).payload("register", "no");
    peer.ask_refused(&wrong, "INVALID_PAYLOAD").await;
    assert_owns(&mut peer, "mine", &mut stranger).await;
    assert_unowned("other", &mut stranger).await;
}

#[tokio::test]
async fn a_name_may_be_given_up_right_behind_a_message_to_it() {
    // With linger, queued messages wait for the next owner; without, they are
    // reported to their sender.
    for linger in [Duration::from_secs(3_600), Duration::ZERO] {
        let server = start_server_with(|server| server.linger(linger)).await;
        let mut stranger = RawClient::speaking_for_others(server.local_addr()).await;
        for gives_up in [
            Draft::hello("me").payload("register", false),
            Draft::hello("me").payload("names", json!(["another"])),
        ] {
            let mut peer = RawClient::owning(server.local_addr(), &["me"]).await;
            let order = Draft::order("me", "me");
            // In one write, so that the message is on its way into the queue of
            // the name when that is closed.
            let both = [framed(&order.frame()), framed(&gives_up.frame())].concat();
            peer.send_bytes(&both).await;
            let mut received = Vec::new();
            if linger.is_zero() {
                while received.len() < 3 {
                    received.push(peer.receive().await);
                }
                assert_unowned("me", &mut stranger).await;
            } else {
                received.extend(peer.fence().await);
                assert_unowned("me", &mut stranger).await;
                let mut next = RawClient::owning(server.local_addr(), &["me"]).await;
                received.extend(next.fence().await);
                next.leave().await;
            }
            let count = |wanted: &dyn Fn(&Received) -> bool| {
                received.iter().filter(|message| wanted(message)).count()
            };
            let fates = |message: &Received| {
                message.code() == "UNDELIVERED" || message.frame == order.frame()
            };
            assert_eq!(count(&|message| message.acknowledged() == order.id), 1);
            assert_eq!(count(&|message| message.kind() == "welcome"), 1);
            assert_eq!(count(&fates), 1, "{received:?}");
            assert_eq!(received.len(), 3, "{received:?}");
            peer.assert_no_answer_waits().await;
            peer.leave().await;
        }
    }
}
