//! `tickwire listen` on a durable name, at a server that is only played.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use super::signals::kill;
use crate::draft::Draft;
use crate::process::tickwire;
use crate::raw_client::{framed, within};

/// A listener's connection to a server for which "desk" is durable.
struct Played {
    listen: Child,
    stream: TcpStream,
}

impl Played {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("an address").to_string();
        let listen = tickwire(&["listen", "desk", "--to", &to]).spawn();
        let (stream, _) = within("a connection", listener.accept())
            .await
            .expect("one");
        let mut played = Self {
            listen: listen.expect("starts"),
            stream,
        };
        played.welcome().await;
        played
    }

    async fn hear(&mut self) -> Value {
        let length = within("a frame", self.stream.read_u32()).await;
        let mut frame = vec![0; length.expect("a length") as usize];
        self.stream.read_exact(&mut frame).await.expect("a frame");
        serde_json::from_slice(&frame).expect("JSON")
    }

    async fn say(&mut self, json: &[u8]) {
        let written = self.stream.write_all(&framed(json)).await;
        written.expect("it reads");
    }

    /// Hears a hello, and welcomes it.
    async fn welcome(&mut self) {
        let hello = self.hear().await;
        assert_eq!(hello["msg_type"], "hello");
        let welcome = json!({
            "msg_id": "b43e1a3c-4f0b-4a89-9be4-6a3d1b0b8d52",
            "msg_type": "welcome",
            "timestamp": "2026-01-03T12:40:59.001Z",
            "source": "tickwire",
            "payload": {
                "protocol": 1,
                "hello_msg_id": hello["msg_id"],
                "server": {"name": "tickwire", "version": "0.1.0"},
                "names": ["desk"],
                "durable": ["desk"],
                "limits": {"frame_bytes": 9999, "queue_bytes": 9999, "queue_messages": 9},
                "granted": {},
            },
        });
        self.say(welcome.to_string().as_bytes()).await;
    }

    /// Delivers an order, and hears it settled once it is printed.
    async fn deliver(&mut self) {
        let order = Draft::order("feed", "desk");
        self.say(&order.frame()).await;
        let stdout = self.listen.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = within("the order to be printed", stdout.read_line(&mut line));
        read.await.expect("UTF-8");
        assert!(line.contains(&order.id), "{line}");
        let ack = self.hear().await;
        assert_eq!(ack["msg_type"], "ack");
        assert_eq!(ack["payload"]["acknowledged_msg_id"], order.id);
        assert_eq!(
            (&ack["source"], &ack["target"]),
            (&json!("desk"), &json!("feed"))
        );
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
        played.welcome().await;
        assert_eq!(played.end().await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_likewise() {
    let mut played = Played::start().await;
    played.deliver().await;
    drop(played.listen.stdout.take());
    played.welcome().await;
    assert_eq!(played.end().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_says_what_is_not_known() {
    let mut played = Played::start().await;
    played.deliver().await;
    kill("-INT", played.id()).await;
    let fence = played.hear().await;
    assert_eq!(fence["msg_type"], "hello");
    kill("-INT", played.id()).await;
    let mut said = String::new();
    let mut stderr = played.listen.stderr.take().expect("it is piped");
    let read = stderr.read_to_string(&mut said);
    within("its last words", read).await.expect("UTF-8");
    assert!(said.contains("may not be settled"), "{said}");
    assert_eq!(played.end().await, Some(1));
}
