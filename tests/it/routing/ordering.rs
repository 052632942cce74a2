//! Order is kept from each connection to each name, and nothing is lost, while
//! many send to many as fast as they can.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::draft::NOW;
use crate::raw_client::{RawClient, Reader, Writer, framed, start_server_with};

const SENDERS: usize = 5;
const MESSAGES_PER_SENDER: usize = 20_000;
/// How many messages a sender hands over in one write.
const MESSAGES_PER_WRITE: usize = 64;
/// Three connections own these.
const OWNERS: [&[&str]; 3] = [&["t0", "t1", "t2"], &["t3"], &["t4", "t5"]];
const TARGETS: [&str; 6] = ["t0", "t1", "t2", "t3", "t4", "t5"];

/// Where a sender's message of this number goes: runs of several lengths, and
/// single messages.
fn target_of(sender: usize, number: usize) -> usize {
    let run = number >> (sender % 3);
    (run.wrapping_mul(2_654_435_761) >> 3) % TARGETS.len()
}

fn msg_id(sender: usize, number: usize) -> String {
    format!("{sender:08x}-0000-4000-8000-{number:012x}")
}

fn message(sender: usize, number: usize, of_target: usize) -> Vec<u8> {
    let target = TARGETS[target_of(sender, number)];
    let id = msg_id(sender, number);
    framed(
        format!(
            r#"{{"msg_id":"{id}","msg_type":"ingest_event","timestamp":"{NOW}","source":"s{sender}","target":"{target}","payload":{{"run_id":"run-{number}","event_type":"order","event_utc":"{NOW}","payload_json":{{"sender":{sender},"number":{of_target}}},"received_utc":"{NOW}"}}}}"#
        )
        .as_bytes(),
    )
}

#[derive(Deserialize)]
struct Delivered {
    target: String,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    payload_json: Numbered,
}

#[derive(Deserialize)]
struct Numbered {
    sender: usize,
    /// Which this is of the sender's messages to this target.
    number: usize,
}

async fn write_all(mut writer: Writer, sender: usize) -> Writer {
    let mut of_target = [0; TARGETS.len()];
    let mut bytes = Vec::new();
    for number in 0..MESSAGES_PER_SENDER {
        let target = target_of(sender, number);
        bytes.extend(message(sender, number, of_target[target]));
        of_target[target] += 1;
        if (number + 1) % MESSAGES_PER_WRITE == 0 || number + 1 == MESSAGES_PER_SENDER {
            writer.send_bytes(&bytes).await;
            bytes.clear();
        }
    }
    writer
}

/// Every message is acknowledged, in the order in which they were sent.
async fn read_answers(mut reader: Reader, sender: usize) {
    for number in 0..MESSAGES_PER_SENDER {
        let answer = reader.receive().await;
        answer.assert_acknowledges(&msg_id(sender, number));
    }
}

/// Everything that is due to `names`, in each sender's order.
async fn read_deliveries(mut reader: Reader, names: &[&str]) {
    let mut due: usize = 0;
    for sender in 0..SENDERS {
        due += (0..MESSAGES_PER_SENDER)
            .filter(|&number| names.contains(&TARGETS[target_of(sender, number)]))
            .count();
    }
    let mut next: HashMap<(String, usize), usize> = HashMap::new();
    for _ in 0..due {
        let frame = reader.receive_frame().await;
        let message: Delivered = serde_json::from_slice(&frame).expect("a message");
        let Numbered { sender, number } = message.payload.payload_json;
        let expected = next.entry((message.target, sender)).or_default();
        assert_eq!(number, *expected, "out of order from sender {sender}");
        *expected += 1;
    }
    assert!(next.keys().all(|(name, _)| names.contains(&name.as_str())));
}

async fn run_sender(address: SocketAddr, sender: usize) {
    let peer = RawClient::connect(address).await;
    let answers = tokio::spawn(read_answers(peer.reader, sender));
    let _writer = write_all(peer.writer, sender).await;
    answers.await.expect("all are acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_messages_keep_their_order_and_none_is_lost() {
    let server = start_server_with(|server| {
        server
            // A slow machine may pause senders, but not lose anything by it.
            .stall_timeout(Duration::from_secs(300))
    })
    .await;
    let address = server.local_addr();
    let mut receivers = Vec::new();
    let mut held_open = Vec::new();
    for names in OWNERS {
        let peer = RawClient::owning(address, names).await;
        receivers.push(tokio::spawn(read_deliveries(peer.reader, names)));
        held_open.push(peer.writer);
    }
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(run_sender(address, sender)))
        .collect();
    for task in senders.into_iter().chain(receivers) {
        task.await.expect("no order was broken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_queue_costs_time_but_neither_order_nor_messages() {
    let server = start_server_with(|server| {
        server
            .queue_bytes(64 * 1024)
            .queue_messages(16)
            .stall_timeout(Duration::from_secs(300))
    })
    .await;
    let address = server.local_addr();
    let numbers = Arc::new(2_000_usize);
    let mut receiver = RawClient::owning(address, &TARGETS).await;
    let mut sender = RawClient::connect(address).await;
    let bytes: Vec<u8> = (0..*numbers)
        .flat_map(|number| message(0, number, number))
        .collect();
    let mut writer = sender.writer;
    let writing = tokio::spawn(async move {
        writer.send_bytes(&bytes).await;
        writer
    });
    let expected = Arc::clone(&numbers);
    let reading = tokio::spawn(async move {
        let mut next = [0; TARGETS.len()];
        for _ in 0..*expected {
            let frame = receiver.reader.receive_frame().await;
            let message: Delivered = serde_json::from_slice(&frame).expect("a message");
            let number = message.payload.payload_json.number;
            let target = target_of(0, number);
            assert_eq!(message.target, TARGETS[target]);
            assert!(next[target] <= number, "{number} came late");
            next[target] = number + 1;
        }
    });
    for number in 0..*numbers {
        let answer = sender.reader.receive().await;
        answer.assert_acknowledges(&msg_id(0, number));
    }
    reading.await.expect("all are delivered in order");
    writing.await.expect("all is written");
}
