//! Peers that speak something else, nothing, or too much: each is answered or
//! closed as the protocol says, and the server goes on serving the others.

use std::net::SocketAddr;

use crate::draft::Draft;
use crate::raw_client::{RawClient, framed, start_server, start_server_with, within};

/// Numbers from a seed, the same on every machine (xorshift64*).
pub struct Random(pub u64);

impl Random {
    /// Numbers of their own for each of the streams that a seed is split into.
    pub fn of(seed: u64, stream: u64) -> Self {
        // The finish of splitmix64: neighbours have nothing in common after it.
        let mut mixed = seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // 0 has no successor.
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The upper bits of the generator are the better ones.
        (self.next() >> 33) % limit
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[7]).collect()
    }
}

/// Garbage from the first byte on. Most of it is a length above the limit;
/// whatever it is, errors come back and the stream ends, or it waits for more.
async fn send_garbage(address: SocketAddr, random: &mut Random) {
    let mut peer = RawClient::connect(address).await;
    let garbage = random.bytes(64 * 1024);
    // The server may have closed before it has taken all.
    peer.writer.try_send_bytes(&garbage).await;
    peer.writer.end().await;
    for received in peer.reader.receive_what_comes().await {
        assert_eq!(received.kind(), "error", "{received:?}");
    }
}

/// Garbage in frames of the right length, then a valid message.
async fn send_framed_garbage(address: SocketAddr, random: &mut Random) {
    let mut peer = RawClient::connect(address).await;
    for _ in 0..90 {
        let length = usize::try_from(random.next() % 300 + 1).expect("small");
        peer.send_frame(&random.bytes(length)).await;
    }
    let answers = peer.fence().await;
    assert_eq!(answers.len(), 90);
    assert!(answers.iter().all(|answer| answer.code() == "INVALID_JSON"));
}

/// A valid message with a few bytes turned into others. Some stay valid.
async fn send_mutants(address: SocketAddr, random: &mut Random) {
    let mut peer = RawClient::speaking_for_others(address).await;
    for _ in 0..90 {
        let mut frame = Draft::order("a", "nobody").frame();
        for _ in 0..=random.next() % 3 {
            let place = usize::try_from(random.next()).expect("64 bits") % frame.len();
            frame[place] = random.bytes(1)[0];
        }
        peer.send_frame(&frame).await;
        let answers = peer.fence().await;
        assert!(answers.len() <= 1, "{answers:?}");
    }
}

/// Writes `bytes`, and drops the connection without having read anything.
async fn write_and_drop(address: SocketAddr, bytes: &[u8]) {
    let mut peer = RawClient::connect(address).await;
    peer.writer.try_send_bytes(bytes).await;
    drop(peer);
    settle(address).await;
}

/// Gives the server the time to take notice of the connections dropped before:
/// its answer to a new one comes behind that. How much it holds at once would
/// be left to chance otherwise.
async fn settle(address: SocketAddr) {
    let mut peer = RawClient::connect(address).await;
    peer.assert_no_answer_waits().await;
    peer.leave().await;
}

async fn is_refused_and_closed(address: SocketAddr, opening: &[u8], code: &str) {
    let mut peer = RawClient::connect(address).await;
    peer.send_bytes(opening).await;
    peer.expect_last_words(code).await;
}

async fn open_and_drop(address: SocketAddr, count: usize) {
    const AT_ONCE: usize = 100;
    for _ in 0..count / AT_ONCE {
        let mut open = Vec::new();
        for _ in 0..AT_ONCE {
            open.push(RawClient::connect(address).await);
        }
        settle(address).await;
        // Every other one with a reset.
        for (number, peer) in open.into_iter().enumerate() {
            match number % 2 {
                0 => drop(peer),
                _ => peer.reset(),
            }
        }
        settle(address).await;
    }
}

/// Everything that a server meets on an open port.
async fn wave(address: SocketAddr) {
    let mut random = Random(0x7469_636B_7769_7265);
    for _ in 0..16 {
        send_garbage(address, &mut random).await;
        send_framed_garbage(address, &mut random).await;
        send_mutants(address, &mut random).await;
    }
    let half = &framed(&Draft::order("a", "nobody").padded(500_000).frame())[..250_000];
    for _ in 0..16 {
        let request = b"GET / HTTP/1.1\r\nHost: tickwire\r\n\r\n";
        is_refused_and_closed(address, request, "FRAME_TOO_LARGE").await;
        let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03";
        is_refused_and_closed(address, tls_hello, "FRAME_TOO_LARGE").await;
        is_refused_and_closed(address, &[0; 4], "FRAME_EMPTY").await;
        is_refused_and_closed(address, &[0xFF; 4], "FRAME_TOO_LARGE").await;
        write_and_drop(address, half).await;
        write_and_drop(address, &half[..3]).await;
        write_and_drop(address, &[0; 4]).await;
    }
    open_and_drop(address, 1_000).await;
}

async fn assert_serves(address: SocketAddr) {
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut receiver = RawClient::owning(address, &["receiver"]).await;
    let order = Draft::order("sender", "receiver");
    sender.ask_acked(&order).await;
    assert_eq!(receiver.receive().await.frame, order.frame());
    receiver.leave().await;
    sender.leave().await;
}

#[tokio::test]
async fn others_are_served_while_hostile_peers_come_and_go() {
    let server = start_server().await;
    let address = server.local_addr();
    // Silence after half a frame, all the while.
    let mut half = RawClient::connect(address).await;
    half.send_bytes(b"\0\0\x01").await;
    let mut sender = RawClient::speaking_for_others(address).await;
    let mut receiver = RawClient::owning(address, &["receiver"]).await;
    let hostile = tokio::spawn(wave(address));
    while !hostile.is_finished() {
        let order = Draft::order("sender", "receiver");
        sender.ask_acked(&order).await;
        // A mutant may have become a broadcast.
        let mut received = receiver.receive().await;
        while received.text("/target") != "receiver" {
            received = receiver.receive().await;
        }
        assert_eq!(received.frame, order.frame());
    }
    hostile.await.expect("every hostile peer was answered");
    assert_serves(address).await;
}

#[tokio::test]
async fn connections_above_the_limit_are_told_so() {
    let server = start_server_with(|server| server.connections_max(3)).await;
    let address = server.local_addr();
    let mut served = Vec::new();
    for _ in 0..3 {
        let mut peer = RawClient::connect(address).await;
        peer.assert_no_answer_waits().await;
        served.push(peer);
    }
    let mut refused = RawClient::connect(address).await;
    refused.expect_last_words("LIMIT_EXCEEDED").await;
    for peer in &mut served {
        peer.assert_no_answer_waits().await;
    }
    // One that leaves makes room. The server may see that a little later than
    // its peer does.
    served.pop().expect("three").leave().await;
    within("room for one more", async {
        loop {
            let mut peer = RawClient::connect(address).await;
            let heartbeat = framed(&Draft::heartbeat("a", "health-monitor").frame());
            peer.writer.try_send_bytes(&heartbeat).await;
            let answer = peer.reader.receive_or_break().await;
            if answer.is_some_and(|answer| answer.kind() == "ack") {
                break;
            }
        }
    })
    .await;
}

#[cfg(all(feature = "cli", target_os = "linux"))]
mod memory {
    use std::time::Duration;

    use super::{assert_serves, wave};
    use crate::draft::Draft;
    use crate::process::Serve;
    use crate::raw_client::{RawClient, framed, within};

    /// Bytes that the process holds in memory.
    fn resident(process: u32) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{process}/statm"));
        let statm = statm.expect("the process runs");
        let pages = statm.split(' ').nth(1).expect("its second field");
        // A page has 4 KiB or more: with more, this only asks for more.
        pages.parse::<u64>().expect("a number") * 4096
    }

    /// Writes until the server takes no more, for a moment at least. Says how
    /// many bytes it took.
    async fn write_until_stuck(peer: &mut RawClient, bytes: &[u8], most: usize) -> usize {
        let mut taken = 0;
        while taken < most {
            let written = peer.writer.try_send_bytes(bytes);
            // Taken for stuck too soon, it would only have been tried less hard.
            match tokio::time::timeout(Duration::from_millis(500), written).await {
                Ok(true) => taken += bytes.len(),
                Ok(false) | Err(_) => break,
            }
        }
        taken
    }

    #[tokio::test]
    async fn who_reads_no_answers_costs_no_memory() {
        const DEAF: usize = 8;
        const MOST: usize = 64 * 1024 * 1024;
        let serve = Serve::start(&["--threads", "2"]).await;
        let bytes = framed(&Draft::heartbeat("deaf", "health-monitor").frame()).repeat(1_000);
        wave(serve.address).await;
        assert_serves(serve.address).await;
        let before = resident(serve.id());
        let mut deaf = Vec::new();
        for _ in 0..DEAF {
            let mut peer = RawClient::connect_narrow(serve.address).await;
            let taken = write_until_stuck(&mut peer, &bytes, MOST).await;
            assert!(taken < MOST, "it was never paused");
            deaf.push(peer);
        }
        assert_serves(serve.address).await;
        // Each: 256 KiB of answers and one read's more, in a buffer that may be
        // twice as large, and the rest of a window.
        let grown = resident(serve.id()).saturating_sub(before);
        assert!(grown < DEAF as u64 * 1024 * 1024, "{grown} bytes");
    }

    #[tokio::test]
    async fn a_second_identical_wave_adds_less_than_1_mib() {
        // Each thread keeps buffers of its own: as many as there are cores
        // would meet their first message at any time.
        let serve = Serve::start(&["--threads", "2"]).await;
        wave(serve.address).await;
        assert_serves(serve.address).await;
        let after_the_first = resident(serve.id());
        wave(serve.address).await;
        assert_serves(serve.address).await;
        // The last connections of the wave may still be closing.
        let settled = within("memory to be given back", async {
            loop {
                let now = resident(serve.id());
                if now < after_the_first + 1024 * 1024 {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        settled.await;
    }
}
