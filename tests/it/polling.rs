//! Servers and clients with threads that look at their sockets without pause.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use tickwire::Server;

use crate::draft::Draft;
use crate::raw_client::{DEADLINE, RawClient, start_server_with, within};

#[tokio::test]
async fn a_server_that_polls_delivers_answers_and_drains_as_any_other() {
    let server = start_server_with(|server| server.busy_poll(1)).await;
    // Many that do nothing are beside.
    let mut idle = Vec::new();
    for number in 0..200 {
        let name = format!("idle-{number}");
        idle.push(RawClient::owning(server.local_addr(), &[&name]).await);
    }
    let mut sender = RawClient::speaking_for_others(server.local_addr()).await;
    let mut owner = RawClient::owning(server.local_addr(), &["owner"]).await;
    let (_sender, mut endpoint) = server.attach("endpoint").expect("attached");
    for _ in 0..100 {
        let orders = [Draft::order("s", "owner"), Draft::order("s", "endpoint")];
        for order in &orders {
            sender.ask_acked(order).await;
        }
        assert_eq!(owner.receive().await.frame, orders[0].frame());
        let event = within("the order", endpoint.receive()).await;
        assert!(event.is_some());
    }
    let order = Draft::order("s", "owner");
    sender.ask_acked(&order).await;
    within("shutdown", server.shutdown()).await;
    assert_eq!(owner.receive().await.frame, order.frame());
    owner.expect_last_words("SERVER_SHUTTING_DOWN").await;
}

#[test]
fn the_threads_that_poll_end_with_the_runtime_of_their_server() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let started = runtime.block_on(Server::builder().listen("127.0.0.1:0").busy_poll(1).start());
    let server = started.expect("a server on a free port starts");
    let mut stream = TcpStream::connect(server.local_addr()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    // It is accepted when the runtime runs.
    runtime.block_on(async {
        while server.stats().connections == 0 {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
    let read = stream.read(&mut [0; 1]);
    assert!(matches!(read, Ok(0)), "{read:?}");
}

#[tokio::test]
async fn more_threads_than_cores_are_refused_with_their_number() {
    let server = Server::builder().listen("127.0.0.1:0").busy_poll(100_000);
    let error = server.start().await.expect_err("there are fewer cores");
    let error = error.to_string();
    let cores = std::thread::available_parallelism().expect("it is known");
    let allowed = format!("busy_poll = 100000: must be between 0 and {cores}, ");
    assert!(error.starts_with(&allowed), "{error}");
}

#[cfg(feature = "client")]
mod clients {
    use tickwire::client::{Client, ClientConfig, ConnectError, Event};
    use tickwire::wire::{Message, Order, Side};

    use super::*;
    use crate::raw_client::start_server;

    fn polling(name: &str) -> ClientConfig {
        ClientConfig::new(name).busy_poll(true)
    }

    fn order(number: usize) -> Message {
        let order = Order::new(format!("ord-{number}"), "BTCUSDT", Side::Buy, 1);
        Message::order("sender", "receiver", "run-1", order).expect("it is one")
    }

    #[tokio::test]
    async fn clients_that_poll_send_receive_and_end_with_their_last_handles() {
        let server = start_server().await;
        let address = server.local_addr();
        let (receiver, mut events) = within(
            "the receiver",
            Client::connect(address, polling("receiver")),
        )
        .await
        .expect("welcome");
        let (sender, _events) = within("the sender", Client::connect(address, polling("sender")))
            .await
            .expect("welcome");
        for number in 0..100 {
            let message = order(number);
            let id = message.msg_id;
            let sent = within("the ack", sender.send(message)).await;
            sent.expect("accepted");
            let event = within("the order", events.receive()).await;
            let Some(Event::Message(inbound)) = event else {
                panic!("{event:?}");
            };
            assert_eq!(inbound.msg_id(), Some(id));
        }
        drop((sender, _events, receiver, events));
        while server.name_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn who_can_not_connect_or_gives_up_leaves_nothing_behind() {
        // Nobody listens there any more.
        let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = closed.local_addr().expect("its address");
        drop(closed);
        let refused = within("the refusal", Client::connect(address, polling("name"))).await;
        let error = refused.expect_err("nobody listens");
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
        // Somebody listens and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = silent.local_addr().expect("its address");
        let connecting = tokio::spawn(Client::connect(address, polling("name")));
        let accepted = tokio::task::spawn_blocking(move || silent.accept());
        let accepted = within("the connection", accepted).await;
        let (mut stream, _) = accepted.expect("no panic").expect("it connects");
        connecting.abort();
        let ended =
            tokio::task::spawn_blocking(move || std::io::copy(&mut stream, &mut std::io::sink()));
        let ended = within("the end of the connection", ended).await;
        ended.expect("no panic").expect("it is closed");
    }
}
