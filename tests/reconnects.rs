//! Ten thousand connections that come and go leave nothing behind. A program of
//! its own, for it counts what its allocator holds.

#![allow(missing_docs, reason = "a test")]

#[path = "it/draft.rs"]
#[allow(dead_code, reason = "the file serves several programs")]
mod draft;
#[path = "it/raw_client.rs"]
#[allow(dead_code, reason = "the file serves several programs")]
mod raw_client;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tickwire::ServerHandle;

use draft::Draft;
use raw_client::{RawClient, start_server, within};

struct Counting;

/// Bytes that are allocated.
static HELD: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: everything is left to the system's allocator; only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const CONNECTIONS: usize = 10_000;
/// So many come and go at once.
const LANES: usize = 32;
/// What may be held after the last of them that wasn't after the first: tables
/// that have grown, and buffers of threads. A connection that has sent something
/// takes 2 KB, so this is a hundred that were forgotten.
const LEFT_BEHIND_BYTES: usize = 256 * 1024;

/// Comes, sends an order, has its ack, and goes, in one of three ways. Every
/// other time it is called as the last time, or as nobody was before.
async fn come_and_go(address: SocketAddr, lane: usize, round: usize) {
    let name = match round % 2 {
        0 => format!("returns-{lane}"),
        _ => format!("comes-{lane}-{round}"),
    };
    let mut peer = RawClient::owning(address, &[&name]).await;
    peer.ask_acked(&Draft::order(&name, "sink")).await;
    match round % 3 {
        0 => drop(peer),
        1 => peer.reset(),
        _ => peer.leave().await,
    }
}

async fn wave(address: SocketAddr, connections: usize) {
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        lanes.push(tokio::spawn(async move {
            for round in 0..connections / LANES {
                come_and_go(address, lane, round).await;
            }
        }));
    }
    for lane in lanes {
        lane.await.expect("all were served");
    }
}

/// Waits until the server has seen the end of all but one, and at most `held`
/// bytes are allocated.
async fn settle(server: &ServerHandle, held: usize) {
    let settled = async {
        while server.name_count() > 1 || HELD.load(Ordering::Relaxed) > held {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let settled = tokio::time::timeout(raw_client::DEADLINE, settled).await;
    let (names, now) = (server.name_count(), HELD.load(Ordering::Relaxed));
    settled.unwrap_or_else(|_| panic!("{names} names are owned; {now} bytes held, not {held}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_that_come_and_go_leave_memory_and_names_as_they_were() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut sink = RawClient::owning(address, &["sink"]).await;
    let reading =
        tokio::spawn(async move { while sink.reader.receive_or_break().await.is_some() {} });
    // The first ones make what there is only once.
    wave(address, CONNECTIONS / 10).await;
    settle(&server, usize::MAX).await;
    let before = HELD.load(Ordering::Relaxed);
    let served = server.stats().connections;
    wave(address, CONNECTIONS).await;
    let expected = (CONNECTIONS / LANES * LANES) as u64;
    assert_eq!(server.stats().connections - served, expected);
    settle(&server, before + LEFT_BEHIND_BYTES).await;
    assert_eq!(server.name_count(), 1, "only the sink is left");
    server.shutdown().await;
    within("the sink's end", reading)
        .await
        .expect("it only reads");
}
