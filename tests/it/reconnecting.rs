//! The library's client, and `listen`, with real servers that go and come back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tickwire::client::{Client, ClientConfig, Disconnect, Event, Receiver};
use tickwire::wire::Message;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::draft::Draft;
use crate::peer::{Peer, start_server, within};

/// An address that stays, in front of servers that don't.
struct Front {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    /// The connections through it.
    links: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Front {
    async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let server = Arc::new(Mutex::new(server));
        let links = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn({
            let (server, links) = (Arc::clone(&server), Arc::clone(&links));
            async move {
                while let Ok((mut near, _)) = listener.accept().await {
                    let server = *server.lock().expect("no panic");
                    links
                        .lock()
                        .expect("no panic")
                        .push(tokio::spawn(async move {
                            if let Ok(mut far) = TcpStream::connect(server).await {
                                // However it ends.
                                let _ = copy_bidirectional(&mut near, &mut far).await;
                            }
                        }));
                }
            }
        });
        Self {
            address,
            server,
            links,
            accepting,
        }
    }

    /// Cuts all connections; the next ones lead to `server`.
    fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().expect("no panic") = server;
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
