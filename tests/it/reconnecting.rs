//! The library's client, and `listen`, with real servers that go and come back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tickwire::client::{Client, ClientConfig, Disconnect, Event, Receiver, SendError};
use tickwire::wire::{Condition, Message, Subscribe};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::draft::Draft;
use crate::peer::{Peer, start_server, within};

/// An address that stays, in front of servers that don't.
struct Front {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    /// Whether what the server says is handed on, by the next connections.
    hands_down: Arc<Mutex<watch::Sender<bool>>>,
    /// The connections through it.
    links: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Front {
    async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let server = Arc::new(Mutex::new(server));
        let hands_down = Arc::new(Mutex::new(watch::Sender::new(true)));
        let links = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn({
            let (server, links) = (Arc::clone(&server), Arc::clone(&links));
            let hands_down = Arc::clone(&hands_down);
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let server = *server.lock().expect("no panic");
                    let hands_down = hands_down.lock().expect("no panic").subscribe();
                    let link = tokio::spawn(link(near, server, hands_down));
                    links.lock().expect("no panic").push(link);
                }
            }
        });
        Self {
            address,
            server,
            hands_down,
            links,
            accepting,
        }
    }

    /// From now on nothing that the server says is handed on.
    fn hold_back_answers(&self) {
        let hands_down = self.hands_down.lock().expect("no panic");
        hands_down.send_replace(false);
    }

    /// Cuts all connections; the next ones lead to `server`, and all is handed
    /// on.
    fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().expect("no panic") = server;
        *self.hands_down.lock().expect("no panic") = watch::Sender::new(true);
        for link in self.links.lock().expect("no panic").drain(..) {
            link.abort();
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
        self.lead_to(self.address);
    }
}

/// Hands on between a client and the server, until either ends.
async fn link(mut near: TcpStream, server: SocketAddr, mut hands_down: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = near.split();
    let (mut from_server, mut to_server) = far.split();
    let down = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            // After the read, for it may have waited since before it was held.
            if hands_down.wait_for(|hands_down| *hands_down).await.is_err()
                || to_client.write_all(&buffer[..length]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut from_client, &mut to_server) => {}
        () = down => {}
    }
}

async fn next(receiver: &mut Receiver) -> Event {
    let event = within("an event", receiver.receive()).await;
    event.expect("another event")
}

fn config(name: &str) -> ClientConfig {
    ClientConfig::new(name).reconnect_delays(Duration::from_millis(1), Duration::from_millis(20))
}

#[tokio::test]
async fn a_client_outlives_its_connections_and_its_server() {
    let mut server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    let connecting = Client::connect(front.address, config("me")).await;
    let (client, mut receiver) = connecting.expect("welcomed");
    for round in 0..4 {
        if round % 2 == 0 {
            front.lead_to(server.local_addr());
        } else {
            let next = start_server().await;
            front.lead_to(next.local_addr());
            within("the old server to end", server.shutdown()).await;
            server = next;
        }
        assert!(matches!(next(&mut receiver).await, Event::Disconnected(_)));
        assert!(matches!(next(&mut receiver).await, Event::Reconnected(_)));
        // It has its name again, and it sends.
        let mut peer = Peer::speaking_for_others(server.local_addr()).await;
        let order = Draft::order("a", "me");
        peer.ask_acked(&order).await;
        match next(&mut receiver).await {
            Event::Message(inbound) => assert_eq!(inbound.json(), order.frame()),
            other => panic!("a message was due: {other:?}"),
        }
        let beat = Message::heartbeat("me", "alive").expect("a name");
        client.send(beat).await.expect("accepted");
    }
    client.close().await.expect("nothing is left");
}

/// A client that has sent an order which the server has accepted, without
/// learning of it.
async fn with_a_lost_ack(
    front: &Front,
    gateway: &mut Peer,
) -> (
    Client,
    Receiver,
    JoinHandle<Result<tickwire::wire::Ack, SendError>>,
) {
    let connecting = Client::connect(front.address, config("me")).await;
    let (client, receiver) = connecting.expect("welcomed");
    front.hold_back_answers();
    let order = read(&Draft::order("me", "gateway"));
    let id = order.msg_id;
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.send(order).await }
    });
    let received = gateway.receive().await;
    assert_eq!(received.text("/msg_id"), id.to_string());
    assert!(!sending.is_finished());
    (client, receiver, sending)
}

fn read(draft: &Draft) -> Message {
    Message::from_json(&draft.frame()).expect("a valid message")
}

async fn reconnected(receiver: &mut Receiver) -> (usize, usize) {
    assert!(matches!(next(receiver).await, Event::Disconnected(_)));
    match next(receiver).await {
        Event::Reconnected(it) => (it.resent, it.fate_unknown),
        other => panic!("another connection was due: {other:?}"),
    }
}

/// What the client sends now is the next that the gateway gets.
async fn assert_nothing_else_arrives(client: Client, mut gateway: Peer) {
    let order = Draft::order("me", "gateway");
    client.send(read(&order)).await.expect("accepted");
    assert_eq!(gateway.receive().await.text("/msg_id"), order.id);
    gateway.assert_no_answer_waits().await;
    client.close().await.expect("nothing is left");
}

#[tokio::test]
async fn an_order_whose_ack_was_lost_is_sent_again_and_delivered_once() {
    let server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    let mut gateway = Peer::owning(server.local_addr(), &["gateway"]).await;
    let (client, mut receiver, sending) = with_a_lost_ack(&front, &mut gateway).await;
    front.lead_to(server.local_addr());
    assert_eq!(reconnected(&mut receiver).await, (1, 0));
    let answer = within("the ack", sending).await.expect("no panic");
    answer.expect("accepted, and remembered");
    assert_nothing_else_arrives(client, gateway).await;
}

#[tokio::test]
async fn an_order_whose_ack_was_lost_with_the_server_is_not_sent_to_the_next() {
    let server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    let mut gateway = Peer::owning(server.local_addr(), &["gateway"]).await;
    let (client, mut receiver, sending) = with_a_lost_ack(&front, &mut gateway).await;
    let another = start_server().await;
    let gateway = Peer::owning(another.local_addr(), &["gateway"]).await;
    front.lead_to(another.local_addr());
    assert_eq!(reconnected(&mut receiver).await, (0, 1));
    let answer = within("the outcome", sending).await.expect("no panic");
    assert_eq!(answer.expect_err("who knows"), SendError::FateUnknown);
    assert_nothing_else_arrives(client, gateway).await;
}

#[tokio::test]
async fn a_subscriber_has_its_subscriptions_on_every_connection() {
    let server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    // Without a name it gets nothing but what it subscribed to.
    let config = config("me").register(false);
    let connecting = Client::connect(front.address, config).await;
    let (client, mut receiver) = connecting.expect("welcomed");
    let bars = Subscribe::new("bars").with(Condition::eq("/payload/run_id", "run-7"));
    client.subscribe(bars).await.expect("granted");
    let mut feed = Peer::speaking_for_others(server.local_addr()).await;
    for round in 0..4 {
        if round > 0 {
            front.lead_to(server.local_addr());
            reconnected(&mut receiver).await;
            // It subscribes before it sends anything.
            let beat = Message::heartbeat("me", "alive").expect("a name");
            client.send(beat).await.expect("accepted");
        }
        let other = Draft::order("feed", None::<&str>);
        let matching = Draft::order("feed", None::<&str>).payload("run_id", "run-7");
        feed.ask_acked(&other).await;
        feed.ask_acked(&matching).await;
        match next(&mut receiver).await {
            Event::Message(inbound) => assert_eq!(inbound.json(), matching.frame()),
            other => panic!("a broadcast was due: {other:?}"),
        }
    }
    client.close().await.expect("nothing is left");
}

#[tokio::test]
async fn of_two_clients_of_one_name_one_ends_for_good() {
    let server = start_server().await;
    let connect = async || {
        let connecting = Client::connect(server.local_addr(), config("twin")).await;
        connecting.expect("welcomed")
    };
    let (first, mut receiver) = connect().await;
    let (second, mut second_receiver) = connect().await;
    assert!(matches!(next(&mut receiver).await, Event::Notice(_)));
    match next(&mut receiver).await {
        Event::Closed(Disconnect::TakenOver(report)) => {
            assert_eq!(report.name().expect("which").as_str(), "twin");
        }
        other => panic!("the end was due: {other:?}"),
    }
    assert!(first.is_closed());
    let beat = Message::heartbeat("twin", "alive").expect("a name");
    second.send(beat).await.expect("accepted");
    assert!(!second.is_closed());
    drop((first, second));
    within("the server to end", server.shutdown()).await;
    assert!(matches!(next(&mut second_receiver).await, Event::Notice(_)));
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn listen_goes_on_with_the_next_server() {
    use crate::process::{Listen, until_owned};

    let server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    let mut listen = Listen::start(front.address, "gateway").await;
    for _ in 0..2 {
        let next = start_server().await;
        front.lead_to(next.local_addr());
        until_owned(next.local_addr(), "gateway").await;
        // The probe.
        listen.line().await;
        let mut peer = Peer::speaking_for_others(next.local_addr()).await;
        let order = Draft::order("a", "gateway");
        peer.ask_acked(&order).await;
        assert!(listen.line().await.contains(&order.id));
    }
}
