//! `tickwire listen` on a durable name, at a server that is only played.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;

use super::signals::kill;
use crate::draft::Draft;
use crate::played_server::PlayedServer;
use crate::process::tickwire;
use crate::raw_client::within;

/// A listener, and its server.
struct Played {
    listen: Child,
    server: PlayedServer,
}

impl Played {
    async fn start() -> Self {
        let (listener, to) = PlayedServer::bind().await;
        let listen = tickwire(&["listen", "desk", "--to", &to]).spawn();
        let mut server = PlayedServer::accept(listener).await;
        server.welcome_as_durable("desk").await;
        Self {
            listen: listen.expect("starts"),
            server,
        }
    }

    /// Delivers an order, and hears it settled once it is printed.
    async fn deliver(&mut self) {
        let order = Draft::order("feed", "desk");
        self.server.say(&order.frame()).await;
        let stdout = self.listen.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = within("the order to be printed", stdout.read_line(&mut line));
        read.await.expect("UTF-8");
        assert!(line.contains(&order.id), "{line}");
        self.server.hear_settled("desk", &order).await;
    }

    fn id(&self) -> u32 {
        self.listen.id().expect("it runs")
    }

    /// Waits for the listener's end; returns its exit code.
    async fn end(mut self) -> Option<i32> {
        let status = within("the listener to end", self.listen.wait()).await;
        status.expect("it is ours to wait for").code()
    }
}

#[tokio::test]
async fn a_signal_ends_it_once_the_server_has_heard_of_all_that_is_settled() {
    for signal in ["-INT", "-TERM"] {
        let mut played = Played::start().await;
        played.deliver().await;
        kill(signal, played.id()).await;
        // A hello, as a fence, and its welcome.
        played.server.welcome_as_durable("desk").await;
        assert_eq!(played.end().await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_likewise() {
    let mut played = Played::start().await;
    played.deliver().await;
    drop(played.listen.stdout.take());
    played.server.welcome_as_durable("desk").await;
    assert_eq!(played.end().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_says_what_is_not_known() {
    let mut played = Played::start().await;
    played.deliver().await;
    kill("-INT", played.id()).await;
    let fence = played.server.hear().await;
    assert_eq!(fence["msg_type"], "hello");
    kill("-INT", played.id()).await;
    let mut said = String::new();
    let mut stderr = played.listen.stderr.take().expect("it is piped");
    let read = stderr.read_to_string(&mut said);
    within("its last words", read).await.expect("UTF-8");
    assert!(said.contains("may not be settled"), "{said}");
    assert_eq!(played.end().await, Some(1));
}
