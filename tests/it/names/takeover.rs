//! A `hello` takes a name over at once from an older connection, with all that
//! is queued for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::assert_owns;
use crate::draft::Draft;
use crate::queues::fill;
use crate::raw_client::{RawClient, framed, start_server, start_server_with};

#[tokio::test]
async fn a_hello_takes_over_at_once_and_the_old_owner_is_told_and_closed() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut by_hello = RawClient::owning(address, &["name"]).await;
    let mut newer = RawClient::owning(address, &["name"]).await;
    // The old one has said nothing that would make it read.
    let error = by_hello.expect_last_words("NAME_TAKEN_OVER").await;
    assert_eq!(error.json["source"], "tickwire");
    assert_eq!(error.json["target"], "name");
    assert_owns(&mut newer, "name", &mut stranger).await;
}

#[tokio::test]
async fn a_first_hello_takes_no_name_from_a_connection_that_was_made_later() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut late = RawClient::connect(address).await;
    let mut newer = RawClient::owning(address, &["name"]).await;
    let hello = Draft::hello("name");
    late.send(&hello).await;
    let error = late.expect_last_words("NAME_TAKEN_OVER").await;
    assert_eq!(error.about(), hello.id);
    assert_owns(&mut newer, "name", &mut stranger).await;
}

#[tokio::test]
async fn a_name_claimed_by_a_message_is_taken_over_just_so() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut by_message = RawClient::connect(address).await;
    by_message
        .ask_acked(&Draft::heartbeat("name", "health-monitor"))
        .await;
    let mut newer = RawClient::owning(address, &["name"]).await;
    by_message.expect_last_words("NAME_TAKEN_OVER").await;
    assert_owns(&mut newer, "name", &mut stranger).await;
}

#[tokio::test]
async fn an_old_owner_that_owns_another_name_goes_on() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut older = RawClient::owning(address, &["kept", "lost"]).await;
    let mut newer = RawClient::owning(address, &["lost"]).await;
    let error = older.receive().await;
    assert_eq!(error.code(), "NAME_TAKEN_OVER");
    assert_eq!(error.json["target"], "lost");
    assert_owns(&mut older, "kept", &mut stranger).await;
    assert_owns(&mut newer, "lost", &mut stranger).await;

    // Its further messages under that name are passed on as a stranger's.
    let late = Draft::order("lost", "lost");
    older.ask_acked(&late).await;
    assert_eq!(newer.receive().await.frame, late.frame());
    assert_owns(&mut newer, "lost", &mut stranger).await;

    // It may take the name back the way it was taken.
    let hello = Draft::hello("kept").payload("names", json!(["kept", "lost"]));
    older.greet(&hello).await;
    newer.expect_last_words("NAME_TAKEN_OVER").await;
    assert_owns(&mut older, "lost", &mut stranger).await;
}

#[tokio::test]
async fn a_message_never_takes_over() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut owner = RawClient::owning(address, &["name"]).await;
    let mut plain = RawClient::connect(address).await;
    for _ in 0..3 {
        plain
            .ask_acked(&Draft::heartbeat("name", "health-monitor"))
            .await;
    }
    assert_owns(&mut owner, "name", &mut stranger).await;
    owner.assert_no_answer_waits().await;
}

#[tokio::test]
async fn repeating_a_hello_takes_over_nothing_from_oneself() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut owner = RawClient::owning(address, &["x", "y"]).await;
    let hello = Draft::hello("x").payload("names", json!(["y", "x"]));
    owner.greet(&hello).await;
    owner.greet(&Draft::hello("x")).await;
    assert_owns(&mut owner, "x", &mut stranger).await;
    assert_owns(&mut owner, "y", &mut stranger).await;
    owner.assert_no_answer_waits().await;
}

#[tokio::test]
async fn a_local_services_name_can_be_owned_and_taken_over() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut older = RawClient::owning(address, &["log-aggregator"]).await;
    let mut newer = RawClient::owning(address, &["log-aggregator"]).await;
    older.expect_last_words("NAME_TAKEN_OVER").await;
    let record = Draft::log_record("stranger", "log-aggregator");
    stranger.ask_acked(&record).await;
    assert_eq!(newer.receive().await.frame, record.frame());
}

#[tokio::test]
async fn of_many_that_take_a_name_over_in_turn_only_the_last_is_left() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut stranger = RawClient::speaking_for_others(address).await;
    let mut owner = RawClient::owning(address, &["name"]).await;
    for _ in 0..20 {
        let mut newer = RawClient::owning(address, &["name"]).await;
        owner.expect_last_words("NAME_TAKEN_OVER").await;
        assert_owns(&mut newer, "name", &mut stranger).await;
        owner = newer;
    }
}

#[tokio::test]
async fn what_is_queued_for_a_name_goes_to_its_new_owner() {
    const MESSAGES: usize = 200;
    let server = start_server_with(|server| server.queue_bytes(64 * 1024 * 1024)).await;
    let address = server.local_addr();
    let mut older = RawClient::owning_narrow(address, &["name"]).await;
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut sent = Vec::new();
    for _ in 0..MESSAGES {
        // Together far more than the kernel takes for one that doesn't read.
        let order = Draft::order("sender", "name").padded(100_000);
        sender.ask_acked(&order).await;
        sent.push(order.id);
    }
    let mut newer = RawClient::connect(address).await;
    let hello = Draft::hello("name");
    newer.send(&hello).await;
    // From now on the old one reads.
    let older = tokio::spawn(async move { older.reader.receive_to_end().await });

    let last = Draft::order("sender", "name").payload("run_id", "the-last");
    let mut to_newer = Vec::new();
    loop {
        let received = newer.receive().await;
        if received.kind() == "welcome" {
            sender.ask_acked(&last).await;
            continue;
        }
        if received.text("/msg_id") == last.id {
            break;
        }
        to_newer.push(received.text("/msg_id").to_owned());
    }
    let to_older = older.await.expect("the old one reads to the end");
    let (told, to_older): (Vec<_>, Vec<_>) = to_older
        .into_iter()
        .partition(|received| received.code() == "NAME_TAKEN_OVER");
    assert_eq!(told.len(), 1, "{told:?}");
    let to_older: Vec<_> = to_older
        .iter()
        .map(|received| received.text("/msg_id").to_owned())
        .collect();

    // Each keeps the order, and together they got all. One frame may have been
    // partly written when the name changed hands: that one goes to both.
    assert_eq!(to_older, sent[..to_older.len()]);
    assert_eq!(to_newer, sent[MESSAGES - to_newer.len()..]);
    let delivered = to_older.len() + to_newer.len();
    assert!(
        delivered == MESSAGES || delivered == MESSAGES + 1,
        "{} + {}",
        to_older.len(),
        to_newer.len()
    );
    assert!(!to_newer.is_empty(), "the queue held nothing");
    let broadcast = Draft::order("sender", Value::Null);
    sender.ask_acked(&broadcast).await;
    assert_eq!(newer.receive().await.frame, broadcast.frame());
}

#[tokio::test]
async fn a_sender_that_waits_for_room_goes_on_when_the_name_changes_hands() {
    let server = start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .stall_timeout(Duration::from_secs(3_600))
    })
    .await;
    let address = server.local_addr();
    let older = RawClient::owning_narrow(address, &["name"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    fill(&mut filler, "name").await;
    let mut sender = RawClient::connect(address).await;
    let before = Draft::heartbeat("sender", "health-monitor");
    let waiting = Draft::order("sender", "name");
    let both = [framed(&before.frame()), framed(&waiting.frame())].concat();
    sender.send_bytes(&both).await;
    sender.receive().await.assert_acknowledges(&before.id);

    let mut newer = RawClient::connect(address).await;
    newer.send(&Draft::hello("name")).await;
    while newer.receive().await.frame != waiting.frame() {}
    sender.receive().await.assert_acknowledges(&waiting.id);
    drop(older);
}
