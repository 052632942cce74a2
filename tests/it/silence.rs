//! The library's client with servers and proxies that fall silent, and with
//! ones that only seem to.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tickwire::ServerHandle;
use tickwire::client::{Client, ClientConfig, Disconnect, Event, Receiver, Silence};
use tickwire::wire::Message;
use tokio::io::copy;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::draft::Draft;
use crate::queues::fill;
use crate::raw_client::{RawClient, start_server_with, within};

/// The pauses of the server, half of the time that the client takes for
/// silence.
const STALL_TIMEOUT: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(1);

async fn start_server() -> ServerHandle {
    start_server_with(|server| {
        server
            .queue_messages(16)
            .queue_bytes(64 * 1024 * 1024)
            .stall_timeout(STALL_TIMEOUT)
    })
    .await
}

fn config(name: &str) -> ClientConfig {
    ClientConfig::new(name)
        .answer_timeout(LIMIT)
        .reconnect_delays(Duration::from_millis(1), Duration::from_millis(20))
}

/// In which directions a proxy hands nothing on any more, without closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frozen {
    Nothing,
    Up,
    Both,
}

/// A proxy that can freeze its last connection.
struct Proxy {
    address: SocketAddr,
    last: Arc<Mutex<watch::Sender<Frozen>>>,
    _links: JoinSet<()>,
}

impl Proxy {
    async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let last = Arc::new(Mutex::new(watch::Sender::new(Frozen::Nothing)));
        let mut accepting = JoinSet::new();
        let newest = Arc::clone(&last);
        accepting.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.expect("it listens");
                let frozen = watch::Sender::new(Frozen::Nothing);
                links.spawn(link(near, far, frozen.subscribe()));
                *newest.lock().expect("no panic") = frozen;
            }
        });
        Self {
            address,
            last,
            _links: accepting,
        }
    }

    fn freeze(&self, frozen: Frozen) {
        self.last.lock().expect("no panic").send_replace(frozen);
    }
}

/// Hands on in both directions, each until it is frozen.
async fn link(mut near: TcpStream, mut far: TcpStream, frozen: watch::Receiver<Frozen>) {
    let (from_client, to_client) = near.split();
    let (from_server, to_server) = far.split();
    let up = |frozen: &Frozen| *frozen != Frozen::Nothing;
    let down = |frozen: &Frozen| *frozen == Frozen::Both;
    tokio::join!(
        carry(from_client, to_server, frozen.clone(), up),
        carry(from_server, to_client, frozen, down),
    );
}

async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut frozen: watch::Receiver<Frozen>,
    ends: impl Fn(&Frozen) -> bool,
) {
    let is_frozen = async {
        if frozen.wait_for(ends).await.is_err() {
            // Nobody can freeze it any more.
            pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = is_frozen => pending().await,
        _ = copy(&mut from, &mut to) => {}
    }
}

async fn next(receiver: &mut Receiver) -> Event {
    let event = within("an event", receiver.receive()).await;
    event.expect("another event")
}

/// The next end of a connection, whatever is delivered before.
async fn disconnected(receiver: &mut Receiver) -> Disconnect {
    within("the end of the connection", async {
        loop {
            match next(receiver).await {
                Event::Message(_) | Event::Notice(_) => {}
                Event::Disconnected(end) => return end,
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

async fn assert_reconnects(client: &Client, receiver: &mut Receiver) {
    assert!(matches!(next(receiver).await, Event::Reconnected(_)));
    client.send(order_to("sink")).await.expect("accepted");
}

fn order_to(target: &str) -> Message {
    let order = Draft::order("me", target);
    Message::from_json(&order.frame()).expect("a valid message")
}

#[tokio::test]
async fn a_proxy_that_goes_on_delivering_and_forwards_nothing_is_left() {
    let server = start_server().await;
    let _sink = RawClient::owning(server.local_addr(), &["sink"]).await;
    let proxy = Proxy::of(server.local_addr()).await;
    let connecting = Client::connect(proxy.address, config("me")).await;
    let (client, mut receiver) = connecting.expect("welcomed");
    client.send(order_to("sink")).await.expect("accepted");
    proxy.freeze(Frozen::Up);
    client.post(order_to("sink")).await.expect("queued");
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
    let delivering = async {
        loop {
            feed.ask(&Draft::heartbeat("feed", "me")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let end = tokio::select! {
        end = disconnected(&mut receiver) => end,
        () = delivering => unreachable!("it goes on"),
    };
    match end {
        Disconnect::Silent { silence, limit } => {
            assert_eq!((silence, limit), (Silence::NoAnswers, LIMIT));
        }
        other => panic!("{other:?}"),
    }
    assert_reconnects(&client, &mut receiver).await;
}

#[tokio::test]
async fn an_idle_client_with_heartbeats_leaves_a_proxy_that_is_frozen_both_ways() {
    let server = start_server().await;
    let _sink = RawClient::owning(server.local_addr(), &["sink"]).await;
    let proxy = Proxy::of(server.local_addr()).await;
    let config = config("me").heartbeat(Duration::from_millis(50));
    let connecting = Client::connect(proxy.address, config).await;
    let (client, mut receiver) = connecting.expect("welcomed");
    client.send(order_to("sink")).await.expect("accepted");
    proxy.freeze(Frozen::Both);
    let end = disconnected(&mut receiver).await;
    assert!(matches!(end, Disconnect::Silent { .. }), "{end:?}");
    assert_reconnects(&client, &mut receiver).await;
}

#[tokio::test]
async fn a_probing_client_that_only_receives_leaves_a_frozen_proxy() {
    let server = start_server().await;
    let proxy = Proxy::of(server.local_addr()).await;
    let config = config("me").probe(Duration::from_millis(50));
    let connecting = Client::connect(proxy.address, config).await;
    let (_client, mut receiver) = connecting.expect("welcomed");
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
    for _ in 0..2 {
        // It still owns its name after several probes.
        tokio::time::sleep(Duration::from_millis(200)).await;
        feed.ask_acked(&Draft::order("feed", "me")).await;
        assert!(matches!(next(&mut receiver).await, Event::Message(_)));
        proxy.freeze(Frozen::Both);
        let end = disconnected(&mut receiver).await;
        assert!(matches!(end, Disconnect::Silent { .. }), "{end:?}");
        assert!(matches!(next(&mut receiver).await, Event::Reconnected(_)));
    }
}

#[tokio::test]
async fn a_server_that_pauses_its_sender_three_times_in_a_row_is_not_silent() {
    let server = start_server().await;
    let address = server.local_addr();
    let mut filler = RawClient::speaking_for_others(address).await;
    let mut stalled = Vec::new();
    let names = ["a", "b", "c"];
    for name in names {
        stalled.push(RawClient::owning_narrow(address, &[name]).await);
        fill(&mut filler, name).await;
    }
    let connecting = Client::connect(address, config("me")).await;
    let (client, mut receiver) = connecting.expect("welcomed");
    for name in names {
        client.post(order_to(name)).await.expect("queued");
    }
    for _ in names {
        match next(&mut receiver).await {
            Event::Notice(report) => assert_eq!(report.code, "QUEUE_FULL"),
            other => panic!("{other:?}"),
        }
    }
    drop(stalled);
}

#[tokio::test]
async fn a_program_that_was_stopped_finds_its_connection_as_it_was() {
    let server = start_server().await;
    let _sink = RawClient::owning(server.local_addr(), &["sink"]).await;
    let address = server.local_addr();
    let program = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let connecting = Client::connect(address, config("me")).await;
            let (client, mut receiver) = connecting.expect("welcomed");
            client.post(order_to("sink")).await.expect("queued");
            tokio::task::yield_now().await;
            // Nothing of it runs meanwhile.
            std::thread::sleep(2 * LIMIT);
            client.send(order_to("sink")).await.expect("accepted");
            assert!(receiver.receive().now_or_never().is_none());
        });
    });
    let program = tokio::task::spawn_blocking(move || program.join());
    let joined = within("the program", program).await.expect("no panic");
    joined.expect("no panic");
}
