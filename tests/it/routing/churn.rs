//! Names change hands all the time while others send to them: every message
//! has one answer, and every acknowledged one is delivered or reported.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;

use crate::draft::Draft;
use crate::hostile::Random;
use crate::raw_client::{RawClient, Received, start_server_with};

const NAMES: [&str; 4] = ["n0", "n1", "n2", "n3"];
const SENDERS: u64 = 4;
const RECEIVERS: u64 = 3;
const MESSAGES_PER_SENDER: u64 = 4_000;

fn msg_id(sender: u64, number: u64) -> String {
    format!("{sender:08x}-0000-4000-8000-{number:012x}")
}

/// Which message of which sender an id stands for.
fn place_of(msg_id: &str) -> (u64, u64) {
    let hex = |text| u64::from_str_radix(text, 16).expect("one of our ids");
    (hex(&msg_id[..8]), hex(&msg_id[24..]))
}

/// The answers to one sender.
struct Told {
    peer: RawClient,
    acked: HashSet<(u64, u64)>,
    undelivered: u64,
}

fn count_of(report: &Received) -> u64 {
    assert_eq!(report.code(), "UNDELIVERED", "{report:?}");
    let count = report.json.pointer("/payload/details/count");
    count.and_then(serde_json::Value::as_u64).expect("a count")
}

/// Sends all, and reads until all are answered.
async fn run_sender(address: SocketAddr, sender: u64) -> Told {
    let peer = RawClient::speaking_for_others(address).await;
    let (mut reader, mut writer) = (peer.reader, peer.writer);
    let writing = tokio::spawn(async move {
        let mut random = Random(sender + 1);
        for number in 0..MESSAGES_PER_SENDER {
            let target = NAMES[usize::try_from(random.below(4)).expect("small")];
            let mut order = Draft::order("sender", target).set("msg_id", msg_id(sender, number));
            if random.below(50) == 0 {
                order = order.padded(100_000);
            }
            writer.send(&order).await;
        }
        writer
    });
    let (mut acked, mut undelivered) = (HashSet::new(), 0);
    let mut next = 0;
    while next < MESSAGES_PER_SENDER {
        let answer = reader.receive().await;
        if answer.code() == "UNDELIVERED" {
            undelivered += count_of(&answer);
            continue;
        }
        // One answer each, in the order of the messages.
        let id = msg_id(sender, next);
        if answer.kind() == "ack" {
            answer.assert_acknowledges(&id);
            acked.insert((sender, next));
        } else {
            answer.assert_refuses(&id, "TARGET_UNAVAILABLE");
        }
        next += 1;
    }
    let writer = writing.await.expect("all is written");
    Told {
        peer: RawClient { reader, writer },
        acked,
        undelivered,
    }
}

/// The messages of a receiver, and how often it left a name or lost one.
#[derive(Default)]
struct Got {
    delivered: HashSet<(u64, u64)>,
    departures: usize,
}

/// Connects, owns names for a while, and leaves, again and again.
async fn run_receiver(
    address: SocketAddr,
    receiver: u64,
    senders_done: watch::Receiver<bool>,
) -> Got {
    let mut random = Random(receiver + 100);
    let mut got = Got::default();
    while !*senders_done.borrow() {
        let first = usize::try_from(random.below(4)).expect("small");
        let names = [NAMES[first], NAMES[(first + 1) % 4]];
        let names = &names[..1 + first % 2];
        let mut peer = RawClient::connect(address).await;
        peer.send(&Draft::hello("receiver").payload("names", names))
            .await;
        let mut due = random.below(400);
        let mut last: HashMap<(String, u64), u64> = HashMap::new();
        let mut ended = false;
        let mut senders_done = senders_done.clone();
        loop {
            let received = tokio::select! {
                received = peer.reader.receive_or_end() => received,
                _ = senders_done.wait_for(|done| *done), if !ended => {
                    due = 0;
                    None
                }
            };
            match received {
                Some(received) if received.kind() == "ingest_event" => {
                    let (sender, number) = place_of(received.text("/msg_id"));
                    let target = received.text("/target").to_owned();
                    let before = last.insert((target, sender), number);
                    assert!(before < Some(number), "{number} came after {before:?}");
                    got.delivered.insert((sender, number));
                    due = due.saturating_sub(1);
                }
                Some(_) => (),
                None if ended || due > 0 => break,
                None => (),
            }
            if due == 0 && !ended {
                // Messages on their way still come.
                ended = true;
                peer.writer.end().await;
            }
        }
        got.departures += names.len();
    }
    got
}

/// Owns all the names, and returns the messages that wait for them.
async fn collect(address: SocketAddr) -> HashSet<(u64, u64)> {
    let mut collector = RawClient::owning(address, &NAMES).await;
    for (number, name) in (0..).zip(NAMES) {
        let mark = Draft::order(NAMES[0], name).set("msg_id", msg_id(SENDERS, number));
        collector.send(&mark).await;
    }
    let (mut collected, mut marks) = (HashSet::new(), 0);
    while marks < NAMES.len() {
        let received = collector.receive().await;
        if received.kind() == "ingest_event" {
            let place = place_of(received.text("/msg_id"));
            if place.0 == SENDERS {
                marks += 1;
            } else {
                collected.insert(place);
            }
        }
    }
    collected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_message_is_delivered_or_reported_while_names_change_hands() {
    let server = start_server_with(|server| {
        server
            .queue_messages(64)
            .stall_timeout(Duration::from_secs(3_600))
    })
    .await;
    let address = server.local_addr();
    let (done, senders_done) = watch::channel(false);
    let receivers: Vec<_> = (0..RECEIVERS)
        .map(|number| tokio::spawn(run_receiver(address, number, senders_done.clone())))
        .collect();
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| tokio::spawn(run_sender(address, number)))
        .collect();
    let mut told = Vec::new();
    for sender in senders {
        told.push(sender.await.expect("all are answered"));
    }
    done.send_replace(true);
    let mut delivered = HashSet::new();
    let mut departures = 0;
    for receiver in receivers {
        let got = receiver.await.expect("all in order");
        delivered.extend(got.delivered);
        departures += got.departures;
    }
    // Messages that the last owners left behind still wait for another.
    delivered.extend(collect(address).await);
    // Nobody can leave any more, so the fence comes behind the last report.
    let (mut acked, mut undelivered) = (HashSet::new(), 0);
    for mut sender in told {
        for report in sender.peer.fence().await {
            undelivered += count_of(&report);
        }
        undelivered += sender.undelivered;
        acked.extend(sender.acked);
    }

    assert!(delivered.is_subset(&acked), "refused, but delivered");
    let missing = acked.len() - delivered.len();
    let undelivered = usize::try_from(undelivered).expect("small");
    assert!(acked.len() > 1_000, "hardly anything was accepted");
    assert!(
        (missing..=missing + departures).contains(&undelivered),
        "{} acked, {} delivered, {undelivered} undelivered, {departures} departures",
        acked.len(),
        delivered.len(),
    );
}
