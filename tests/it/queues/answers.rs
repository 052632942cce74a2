//! A client that doesn't read its own answers is paused, and closed in the end;
//! one that merely doesn't read its messages is neither.

use std::time::Duration;

use super::{FOREVER, fill, start_server};
use crate::draft::Draft;
use crate::raw_client::{RawClient, framed, within};

/// Lets so much time pass for this test and its server that is not spent.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn who_takes_no_byte_of_its_answers_for_30_s_is_closed_without_a_word() {
    let server = start_server(FOREVER).await;
    let mut other = RawClient::speaking_for_others(server.local_addr()).await;
    let deaf = RawClient::owning_narrow(server.local_addr(), &["deaf"]).await;
    let (mut reader, mut writer) = (deaf.reader, deaf.writer);
    let refused = framed(&Draft::heartbeat("deaf", "nobody").frame()).repeat(100);
    let writing = tokio::spawn(async move {
        // More answers than lane and kernels hold, unless it is closed.
        let mut written = 0;
        while writer.try_send_bytes_at_leisure(&refused).await {
            written += 100;
        }
        written
    });
    // It is paused when no more is taken.
    let mut taken = 0;
    while taken == 0 || taken != server.stats().refused {
        taken = server.stats().refused;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for _ in 0..2 {
        other.assert_no_answer_waits().await;
    }
    assert!(!writing.is_finished());
    assert_eq!(server.name_count(), 1);
    pass(Duration::from_secs(25)).await;
    other.assert_no_answer_waits().await;
    assert_eq!(server.name_count(), 1, "it had 5 s left");
    within("its end", async {
        while server.name_count() > 0 {
            pass(Duration::from_secs(1)).await;
            other.assert_no_answer_waits().await;
        }
    })
    .await;
    let heard = reader.receive_what_comes().await;
    assert!(
        heard
            .iter()
            .all(|answer| answer.code() == "TARGET_UNAVAILABLE")
    );
    let written: u64 = within("the writer", writing).await.expect("it was cut off");
    assert!((heard.len() as u64) < written);
}

#[tokio::test]
async fn a_receiver_without_answers_waiting_may_be_as_slow_as_it_likes() {
    let server = start_server(FOREVER).await;
    let mut slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    let mut filler = RawClient::speaking_for_others(server.local_addr()).await;
    let mut due = fill(&mut filler, "slow").await;
    for _ in 0..20 {
        pass(Duration::from_secs(25)).await;
        filler.assert_no_answer_waits().await;
    }
    due.receive_all(&mut slow).await;
    slow.assert_no_answer_waits().await;
}

#[tokio::test]
async fn a_receiver_that_frees_a_slot_now_and_then_does_not_hold_its_sender() {
    // Each pause is shorter than this, but they add up.
    let server = start_server(Duration::from_millis(700)).await;
    let mut slow = RawClient::owning_narrow(server.local_addr(), &["slow"]).await;
    let RawClient {
        mut reader,
        mut writer,
    } = RawClient::connect(server.local_addr()).await;
    // So large that the kernel doesn't take many at once.
    let orders: Vec<_> = (0..100)
        .map(|_| Draft::order("sender", "slow").padded(900_000))
        .collect();
    let writing = tokio::spawn(async move {
        for order in &orders {
            if !writer.try_send_bytes(&framed(&order.frame())).await {
                break;
            }
        }
    });
    let refused = tokio::spawn(async move {
        while reader.receive().await.code() != "QUEUE_FULL" {}
        // It goes on being read until the test is over.
        reader
    });
    let mut received = 0;
    while !refused.is_finished() {
        slow.receive().await;
        received += 1;
        assert!(received < 100, "all was delivered, however slowly");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    refused.await.expect("it was refused");
    writing.abort();
}
