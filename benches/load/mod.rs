//! The messages that the benchmarks work on: real ones with ids and numbers
//! that differ from frame to frame, so that nothing profits from repetition.

use bytes::BytesMut;
use uuid::Uuid;

/// The platform's eleven messages, by what they are.
pub const EXAMPLES: [(&str, &str); 11] = [
    (
        "order",
        include_str!("../../tests/fixtures/messages/01-order-event.json"),
    ),
    (
        "execution",
        include_str!("../../tests/fixtures/messages/02-execution-event.json"),
    ),
    (
        "market data",
        include_str!("../../tests/fixtures/messages/03-market-data-event.json"),
    ),
    (
        "info log",
        include_str!("../../tests/fixtures/messages/04-info-log.json"),
    ),
    (
        "error log",
        include_str!("../../tests/fixtures/messages/05-error-log.json"),
    ),
    (
        "heartbeat",
        include_str!("../../tests/fixtures/messages/06-heartbeat.json"),
    ),
    (
        "error",
        include_str!("../../tests/fixtures/messages/07-error-message.json"),
    ),
    (
        "ack",
        include_str!("../../tests/fixtures/messages/08-acknowledgment.json"),
    ),
    (
        "strategy",
        include_str!("../../tests/fixtures/messages/09-strategy-instance-update.json"),
    ),
    (
        "oco group",
        include_str!("../../tests/fixtures/messages/10-oco-group-creation.json"),
    ),
    (
        "batch",
        include_str!("../../tests/fixtures/messages/11-multiple-ingest-events.json"),
    ),
];

/// `count` variants of an example, compact, each with an id of its own and
/// numbers of varied length.
pub fn variants(example: &str, count: usize) -> Vec<Vec<u8>> {
    let value: serde_json::Value = serde_json::from_str(example).expect("the examples are JSON");
    let compact = compact(example);
    let id = value["msg_id"]
        .as_str()
        .expect("the examples have ids")
        .to_owned();
    (0..count as u64)
        .map(|n| {
            // A multiplicative hash spreads neighbouring numbers.
            let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let price = format!("{}.{}", 1 + spread % 99_999, n % 1_000);
            compact
                .replacen(&id, &Uuid::from_u64_pair(spread, !spread).to_string(), 1)
                .replace("45000.0", &price)
                .into_bytes()
        })
        .collect()
}

/// The text without white space outside strings; none of the examples has a
/// quote within a string.
fn compact(json: &str) -> String {
    let mut in_string = false;
    json.chars()
        .filter(|&c| {
            in_string ^= c == '"';
            in_string || !c.is_whitespace()
        })
        .collect()
}

/// The frames as one stream, length prefixes included.
pub fn stream<'a>(messages: impl IntoIterator<Item = &'a Vec<u8>>) -> BytesMut {
    let mut stream = BytesMut::new();
    for message in messages {
        tickwire::wire::write_frame(&mut stream, message).expect("the examples fit a frame");
    }
    stream
}
