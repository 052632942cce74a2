//! The platform's eleven messages, in every spelling that JSON and the
//! protocol allow: each is accepted, acknowledged by the id as it was written,
//! and delivered byte for byte.

mod spelling;

use serde_json::{Value, json};
use tickwire::{Server, ServerHandle};

use crate::draft::Draft;
use crate::raw_client::{RawClient, Received, framed, start_server};
use spelling::Tree;

macro_rules! example {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../fixtures/messages/", $name, ".json")) as &[u8],
        )
    };
}
/// The platform's own examples.
pub const MESSAGES: [(&str, &[u8]); 11] = [
    example!("01-order-event"),
    example!("02-execution-event"),
    example!("03-market-data-event"),
    example!("04-info-log"),
    example!("05-error-log"),
    example!("06-heartbeat"),
    example!("07-error-message"),
    example!("08-acknowledgment"),
    example!("09-strategy-instance-update"),
    example!("10-oco-group-creation"),
    example!("11-multiple-ingest-events"),
];

/// Everybody that the examples are addressed to.
const TARGETS: [&str; 4] = [
    "api-gateway",
    "log-aggregator",
    "health-monitor",
    "quantower-connector",
];

/// Two connections to one server: one speaks for every source of the examples,
/// one owns every target.
struct Pair {
    sender: RawClient,
    receiver: RawClient,
    _server: ServerHandle,
}

impl Pair {
    async fn new() -> Self {
        Self::with(start_server().await).await
    }

    async fn with(server: ServerHandle) -> Self {
        Self {
            sender: RawClient::speaking_for_others(server.local_addr()).await,
            receiver: RawClient::owning(server.local_addr(), &TARGETS).await,
            _server: server,
        }
    }

    /// Sends `frame`; it must be delivered as it stands and, unless it is an
    /// `ack` itself, be acknowledged to its source under its id.
    async fn passes(&mut self, what: &str, frame: &[u8]) {
        let json: Value = serde_json::from_slice(frame)
            .or_else(|_| serde_json::from_slice(&spelling::without_huge_numbers(frame)))
            .unwrap_or_else(|error| panic!("{what} is not JSON: {error}"));
        self.sender.send_frame(frame).await;
        if json["msg_type"] == "ack" {
            self.sender.assert_no_answer_waits().await;
            // The fence is a heartbeat, and the receiver owns its target.
            let (first, second) = (self.delivered().await, self.delivered().await);
            assert!(first == frame || second == frame, "{what} arrived altered");
            return;
        }
        let answer = self.sender.receive().await;
        assert_is_ack_of(what, &answer, &json);
        let delivered = self.delivered().await;
        assert!(
            delivered == frame,
            "{what} arrived altered:\n{}\n{}",
            String::from_utf8_lossy(frame),
            String::from_utf8_lossy(&delivered),
        );
    }

    /// The next frame's bytes. They need not be JSON that serde_json can read
    /// into a `Value`: it has no 1e400.
    async fn delivered(&mut self) -> Vec<u8> {
        self.receiver.reader.receive_frame().await.to_vec()
    }
}

fn assert_is_ack_of(what: &str, answer: &Received, message: &Value) {
    assert_eq!(answer.kind(), "ack", "{what}: {answer:?}");
    let written = message["msg_id"].as_str().expect("an id");
    assert_eq!(answer.acknowledged(), written, "{what}");
    assert_eq!(answer.json["source"], "tickwire", "{what}");
    assert_eq!(answer.json["target"], message["source"], "{what}");
    assert!(answer.json["payload"].get("dropped").is_none(), "{what}");
    let id = answer.text("/msg_id");
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{what}: {id}");
    for pointer in ["/timestamp", "/payload/timestamp"] {
        let time = answer.text(pointer);
        let read = chrono::DateTime::parse_from_rfc3339(time);
        assert!(read.is_ok(), "{what}: {pointer} is {time:?}");
    }
}

async fn every_message_passes(respelt: impl Fn(&[u8]) -> Vec<u8>) {
    let mut pair = Pair::new().await;
    for (name, message) in MESSAGES {
        pair.passes(name, &respelt(message)).await;
    }
}

#[tokio::test]
async fn the_eleven_messages_pass_as_they_stand() {
    every_message_passes(<[u8]>::to_vec).await;
}

#[tokio::test]
async fn the_eleven_messages_pass_compact() {
    every_message_passes(|message| Tree::read(message).compact()).await;
}

#[tokio::test]
async fn the_eleven_messages_pass_in_any_white_space() {
    every_message_passes(|message| {
        let spaced = Tree::read(message).spaced("\r\n \t ");
        [b"\n\n  ", &*spaced, b" \r\n\t"].concat()
    })
    .await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_their_fields_in_reverse_order() {
    every_message_passes(|message| Tree::read(message).reversed().compact()).await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_fields_that_nobody_knows() {
    every_message_passes(|message| {
        Tree::read(message)
            .with_field_everywhere("", "null")
            .with_field_everywhere("x-trace", r#"{"msg_id":[true,{"source":"elsewhere"}]}"#)
            .with_field_everywhere("payload_too", r#""Payload""#)
            .compact()
    })
    .await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_every_string_and_key_escaped() {
    every_message_passes(|message| Tree::read(message).escaped(|_| true).compact()).await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_single_characters_escaped() {
    // The first letter of each key and value: `\u0073ource`.
    every_message_passes(|message| Tree::read(message).escaped(|place| place == 0).compact()).await;
    // And one in the middle, behind characters that stand for themselves.
    every_message_passes(|message| Tree::read(message).escaped(|place| place == 3).compact()).await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_every_kind_of_escape() {
    every_message_passes(|message| {
        Tree::read(message)
            .with_field_everywhere(r"\b\f\n\r\t\/\\", r#""\"\\\/\b\f\n\r\t\u0000\uD83D\uDE80""#)
            .compact()
    })
    .await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_text_in_any_script() {
    every_message_passes(|message| {
        Tree::read(message)
            .with_field_everywhere("примечание", r#""Größe 数量 الكمية 🚀 é\u0301""#)
            .with_field_everywhere("\u{7f}\u{80}\u{10ffff}", "\"\u{2028}\u{feff}\"")
            .compact()
    })
    .await;
}

#[tokio::test]
async fn the_eleven_messages_pass_with_numbers_of_any_size() {
    const NUMBERS: &str = "[1234567890123456789012345,-1234567890123456789012345,1e400,-1E+400,\
        1e-400,0.1000000000000000055511151231257827021181583404541015625,-0,-0.0,0e0,\
        18446744073709551616,1.7976931348623159e308]";
    every_message_passes(|message| {
        let tree = Tree::read(message);
        tree.with_field_everywhere("numbers", NUMBERS).compact()
    })
    .await;
    // A second opinion on numbers must know escapes as well.
    every_message_passes(|message| {
        let tree = Tree::read(message).escaped(|place| place % 2 == 0);
        tree.with_field_everywhere("numbers", NUMBERS).compact()
    })
    .await;
}

#[tokio::test]
async fn the_eleven_messages_pass_when_they_fill_a_frame_to_its_limit() {
    const LIMIT: usize = 4096;
    let small = Server::builder()
        .listen("127.0.0.1:0")
        .frame_bytes_max(LIMIT);
    let mut pair = Pair::with(small.start().await.expect("starts")).await;
    for (name, message) in MESSAGES {
        let grown = Tree::read(message).padded_to(LIMIT);
        assert_eq!(grown.len(), LIMIT);
        pair.passes(name, &grown).await;
    }
}

#[tokio::test]
async fn a_frame_of_exactly_the_default_limit_passes() {
    let mut pair = Pair::new().await;
    let order = Tree::read(MESSAGES[0].1).padded_to(1024 * 1024);
    pair.passes("an order of 1 MiB", &order).await;
}

#[tokio::test]
async fn the_eleven_messages_pass_byte_by_byte() {
    let mut pair = Pair::new().await;
    for (_, message) in MESSAGES {
        for byte in framed(message) {
            pair.sender.send_bytes(&[byte]).await;
        }
    }
    // The acknowledgment among them is not acknowledged.
    let mut acked = Vec::new();
    for _ in 0..10 {
        acked.push(pair.sender.receive().await.acknowledged().to_owned());
    }
    let expected: Vec<_> = MESSAGES
        .iter()
        .map(|(_, message)| serde_json::from_slice::<Value>(message).expect("an example"))
        .filter(|message| message["msg_type"] != "ack")
        .map(|message| message["msg_id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(acked, expected);
}

#[tokio::test]
async fn bare_starts_acknowledge_what_the_local_services_take() {
    let server = start_server().await;
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    for (name, message) in MESSAGES {
        let json: Value = serde_json::from_slice(message).expect("an example");
        if json["target"] == "health-monitor" || json["target"] == "log-aggregator" {
            sender.send_frame(message).await;
            let answer = sender.receive().await;
            assert_is_ack_of(name, &answer, &json);
        }
    }
}

#[tokio::test]
async fn an_id_may_be_of_any_version_and_either_case() {
    let mut pair = Pair::new().await;
    for id in [
        "550E8400-E29B-41D4-A716-446655440000",
        "550e8400-E29B-41d4-A716-446655440000",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    ] {
        let order = Draft::with_id(id, "heartbeat", "a", "api-gateway")
            .payload("status", "alive")
            .payload("timestamp", crate::draft::NOW);
        pair.passes(id, &order.frame()).await;
        let ack = Draft::ack("a", "api-gateway").payload("acknowledged_msg_id", id);
        pair.passes(id, &ack.frame()).await;
    }
}

#[tokio::test]
async fn every_timestamp_of_rfc_3339_is_one() {
    let mut pair = Pair::new().await;
    for time in [
        "2026-01-03T12:41:00Z",
        "2026-01-03T12:41:00.0Z",
        "2026-01-03T12:41:00.123456Z",
        "2026-01-03T12:41:00.123456789Z",
        "2026-01-03T12:41:00.123456789012345678Z",
        "2026-01-03T12:41:00+00:00",
        "2026-01-03T12:41:00-00:00",
        "2026-01-03T12:41:00.5+05:30",
        "2026-01-03T12:41:00.5-23:59",
        "2026-01-03t12:41:00z",
        "2026-01-03t12:41:00.25+01:00",
        "2026-12-31T23:59:60Z",
        "2027-01-01T00:59:60.5+01:00",
        "1998-12-31T15:59:60-08:00",
        "2026-01-03T05:29:60+05:30",
        "2024-02-29T00:00:00Z",
        "2000-02-29T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ] {
        let order = Draft::order("a", "api-gateway")
            .set("timestamp", time)
            .payload("event_utc", time)
            .payload("received_utc", time);
        pair.passes(time, &order.frame()).await;
        let log_record = Draft::log_record("a", "api-gateway").payload("timestamp", time);
        pair.passes(time, &log_record.frame()).await;
        let heartbeat = Draft::heartbeat("a", "api-gateway").payload("timestamp", time);
        pair.passes(time, &heartbeat.frame()).await;
        let ack = Draft::ack("a", "api-gateway").payload("timestamp", time);
        pair.passes(time, &ack.frame()).await;
    }
}

#[tokio::test]
async fn every_event_type_and_level_is_known() {
    let mut pair = Pair::new().await;
    for event_type in [
        "order",
        "execution",
        "market_data",
        "strategy_event",
        "system_event",
    ] {
        let event = Draft::order("a", "api-gateway").payload("event_type", event_type);
        pair.passes(event_type, &event.frame()).await;
    }
    for level in [
        "TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL",
    ] {
        let log_record = Draft::log_record("a", "api-gateway").payload("level", level);
        pair.passes(level, &log_record.frame()).await;
    }
    let with_meta = Draft::log_record("a", "api-gateway").payload("meta", json!({"deep": [1]}));
    pair.passes("meta", &with_meta.frame()).await;
    let with_details = Draft::error("a", "api-gateway").payload("details", json!({}));
    pair.passes("details", &with_details.frame()).await;
}

#[tokio::test]
async fn names_are_compared_after_unescaping_and_up_to_their_last_byte() {
    let server = start_server().await;
    let address = server.local_addr();
    let longest = "é".repeat(64);
    for name in [
        "a",
        " ",
        "приёмник-東京-🚀",
        "quote\"backslash\\solidus/",
        longest.as_str(),
    ] {
        let mut owner = RawClient::owning(address, &[name]).await;
        let mut sender = RawClient::connect(address).await;
        let source = format!("{}!", name.chars().take(50).collect::<String>());
        let order = Draft::order(&source, name);
        let ack = sender.ask_acked(&order).await;
        assert_eq!(ack.json["target"], source.as_str());
        assert_eq!(owner.receive().await.frame, order.frame());
        // The same name, spelt in escapes.
        let order = Draft::order(&source, name);
        let escaped = Tree::read(&order.frame()).escaped(|_| true).compact();
        sender.send_frame(&escaped).await;
        let ack = sender.receive().await;
        ack.assert_acknowledges(&order.id);
        assert_eq!(ack.json["target"], source.as_str());
        assert_eq!(owner.receive().await.frame, escaped);
        let beside = Draft::order(&source, format!("{source} "));
        sender.ask_refused(&beside, "TARGET_UNAVAILABLE").await;
    }
}

#[tokio::test]
async fn an_absent_target_means_everyone() {
    let mut pair = Pair::new().await;
    let order = Draft::order("a", Value::Null).without("target");
    pair.passes("no target", &order.frame()).await;
}

#[tokio::test]
async fn json_may_be_nested_64_deep() {
    let mut pair = Pair::new().await;
    // The root is 1, the payload 2, payload_json 3.
    let lists = format!(r#"{{"x":{}{}}}"#, "[".repeat(61), "]".repeat(61));
    let order = Draft::order("a", "api-gateway").payload_text("payload_json", lists);
    pair.passes("lists", &order.frame()).await;
    let objects = format!("{}{{}}{}", r#"{"x":"#.repeat(61), "}".repeat(61));
    let order = Draft::order("a", "api-gateway").payload_text("payload_json", objects);
    pair.passes("objects", &order.frame()).await;
    let outside = format!("{}{}", "[".repeat(63), "]".repeat(63));
    let order = Draft::order("a", "api-gateway").text("extra", outside);
    pair.passes("beside the payload", &order.frame()).await;
}

#[tokio::test]
async fn keys_repeated_further_down_are_the_receivers_business() {
    let mut pair = Pair::new().await;
    let order = Draft::order("a", "api-gateway")
        .payload_text(
            "payload_json",
            r#"{"x":1,"x":2,"y":{"source":1,"source":2}}"#,
        )
        .text("extra", r#"{"x":1,"x":2}"#)
        // Neither is a key of the envelope a repetition in the payload.
        .payload("msg_id", 1)
        .payload("payload", 2);
    pair.passes("repeated keys", &order.frame()).await;
}

#[tokio::test]
async fn envelope_validation_leaves_the_payload_to_the_receiver() {
    let lenient = Server::builder()
        .listen("127.0.0.1:0")
        .validation(tickwire::wire::Validation::Envelope);
    let mut pair = Pair::with(lenient.start().await.expect("starts")).await;
    let empty = Draft::new("ingest_event", "a", "api-gateway");
    pair.passes("an event of nothing", &empty.frame()).await;
    let odd = Draft::log_record("a", "api-gateway").payload("level", "loud");
    pair.passes("an unknown level", &odd.frame()).await;
    let broken = Draft::order("a", "api-gateway").payload_text("payload_json", "NaN");
    pair.sender.send(&broken).await;
    assert_eq!(pair.sender.receive().await.code(), "INVALID_JSON");
    let elsewhere = Draft::order("a", "api-gateway").set("timestamp", "now");
    pair.sender
        .ask_refused(&elsewhere, "INVALID_ENVELOPE")
        .await;
}
