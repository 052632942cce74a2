//! The library's client, and `listen`, with real servers that go and come back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tickwire::ServerHandle;
use tickwire::client::{Client, ClientConfig, Disconnect, Event, Receiver, SendError};
use tickwire::wire::{Condition, Message, Subscribe, ValidFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::draft::Draft;
use crate::raw_client::{RawClient, start_server, within};

/// An address that stays, in front of servers that don't.
struct Front {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

struct State {
    server: SocketAddr,
    /// Whether the next connections hand on the server's frames.
    hands_down: watch::Sender<bool>,
    /// The connections through it.
    links: Vec<JoinHandle<()>>,
}

impl Front {
    async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State {
            server,
            hands_down: watch::Sender::new(true),
            links: Vec::new(),
        }));
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let mut state = state.lock().expect("no panic");
                    let link = link(near, state.server, state.hands_down.subscribe());
                    state.links.push(tokio::spawn(link));
                }
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// From now on no frame of the server is handed on.
    fn hold_back_answers(&self) {
        self.state().hands_down.send_replace(false);
    }

    /// Cuts all connections; the next ones lead to `server`, and all is handed
    /// on.
    fn lead_to(&self, server: SocketAddr) {
        let mut state = self.state();
        state.server = server;
        state.hands_down = watch::Sender::new(true);
        for link in state.links.drain(..) {
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

/// Receives a message, and returns its JSON.
async fn next_message(receiver: &mut Receiver) -> Vec<u8> {
    match next(receiver).await {
        Event::Message(inbound) => inbound.json().to_vec(),
        other => panic!("a message was due: {other:?}"),
    }
}

fn config(name: &str) -> ClientConfig {
    ClientConfig::new(name).reconnect_delays(Duration::from_millis(1), Duration::from_millis(20))
}

async fn connect(address: SocketAddr, config: ClientConfig) -> (Client, Receiver) {
    Client::connect(address, config).await.expect("welcomed")
}

async fn beat(client: &Client) {
    let beat = Message::heartbeat(client.name(), "alive").expect("a name");
    client.send(beat).await.expect("accepted");
}

/// A server, a gateway connected to it, and an address in front of it.
async fn start_with_a_gateway() -> (ServerHandle, Front, RawClient) {
    let server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    let gateway = RawClient::owning(server.local_addr(), &["gateway"]).await;
    (server, front, gateway)
}

#[tokio::test]
async fn a_client_outlives_its_connections_and_its_server() {
    let mut server = start_server().await;
    let front = Front::of(server.local_addr()).await;
    let (client, mut receiver) = connect(front.address, config("me")).await;
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
        let mut peer = RawClient::speaking_for_others(server.local_addr()).await;
        let order = Draft::order("a", "me");
        peer.ask_acked(&order).await;
        assert_eq!(next_message(&mut receiver).await, order.frame());
        beat(&client).await;
    }
    client.close().await.expect("nothing is left");
}

/// A client that has sent an order which the server has accepted, without
/// learning of it.
async fn with_a_lost_ack(
    front: &Front,
    gateway: &mut RawClient,
) -> (
    Client,
    Receiver,
    JoinHandle<Result<tickwire::wire::Ack, SendError>>,
) {
    let (client, receiver) = connect(front.address, config("me")).await;
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

/// The client's message sent now is the next that the gateway gets.
async fn assert_nothing_else_arrives(client: Client, mut gateway: RawClient) {
    let order = Draft::order("me", "gateway");
    client.send(read(&order)).await.expect("accepted");
    assert_eq!(gateway.receive().await.text("/msg_id"), order.id);
    gateway.assert_no_answer_waits().await;
    client.close().await.expect("nothing is left");
}

#[tokio::test]
async fn an_order_whose_ack_was_lost_is_sent_again_and_delivered_once() {
    let (server, front, mut gateway) = start_with_a_gateway().await;
    let (client, mut receiver, sending) = with_a_lost_ack(&front, &mut gateway).await;
    front.lead_to(server.local_addr());
    assert_eq!(reconnected(&mut receiver).await, (1, 0));
    let answer = within("the ack", sending).await.expect("no panic");
    answer.expect("accepted, and remembered");
    assert_nothing_else_arrives(client, gateway).await;
}

#[tokio::test]
async fn a_prepared_frame_arrives_as_often_as_it_is_sent_across_a_connection_that_resumes() {
    const TIMES: usize = 1_000;
    let (server, front, mut gateway) = start_with_a_gateway().await;
    let (client, mut receiver) = connect(front.address, config("me")).await;
    let frame = ValidFrame::new(&read(&Draft::order("me", "gateway"))).expect("valid");
    let gathering = tokio::spawn(async move {
        let mut ids = Vec::new();
        for _ in 0..TIMES {
            ids.push(gateway.receive().await.text("/msg_id").to_owned());
        }
        (ids, gateway)
    });
    let mut sent = Vec::new();
    for number in 0..TIMES {
        if number == TIMES / 3 {
            client.flush().await.expect("accepted");
            // What follows is accepted, and its acks are lost.
            front.hold_back_answers();
        }
        if number == TIMES / 2 {
            front.lead_to(server.local_addr());
        }
        let id = client.post_frame(&frame).await.expect("queued");
        sent.push(id.to_string());
    }
    let (_, unknown) = reconnected(&mut receiver).await;
    assert_eq!(unknown, 0, "the server vouches for them");
    within("the answers", client.flush())
        .await
        .expect("accepted");
    let ack = client.send_frame(&frame).await.expect("accepted");
    let (ids, mut gateway) = within("all of them", gathering).await.expect("no panic");
    assert_eq!(ids, sent, "in their order, none twice");
    let last = gateway.receive().await;
    assert_eq!(last.text("/msg_id"), ack.acknowledged_msg_id.as_str());
}

#[tokio::test]
async fn an_order_whose_ack_was_lost_with_the_server_is_not_sent_to_the_next() {
    let (_server, front, mut gateway) = start_with_a_gateway().await;
    let (client, mut receiver, sending) = with_a_lost_ack(&front, &mut gateway).await;
    let another = start_server().await;
    let gateway = RawClient::owning(another.local_addr(), &["gateway"]).await;
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
    // Without a name it gets nothing but its subscriptions.
    let config = config("me").register(false);
    let (client, mut receiver) = connect(front.address, config).await;
    let bars = Subscribe::new("bars").with(Condition::eq("/payload/run_id", "run-7"));
    client.subscribe(bars).await.expect("granted");
    let mut feed = RawClient::speaking_for_others(server.local_addr()).await;
    for round in 0..4 {
        if round > 0 {
            front.lead_to(server.local_addr());
            reconnected(&mut receiver).await;
            // It subscribes before it sends anything.
            beat(&client).await;
        }
        let other = Draft::order("feed", None::<&str>);
        let matching = Draft::order("feed", None::<&str>).payload("run_id", "run-7");
        feed.ask_acked(&other).await;
        feed.ask_acked(&matching).await;
        assert_eq!(next_message(&mut receiver).await, matching.frame());
    }
    client.close().await.expect("nothing is left");
}

#[tokio::test]
async fn of_two_clients_of_one_name_one_ends_for_good() {
    let server = start_server().await;
    let address = server.local_addr();
    let (first, mut receiver) = connect(address, config("twin")).await;
    let (second, mut second_receiver) = connect(address, config("twin")).await;
    assert!(matches!(next(&mut receiver).await, Event::Notice(_)));
    match next(&mut receiver).await {
        Event::Closed(Disconnect::TakenOver(report)) => {
            assert_eq!(report.name().expect("which").as_str(), "twin");
        }
        other => panic!("the end was due: {other:?}"),
    }
    assert!(first.is_closed());
    beat(&second).await;
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
        let mut peer = RawClient::speaking_for_others(next.local_addr()).await;
        let order = Draft::order("a", "gateway");
        peer.ask_acked(&order).await;
        assert!(listen.line().await.contains(&order.id));
    }
}
