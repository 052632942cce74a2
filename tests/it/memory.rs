//! The total of the memory: names that nobody reads and frames that don't end
//! take their parts of it, and hold up nobody else.

use std::net::SocketAddr;

use tickwire::router::{NameConfig, Overflow};
use tickwire::{Server, ServerHandle};

use crate::draft::Draft;
use crate::raw_client::{DEADLINE, RawClient, framed, start_server, within};

const MIB: usize = 1024 * 1024;
const TOTAL: usize = 16 * MIB;
const HOGS: usize = 16;
const HALF_FRAMES: usize = 200;
/// The bytes that arrive of each half frame.
const HALF: usize = 64 * 1024;

fn hog(number: usize) -> String {
    format!("hog-{number}")
}

async fn start_scarce() -> ServerHandle {
    let mut own = NameConfig::default();
    own.overflow = Overflow::Refuse;
    let server = Server::builder().listen("127.0.0.1:0").memory_max(TOTAL);
    let server = (0..HOGS).fold(server, |server, number| server.queue_of(hog(number), own));
    server.start().await.expect("starts")
}

/// Sends orders of 20 KB to `name` until one is refused, and gives that answer.
async fn fill(sender: &mut RawClient, name: &str) -> crate::raw_client::Received {
    for _ in 0..2 * TOTAL / 20_000 {
        let order = Draft::order("filler", name).padded(20_000);
        let answer = sender.ask(&order).await;
        if answer.code() == "QUEUE_FULL" {
            return answer;
        }
        answer.assert_acknowledges(&order.id);
    }
    panic!("{name} is never full");
}

/// Waits until the server holds so many bytes, or fewer, or more.
async fn until_memory(server: &ServerHandle, what: &str, holds: impl Fn(usize) -> bool) {
    let holds = async {
        while !holds(server.memory_used()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let held = tokio::time::timeout(DEADLINE, holds).await;
    held.unwrap_or_else(|_| panic!("{what}: {} bytes are held", server.memory_used()));
}

/// A connection that has sent a part of a frame with `order` in it.
async fn half_frame(address: SocketAddr, order: &Draft) -> RawClient {
    let mut peer = RawClient::connect(address).await;
    peer.send_bytes(&framed(&order.frame())[..HALF]).await;
    peer
}

#[tokio::test]
async fn names_that_do_not_read_and_half_frames_leave_a_name_that_reads_alone() {
    let server = start_scarce().await;
    let address = server.local_addr();
    let mut hogs = Vec::new();
    for number in 0..HOGS {
        hogs.push(RawClient::owning_narrow(address, &[&hog(number)]).await);
    }
    let mut sender = RawClient::speaking_for_others(address).await;
    for number in 0..HOGS {
        let refused = fill(&mut sender, &hog(number)).await;
        // The first have queues of their own size.
        let reason = refused.text("/payload/details/reason");
        assert!(number < 2 || reason == "memory", "{refused:?}");
    }
    let order = Draft::order("half", "reads").padded(4 * HALF);
    let mut halves = Vec::new();
    for _ in 0..HALF_FRAMES {
        halves.push(half_frame(address, &order).await);
    }
    let mut reads = RawClient::owning(address, &["reads"]).await;
    for _ in 0..200 {
        let orders: Vec<Draft> = (0..20).map(|_| Draft::order("me", "reads")).collect();
        for order in &orders {
            sender.send(order).await;
        }
        for order in &orders {
            sender.receive().await.assert_acknowledges(&order.id);
            assert_eq!(reads.receive().await.frame, order.frame());
        }
    }
    let held = server.memory_used();
    assert!(held > TOTAL / 2, "{held} bytes: the test holds too little");
    assert!(held <= TOTAL, "{held} bytes");
    drop((hogs, halves, reads, sender));
    server.shutdown().await;
}

#[tokio::test]
async fn a_frame_that_waits_for_memory_is_read_to_its_end_when_others_are_gone() {
    let server = start_scarce().await;
    let address = server.local_addr();
    let mut sink = RawClient::owning(address, &["sink"]).await;
    let order = Draft::order("half", "sink").padded(4 * HALF);
    let mut halves = Vec::new();
    for _ in 0..HALF_FRAMES {
        halves.push(half_frame(address, &order).await);
    }
    until_memory(&server, "half frames", |bytes| bytes > TOTAL / 8).await;
    let mut late = half_frame(address, &order).await;
    late.send_bytes(&framed(&order.frame())[HALF..]).await;
    // Small ones are heard all the time.
    let mut small = RawClient::speaking_for_others(address).await;
    small.ask_acked(&Draft::order("me", "sink")).await;
    sink.receive().await;
    assert!(
        server.memory_used() < TOTAL / 4,
        "{} bytes",
        server.memory_used()
    );
    drop(halves);
    within("the ack", late.receive())
        .await
        .assert_acknowledges(&order.id);
    assert_eq!(sink.receive().await.frame, order.frame());
    until_memory(&server, "all is over", |bytes| bytes < MIB / 2).await;
    drop((late, small, sink));
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_with_every_default_has_a_total() {
    let server = start_server().await;
    assert_eq!(server.memory_used(), 0);
    let error = Server::builder().memory_max(MIB).start().await;
    let error = error.expect_err("less than four frames").to_string();
    assert!(
        error.starts_with("memory_max = 1048576: must be at least"),
        "{error}"
    );
    server.shutdown().await;
}
