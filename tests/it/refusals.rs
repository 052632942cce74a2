//! Everything that the protocol's section on refusals lists: each gets its own
//! code and field, nothing of it is forwarded, and the connection goes on. And
//! the few that end it.

mod framing;
mod table;

use serde_json::json;

use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, start_server};
use table::{About, Case};

/// Sends each case and behind it a message that must be acknowledged. All that
/// went wrong is reported at once.
async fn each_is_refused_and_the_connection_goes_on(cases: Vec<Case>) {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let mut receiver = RawClient::owning(server.local_addr(), &["api-gateway"]).await;
    let mut wrong = Vec::new();
    for case in &cases {
        sender.send_frame(&case.frame).await;
        let before = sender.fence().await;
        match before.as_slice() {
            [answer] => wrong.extend(case.complaint(answer)),
            none_or_several => wrong.push(format!(
                "{}: one error was due, not {none_or_several:?}",
                case.label
            )),
        }
    }
    // Had any been forwarded, it would stand before this.
    let valid = Draft::order("a", "api-gateway");
    sender.ask_acked(&valid).await;
    let first = receiver.receive().await;
    if first.frame != valid.frame() {
        wrong.push(format!("a refused message was forwarded: {first:?}"));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn refuses_what_is_not_one_valid_json_object() {
    each_is_refused_and_the_connection_goes_on(table::invalid_json()).await;
}

#[tokio::test]
async fn refuses_a_repeated_key_of_the_envelope_or_the_payload() {
    each_is_refused_and_the_connection_goes_on(table::duplicates()).await;
}

#[tokio::test]
async fn refuses_an_envelope_that_breaks_a_rule() {
    each_is_refused_and_the_connection_goes_on(table::envelopes()).await;
}

#[tokio::test]
async fn refuses_a_timestamp_that_is_not_rfc_3339() {
    each_is_refused_and_the_connection_goes_on(table::timestamps()).await;
}

#[tokio::test]
async fn refuses_a_payload_that_breaks_a_rule_of_its_type() {
    each_is_refused_and_the_connection_goes_on(table::payloads()).await;
}

#[tokio::test]
async fn refuses_a_hello_that_breaks_a_rule() {
    each_is_refused_and_the_connection_goes_on(table::hellos()).await;
}

#[tokio::test]
async fn reports_the_first_check_that_fails() {
    each_is_refused_and_the_connection_goes_on(table::orders_of_checks()).await;
}

#[tokio::test]
async fn an_error_comes_from_the_server_and_goes_to_the_one_it_concerns() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let wrong = Draft::order("trade-service", "api-gateway").payload("event_type", "trade");
    let error = peer.ask_refused(&wrong, "INVALID_PAYLOAD").await;
    assert_eq!(error.json["source"], "tickwire");
    assert_eq!(error.json["target"], "trade-service");
    assert!(uuid::Uuid::parse_str(error.text("/msg_id")).is_ok());
    let time = chrono::DateTime::parse_from_rfc3339(error.text("/timestamp"));
    assert!(time.is_ok(), "{error:?}");
    // Where the source can't be told, nobody is named.
    let error = peer.ask(&Draft::order("", "api-gateway")).await;
    assert_eq!(error.code(), "INVALID_ENVELOPE");
    assert_eq!(error.json["target"], json!(null));
}

#[tokio::test]
async fn an_error_repeats_the_id_as_it_was_written() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let id = "550E8400-e29b-41D4-A716-446655440000";
    let wrong = Draft::with_id(id, "heartbeat", "a", "b");
    let error = peer.ask(&wrong).await;
    error.assert_refuses(id, "INVALID_PAYLOAD");
}

#[tokio::test]
async fn errors_tell_the_writer_of_a_client_what_to_do() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let local_time = Draft::heartbeat("a", "b").set("timestamp", "2026-01-03T12:41:00");
    let error = peer.ask(&local_time).await;
    let message = error.text("/payload/message");
    assert!(message.contains("append Z or an offset"), "{message}");
    let not_a_number = Draft::order("a", "b").payload_text("payload_json", r#"{"price":NaN}"#);
    let error = peer.ask(&not_a_number).await;
    let message = error.text("/payload/message");
    assert!(message.contains("NaN"), "{message}");
}

/// An order that breaks a rule, and the error it must get.
fn invalid() -> (Draft, &'static str) {
    let order = Draft::order("a", "api-gateway").payload_without("run_id");
    (order, "INVALID_PAYLOAD")
}

#[tokio::test]
async fn closes_after_the_hundredth_invalid_frame_in_a_row() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        let (order, _) = invalid();
        peer.send(&order).await;
        ids.push(order.id);
    }
    for id in &ids {
        peer.receive().await.assert_refuses(id, "INVALID_PAYLOAD");
    }
    peer.expect_last_words("TOO_MANY_REFUSED").await;
}

#[tokio::test]
async fn what_follows_the_hundredth_invalid_frame_gets_no_answer() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    let mut bytes = Vec::new();
    for _ in 0..100 {
        bytes.extend_from_slice(b"\0\0\0\x02[]");
    }
    let valid = Draft::heartbeat("a", "health-monitor").frame();
    bytes.extend(crate::raw_client::framed(&valid));
    peer.send_bytes(&bytes).await;
    for _ in 0..100 {
        assert_eq!(peer.receive().await.code(), "INVALID_JSON");
    }
    peer.expect_last_words("TOO_MANY_REFUSED").await;
}

#[tokio::test]
async fn a_valid_frame_ends_a_row_of_invalid_ones() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    for _ in 0..3 {
        for _ in 0..99 {
            let (order, code) = invalid();
            peer.ask_refused(&order, code).await;
        }
        let valid = Draft::heartbeat("a", "health-monitor");
        peer.ask_acked(&valid).await;
    }
}

#[tokio::test]
async fn refusals_for_other_reasons_do_not_count_as_invalid_frames() {
    let server = start_server().await;
    let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
    for _ in 0..150 {
        let order = Draft::order("a", "nobody");
        peer.ask_refused(&order, "TARGET_UNAVAILABLE").await;
        let order = Draft::order("tickwire", "nobody");
        peer.ask_refused(&order, "SOURCE_NOT_ALLOWED").await;
    }
    peer.assert_no_answer_waits().await;
}

/// The expected answer, for messages in tables.
fn describe(answer: &Received) -> (String, Option<String>, Option<String>) {
    let details = |key: &str| {
        let pointer = format!("/payload/details/{key}");
        let value = answer.json.pointer(&pointer)?;
        Some(value.as_str().map_or(value.to_string(), str::to_owned))
    };
    (
        answer.code().to_owned(),
        details("field"),
        details("msg_id"),
    )
}

impl Case {
    /// The fault of `answer`, if it has any.
    fn complaint(&self, answer: &Received) -> Option<String> {
        let (code, field, msg_id) = describe(answer);
        let about = match &self.about {
            About::Named(id) => msg_id.as_deref() == Some(id),
            About::Nothing => msg_id.is_none(),
            About::Either => true,
        };
        let worded = !answer.text("/payload/message").is_empty();
        let right = code == self.code && field.as_deref() == self.field && about && worded;
        (!right).then(|| {
            format!(
                "{}: wanted {} of {:?} about {:?}, got {code} of {field:?} about {msg_id:?}: {}",
                self.label,
                self.code,
                self.field,
                self.about,
                answer.text("/payload/message"),
            )
        })
    }
}
