//! The server's end of a connection, played by a test: for what a real server does only
//! under settings that the test can't have.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::draft::Draft;
use crate::raw_client::{framed, within};

pub struct PlayedServer {
    stream: TcpStream,
}

impl PlayedServer {
    /// A place for a server, and its address.
    pub async fn bind() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        (listener, address)
    }

    /// Accepts a connection.
    pub async fn accept(listener: TcpListener) -> Self {
        let accepted = within("a connection", listener.accept()).await;
        let (stream, _) = accepted.expect("one");
        Self { stream }
    }

    /// The next message of the client.
    pub async fn hear(&mut self) -> Value {
        let length = within("a frame", self.stream.read_u32()).await;
        let mut frame = vec![0; length.expect("a length") as usize];
        self.stream.read_exact(&mut frame).await.expect("a frame");
        serde_json::from_slice(&frame).expect("JSON")
    }

    pub async fn say(&mut self, json: &[u8]) {
        let written = self.stream.write_all(&framed(json)).await;
        written.expect("it reads");
    }

    /// Hears a hello, and welcomes it with the one name, which is durable.
    pub async fn welcome_as_durable(&mut self, name: &str) {
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
                "names": [name],
                "durable": [name],
                "limits": {"frame_bytes": 9999, "queue_bytes": 9999, "queue_messages": 9},
                "granted": {},
            },
        });
        self.say(welcome.to_string().as_bytes()).await;
    }

    /// Hears the ack by which `name` settles a message.
    pub async fn hear_settled(&mut self, name: &str, message: &Draft) {
        let ack = self.hear().await;
        assert_eq!(ack["msg_type"], "ack");
        assert_eq!(ack["source"], name);
        let message: Value = serde_json::from_slice(&message.frame()).expect("JSON");
        assert_eq!(ack["target"], message["source"]);
        assert_eq!(ack["payload"]["acknowledged_msg_id"], message["msg_id"]);
    }
}
