//! Accepted messages that are given up are reported to whoever sent them:
//! nothing is lost without a word. Here nothing waits for another owner.

use std::collections::HashSet;
use std::time::Duration;

use crate::draft::Draft;
use crate::raw_client::{RawClient, framed, start_server_with};

/// The details of an `UNDELIVERED`.
#[derive(Debug, PartialEq)]
pub struct Report {
    pub target: String,
    pub count: u64,
    pub first_msg_id: String,
}

impl Report {
    #[track_caller]
    pub fn of(received: &crate::raw_client::Received) -> Self {
        assert_eq!(received.code(), "UNDELIVERED", "{received:?}");
        let count = received.json.pointer("/payload/details/count");
        Self {
            target: received.text("/payload/details/target").to_owned(),
            count: count.and_then(serde_json::Value::as_u64).expect("a count"),
            first_msg_id: received.text("/payload/details/first_msg_id").to_owned(),
        }
    }
}

#[tokio::test]
async fn what_is_queued_when_its_owner_leaves_is_reported_to_its_sender() {
    const MESSAGES: usize = 200;
    let server =
        start_server_with(|server| server.linger(Duration::ZERO).queue_bytes(64 * 1024 * 1024))
            .await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut sender = RawClient::owning(address, &["sender"]).await;
    let mut uninvolved = RawClient::owning(address, &["uninvolved"]).await;
    let mut sent = Vec::new();
    for _ in 0..MESSAGES {
        let order = Draft::order("sender", "slow").padded(100_000);
        sender.ask_acked(&order).await;
        sent.push(order.id);
    }
    slow.writer.end().await;
    let delivered = slow.reader.receive_to_end().await;
    let delivered: Vec<_> = delivered
        .iter()
        .map(|received| received.text("/msg_id"))
        .collect();

    let error = sender.receive().await;
    assert_eq!(error.json["source"], "tickwire");
    let report = Report::of(&error);
    assert_eq!(report.target, "slow");
    let count = usize::try_from(report.count).expect("small");
    let first = sent.iter().position(|id| *id == report.first_msg_id);
    assert_eq!(
        first.map(|first| first + count),
        Some(MESSAGES),
        "{report:?}"
    );
    // All were delivered or reported, in order. One may be both: partly
    // written when the owner left, and finished.
    assert_eq!(delivered, sent[..delivered.len()]);
    let sum = delivered.len() + count;
    assert!(sum == MESSAGES || sum == MESSAGES + 1, "{sum}");
    sender.assert_no_answer_waits().await;
    uninvolved.assert_no_answer_waits().await;
    let late = Draft::order("sender", "slow");
    sender.ask_refused(&late, "TARGET_UNAVAILABLE").await;
}

#[tokio::test]
async fn each_sender_is_told_of_its_own_messages() {
    let server =
        start_server_with(|server| server.linger(Duration::ZERO).queue_bytes(64 * 1024 * 1024))
            .await;
    let address = server.local_addr();
    let slow = RawClient::owning_narrow(address, &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(address).await;
    for _ in 0..150 {
        let order = Draft::order("filler", "slow").padded(100_000);
        filler.ask_acked(&order).await;
    }
    // The kernel takes nothing more by now, so all of these are queued.
    let mut one = RawClient::owning(address, &["one"]).await;
    let mut two = RawClient::owning(address, &["two"]).await;
    let mut first_of = Vec::new();
    for (sender, count) in [(&mut one, 3), (&mut two, 5)] {
        for number in 0..count {
            let order = Draft::order("any-source", "slow");
            sender.ask_acked(&order).await;
            if number == 0 {
                first_of.push(order.id);
            }
        }
    }
    drop(slow);
    for (sender, count, first_msg_id) in [(&mut one, 3, &first_of[0]), (&mut two, 5, &first_of[1])]
    {
        let report = Report::of(&sender.receive().await);
        assert_eq!(
            report,
            Report {
                target: "slow".into(),
                count,
                first_msg_id: first_msg_id.clone(),
            }
        );
    }
    assert!(Report::of(&filler.receive().await).count > 0);
}

#[tokio::test]
async fn every_message_has_one_answer_though_its_target_vanishes_in_the_middle() {
    const EVENTS: usize = 400;
    let server = start_server_with(|server| {
        server
            .linger(Duration::ZERO)
            .queue_bytes(256 * 1024)
            .stall_timeout(Duration::from_secs(3_600))
    })
    .await;
    let address = server.local_addr();
    let mut receiver = RawClient::owning_narrow(address, &["receiver"]).await;
    let mut sender = RawClient::connect(address).await;
    let events: Vec<_> = (0..EVENTS)
        .map(|_| Draft::order("sender", "receiver").padded(50_000))
        .collect();
    let ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    let mut writer = sender.writer;
    let writing = tokio::spawn(async move {
        for event in &events {
            writer.send_bytes(&framed(&event.frame())).await;
        }
        writer
    });
    // The receiver reads some, and leaves while its sender is paused or about
    // to be: 20 MB are on their way to a queue of 256 KiB.
    let mut delivered = HashSet::new();
    for _ in 0..100 {
        let received = receiver.receive().await;
        delivered.insert(received.text("/msg_id").to_owned());
    }
    receiver.writer.end().await;
    for received in receiver.reader.receive_to_end().await {
        delivered.insert(received.text("/msg_id").to_owned());
    }

    let (mut acked, mut refused, mut undelivered) = (0, 0, 0);
    let mut answered = ids.iter();
    while acked + refused < EVENTS {
        let answer = sender.reader.receive().await;
        if answer.code() == "UNDELIVERED" {
            undelivered += Report::of(&answer).count;
            continue;
        }
        // Answers come in the order of the messages.
        let id = answered.next().expect("no more answers than messages");
        if answer.kind() == "ack" {
            answer.assert_acknowledges(id);
            acked += 1;
        } else {
            answer.assert_refuses(id, "TARGET_UNAVAILABLE");
            assert!(!delivered.contains(id), "refused, but delivered");
            refused += 1;
        }
    }
    let mut sender = RawClient {
        reader: sender.reader,
        writer: writing.await.expect("all is written"),
    };
    for report in sender.fence().await {
        undelivered += Report::of(&report).count;
    }
    let accounted = delivered.len() + usize::try_from(undelivered).expect("small");
    assert!(refused > 0, "nothing was left when the receiver went");
    assert!(
        accounted == acked || accounted == acked + 1,
        "{acked} acked, but {} delivered and {undelivered} undelivered",
        delivered.len()
    );
}

#[tokio::test]
async fn what_is_queued_for_a_name_that_is_given_up_is_reported() {
    const MESSAGES: usize = 150;
    let server =
        start_server_with(|server| server.linger(Duration::ZERO).queue_bytes(64 * 1024 * 1024))
            .await;
    let address = server.local_addr();
    let mut slow = RawClient::owning_narrow(address, &["kept", "given-up"]).await;
    let mut sender = RawClient::speaking_for_others(address).await;
    for _ in 0..MESSAGES {
        let order = Draft::order("sender", "given-up").padded(100_000);
        sender.ask_acked(&order).await;
    }
    let hello = Draft::hello("kept").payload("names", ["kept"].as_slice());
    slow.send(&hello).await;
    let report = Report::of(&sender.receive().await);
    assert_eq!(report.target, "given-up");

    // The connection itself goes on, with the bytes that the kernel had taken
    // and one frame at most that was begun.
    let kept = Draft::order("sender", "kept");
    sender.ask_acked(&kept).await;
    let (mut delivered, mut welcomed, mut last) = (0, false, false);
    while !(welcomed && last) {
        let received = slow.receive().await;
        welcomed |= received.kind() == "welcome";
        last |= received.frame == kept.frame();
        delivered += usize::from(received.text("/target") == "given-up");
    }
    let sum = delivered + usize::try_from(report.count).expect("small");
    assert!(sum == MESSAGES || sum == MESSAGES + 1, "{sum}");
    slow.assert_no_answer_waits().await;
}
