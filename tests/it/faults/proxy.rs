//! A stretch of bad network between one peer and the server: it delays, hands
//! on a byte at a time, stalls, closes half of a connection, and cuts it.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::hostile::Random;
use crate::raw_client::within;

/// Bytes of a segment, as of a network.
#[cfg(unix)]
const SEGMENT_BYTES: u32 = 1_400;

/// The fault that ends a link before its two sides do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both sides are reset.
    Cut,
    /// The peer is reset; the server is for a while longer. Until then nothing
    /// goes through, and a peer that comes back meets its own old connection.
    CutOff(Duration),
    /// The server is told that no more comes; the peer goes on reading.
    NoMoreUp,
    /// The peer is told that no more comes; the server's further bytes are
    /// taken and thrown away.
    NoMoreDown,
}

/// A link's treatment of the bytes that go through it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// Of a hundred reads, how many are held up in some way.
    pub rough_percent: u64,
    /// Bytes that its sockets hold; small ones fill the server's queues.
    pub buffer_bytes: usize,
    /// How it ends, after so many bytes in both directions.
    pub ending: Option<(Ending, u64)>,
}

/// The fate of the bytes that went through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Everything that the peer sent, up to its end, was handed to the server.
    pub up: bool,
    /// Everything that the server sent, up to its end, was handed to the peer.
    pub down: bool,
}

/// A link that waits for its peer to connect.
#[derive(Debug)]
pub struct Link {
    /// Where the peer connects instead of to the server.
    pub address: SocketAddr,
    arm: Option<oneshot::Sender<()>>,
    task: JoinHandle<Passed>,
}

impl Link {
    /// A link to the server. Its weather is rough from the start, but nothing
    /// ends it before it is armed.
    pub async fn to(server: SocketAddr, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        // A peer with a buffer of few KiB gets whole segments: with those of 64 KiB
        // its window has room for none, and each part waits for a timer.
        limit_segments(&listener);
        let address = listener.local_addr().expect("it is bound");
        let (arm, armed) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (peer, _) = listener.accept().await.expect("a connection");
            let up = connect(server, plan.buffer_bytes).await;
            set_up(&peer, plan.buffer_bytes);
            carry(peer, up, plan, armed).await
        });
        Self {
            address,
            arm: Some(arm),
            task,
        }
    }

    /// From now on the link may end as planned.
    pub fn arm(&mut self) {
        if let Some(arm) = self.arm.take() {
            // A link that is over already needs no word.
            let _ = arm.send(());
        }
    }

    /// Waits until both sides are closed.
    pub async fn passed(self) -> Passed {
        drop(self.arm);
        within("the end of a link", self.task)
            .await
            .expect("a link can't fail")
    }
}

async fn connect(server: SocketAddr, buffer_bytes: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let narrowed = socket.set_recv_buffer_size(u32::try_from(buffer_bytes).expect("small"));
    narrowed.expect("a size of a buffer");
    // Within the machine a segment has 64 KiB, and the sender's kernel takes
    // twenty of them; with these it takes some 50 KB, so that queues are used.
    limit_segments(&socket);
    let stream = within("connect", socket.connect(server)).await;
    let stream = stream.expect("the server listens");
    stream.set_nodelay(true).expect("TCP takes TCP_NODELAY");
    stream
}

#[cfg(unix)]
fn limit_segments(socket: &impl AsFd) {
    SockRef::from(socket)
        .set_tcp_mss(SEGMENT_BYTES)
        .expect("a size of a segment");
}

#[cfg(not(unix))]
fn limit_segments<T>(_: &T) {}

fn set_up(peer: &TcpStream, buffer_bytes: usize) {
    peer.set_nodelay(true).expect("TCP takes TCP_NODELAY");
    let narrowed = SockRef::from(peer).set_send_buffer_size(buffer_bytes);
    narrowed.expect("a size of a buffer");
}

/// When a link ends, and how.
struct Fate {
    plan: Plan,
    bytes: AtomicU64,
    strikes: Notify,
}

impl Fate {
    fn count(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.is_due_after(before + bytes as u64) {
            self.strikes.notify_one();
        }
    }

    fn is_due_after(&self, bytes: u64) -> bool {
        self.plan.ending.is_some_and(|(_, after)| bytes >= after)
    }

    /// Whether the direction that `ending` ends is over.
    fn is_over(&self, ending: Ending) -> bool {
        let planned = self
            .plan
            .ending
            .is_some_and(|(planned, _)| planned == ending);
        planned && self.is_due_after(self.bytes.load(Ordering::Relaxed))
    }

    /// How long the server doesn't learn of the cut, when that is due.
    async fn cut(&self) -> Duration {
        let after = match self.plan.ending {
            Some((Ending::Cut, _)) => Duration::ZERO,
            Some((Ending::CutOff(after), _)) => after,
            _ => return std::future::pending().await,
        };
        self.strikes.notified().await;
        after
    }
}

async fn carry(
    mut peer: TcpStream,
    mut server: TcpStream,
    plan: Plan,
    armed: oneshot::Receiver<()>,
) -> Passed {
    let fate = Fate {
        plan,
        bytes: AtomicU64::new(0),
        strikes: Notify::new(),
    };
    let (from_peer, to_peer) = peer.split();
    let (from_server, to_server) = server.split();
    let carried = async {
        let up = pump(from_peer, to_server, Direction::Up, &fate);
        let down = pump(from_server, to_peer, Direction::Down, &fate);
        tokio::try_join!(up, down)
    };
    // Bytes that come before the link is armed count, but it strikes only then.
    let cut = async {
        if armed.await.is_err() {
            return std::future::pending().await;
        }
        fate.cut().await
    };
    let server_learns_after = tokio::select! {
        carried = carried => match carried {
            Ok((up, down)) => return Passed { up, down },
            Err(_) => Duration::ZERO,
        },
        after = cut => after,
    };
    reset(peer);
    tokio::time::sleep(server_learns_after).await;
    reset(server);
    Passed {
        up: false,
        down: false,
    }
}

fn reset(stream: TcpStream) {
    let lingers = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    lingers.expect("TCP takes SO_LINGER");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// Hands on bytes until they end, and returns whether those were all.
///
/// # Errors
/// The side that is read was reset, or the peer takes no more.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    direction: Direction,
    fate: &Fate,
) -> io::Result<bool> {
    let (ending, stream) = match direction {
        Direction::Up => (Ending::NoMoreUp, 1),
        Direction::Down => (Ending::NoMoreDown, 2),
    };
    let mut weather = Weather {
        random: Random::of(fate.plan.seed, stream),
        rough_percent: fate.plan.rough_percent,
    };
    let mut buffer = [0; 8 * 1024];
    let mut whole = true;
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            if whole {
                // A client that is gone needs no word.
                let _ = to.shutdown().await;
            }
            return Ok(whole);
        }
        if !whole {
            // Thrown away, for a socket that is closed with unread input is
            // reset, and the bytes it was still to deliver are lost.
            continue;
        }
        let handed_on = weather.hand_on(&buffer[..length], &mut to).await;
        match (handed_on, direction) {
            (Ok(()), _) => fate.count(length),
            (Err(error), Direction::Down) => return Err(error),
            // The server has closed; its last bytes still come.
            (Err(_), Direction::Up) => whole = false,
        }
        if fate.is_over(ending) {
            let _ = to.shutdown().await;
            whole = false;
        }
    }
}

struct Weather {
    random: Random,
    rough_percent: u64,
}

impl Weather {
    async fn hand_on(&mut self, bytes: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        if self.random.below(100) >= self.rough_percent {
            return to.write_all(bytes).await;
        }
        match self.random.below(10) {
            0 => self.pause(40, 150).await,
            1..5 => self.pause(1, 4).await,
            5..8 => return self.trickle(bytes, to).await,
            _ => return self.in_pieces(bytes, to).await,
        }
        to.write_all(bytes).await
    }

    async fn pause(&mut self, least_ms: u64, most_ms: u64) {
        let pause = least_ms + self.random.below(most_ms - least_ms);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// A byte at a time, up to some place.
    async fn trickle(&mut self, bytes: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        let single = bytes.len().min(self.below(300));
        for byte in &bytes[..single] {
            to.write_all(std::slice::from_ref(byte)).await?;
            tokio::task::yield_now().await;
        }
        to.write_all(&bytes[single..]).await
    }

    async fn in_pieces(&mut self, mut bytes: &[u8], to: &mut WriteHalf<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece;
            (piece, bytes) = bytes.split_at(bytes.len().min(1 + self.below(900)));
            to.write_all(piece).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.random.below(limit)).expect("small")
    }
}
